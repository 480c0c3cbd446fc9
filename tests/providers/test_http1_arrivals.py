"""Many connections, read by whichever of their tasks leads."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from agentd.providers.http1_arrivals import here


class Line:
    """A connection whose other end says single characters; at "." its reply is over."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.heard = ""
        self.tasks = set[trio.lowlevel.Task]()

    def arrived(self) -> bool:
        self.heard += self.ours.recv(1).decode()
        self.tasks.add(trio.lowlevel.current_task())
        return self.heard.endswith(".")

    def say(self, text: str) -> None:
        self.theirs.sendall(text.encode())

    async def read(self, arrived: Callable[[], bool] | None = None) -> None:
        await here().each(self.ours.fileno(), arrived or self.arrived)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    with closing(Line()) as one, closing(Line()) as two, closing(Line()) as three:
        yield [one, two, three]


async def test_what_is_there_already(lines: list[Line]) -> None:
    """It is heard piece by piece, and nothing after the end."""
    lines[0].say("ab.c")
    await lines[0].read()
    assert lines[0].heard == "ab."


async def test_one_leads_and_the_next_goes_on(lines: list[Line]) -> None:
    """Everybody hears their own; when the one who leads is done, the others are still heard."""
    async with trio.open_nursery() as nursery:
        for line in lines:
            nursery.start_soon(line.read)
            await wait_all_tasks_blocked()
        for line in (*lines, lines[0]):
            line.say("a" if not line.heard else ".")
            await wait_all_tasks_blocked()
        for line in lines[1:]:
            line.say(".")
            await wait_all_tasks_blocked()
    assert [line.heard for line in lines] == ["a."] * 3
    assert len(lines[2].tasks) == 2, "it was called by the one that led, and led at the end"


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_a_cancel_is_nobody_elses(lines: list[Line], cancelled: int) -> None:
    """Whether the one that leads is cancelled or another one: it hears no more, the others do."""
    scopes = [trio.CancelScope() for _ in lines]

    async def read(line: Line, scope: trio.CancelScope) -> None:
        with scope:
            await line.read()

    async with trio.open_nursery() as nursery:
        for line, scope in zip(lines, scopes, strict=True):
            nursery.start_soon(read, line, scope)
            await wait_all_tasks_blocked()
        scopes[cancelled].cancel()
        await wait_all_tasks_blocked()
        for line in lines:
            line.say("a.")
    assert [line.heard for line in lines] == ["" if number == cancelled else "a." for number in range(3)]
    lines[cancelled].say("b")
    await lines[cancelled].read(lambda: lines[cancelled].arrived() and lines[cancelled].heard == "a.")
    assert lines[cancelled].heard == "a.", "its connection can be read again"


async def test_leaders_cancelled_in_a_row(lines: list[Line]) -> None:
    """The one that was to lead next goes before it has begun."""
    with trio.CancelScope() as leaving:
        async with trio.open_nursery() as nursery:
            for line in lines[:2]:
                nursery.start_soon(line.read)
                await wait_all_tasks_blocked()
            leaving.cancel()
    lines[2].say(".")
    await lines[2].read()
    assert [line.heard for line in lines] == ["", "", "."]


async def test_an_error_is_nobody_elses(lines: list[Line]) -> None:
    """It is raised where it belongs; the others are still heard, also the one in whose task it was made."""
    leader, broken, _ = lines

    def refuse() -> bool:
        raise ValueError("no")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leader.read)
        await wait_all_tasks_blocked()
        broken.say("x")
        with pytest.raises(ValueError, match="no"):
            await broken.read(refuse)
        leader.say("a.")
    assert leader.heard == "a."


async def test_a_cancel_by_what_is_called(lines: list[Line]) -> None:
    """A reply may cancel its own turn while it is read by another's task; what it says then counts."""
    leader, cancelled, _ = lines
    scope = trio.CancelScope()

    def cancel() -> bool:
        scope.cancel()
        return cancelled.arrived()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leader.read)
        await wait_all_tasks_blocked()
        with scope:
            cancelled.say(".")
            await cancelled.read(cancel)
        leader.say(".")
    assert cancelled.heard == leader.heard == "."
