"""What every ToolSource promises, run on each: a source knows `echo`, `fail` and `wait` here."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from attrs import frozen

from agentd.ports import ToolContext, ToolSource
from agentd.spawn import TrioSpawner
from agentd.toolsources.functions import FunctionTools
from agentwire.errors import ToolError
from agentwire.types import Text
from tests.fakes.processes import PATIENCE, Mailbox, mailbox
from tests.fakes.tools import FakeTools, said
from tests.fakes.tools import spec as tool_spec

FILE = """
import os, signal
from agentd.tool import tool

@tool(effect="read", policy="allow")
def echo(text: str): return text
@tool
def fail(): raise RuntimeError("failed")
@tool
def wait():
    with open({box!r}, "w") as box:
        print(file=box)
    signal.pause()
"""


@frozen
class Case:
    """A source, and how its `wait` says that it has begun."""

    source: ToolSource
    began: Mailbox


class Waiting(FakeTools):
    """A fake whose `wait` says so in the mailbox."""

    box: Mailbox

    async def _wait(self, name: str) -> None:
        if name == "wait":
            with open(self.box.path, "w") as box:  # noqa: ASYNC230 - a FIFO whose other end is open
                print(file=box)
        await super()._wait(name)


def fake(box: Mailbox) -> FakeTools:
    fake = Waiting(
        [tool_spec("echo", effect="read", text={"type": "string"}), tool_spec("fail"), tool_spec("wait")],
        results={"echo": [lambda arguments, context: said(arguments["text"])], "fail": [ToolError("failed")]},
        gates={"wait": trio.Event()},
    )
    fake.box = box
    return fake


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.fixture(params=["fake", "functions"])
async def case(request: pytest.FixtureRequest, tmp_path: Path, box: Mailbox) -> AsyncIterator[Case]:
    """A source that has been started and refreshed, as the daemon does it."""
    (tmp_path / "tools.py").write_text(FILE.format(box=box.path))
    source: ToolSource = fake(box) if request.param == "fake" else FunctionTools(str(tmp_path), TrioSpawner())
    async with trio.open_nursery() as nursery:
        await nursery.start(source.run)
        await source.refresh()
        yield Case(source, box)
        nursery.cancel_scope.cancel()


def context(call: str = "c1") -> ToolContext:
    return ToolContext(call=call, session="s", cwd="/")


async def test_specs_are_what_vendors_accept(case: Case) -> None:
    """Names are unique and of the letters that every vendor takes; parameters are the schema of an object."""
    specs = case.source.specs()
    assert {"echo", "fail", "wait"} <= {spec.name for spec in specs}
    assert len({spec.name for spec in specs}) == len(specs)
    for spec in specs:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", spec.name)
        assert spec.parameters["type"] == "object"
        assert spec.effect in ("read", "idempotent", "once")
        assert spec.policy in ("allow", "ask", "deny")


async def test_refresh_changes_nothing_without_need(case: Case) -> None:
    """Looking again, also twice at once, finds the same tools."""
    before = list(case.source.specs())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(case.source.refresh)
        nursery.start_soon(case.source.refresh)
    assert list(case.source.specs()) == before


async def test_calls_get_their_own_answers(case: Case) -> None:
    """Calls run side by side, each with its own arguments."""
    answers: dict[str, object] = {}

    async def one(text: str) -> None:
        answers[text] = await case.source.call("echo", {"text": text}, context(f"call-{len(text)}"))

    async with trio.open_nursery() as nursery:
        for text in ("a", "\u20ac\n", "long" * 50_000):
            nursery.start_soon(one, text)
    assert answers == {text: said(text) for text in answers}
    assert len(answers) == 3


async def test_a_failing_tool_is_an_outcome(case: Case) -> None:
    """Failure is a ToolError or an outcome `error` with text: nothing else comes out of a source."""
    try:
        outcome = await case.source.call("fail", {}, context())
    except ToolError as error:
        text = str(error)
    else:
        assert outcome.outcome == "error"
        text = "".join(part.text for part in outcome.parts if isinstance(part, Text))
    assert "failed" in text


async def test_unknown_tool(case: Case) -> None:
    """A name that the source does not have is a ToolError."""
    with pytest.raises(ToolError, match="no_such_tool"):
        await case.source.call("no_such_tool", {}, context())


async def test_cancelled_call_ends(case: Case) -> None:
    """Cancelling a running call ends it, as cancelled and as nothing else, and the source works on."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(case.source.call, "wait", {}, context())
            await case.began.read()
            nursery.cancel_scope.cancel()
        assert nursery.cancel_scope.cancelled_caught
        assert await case.source.call("echo", {"text": "after"}, context()) == said("after")
