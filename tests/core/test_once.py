"""A request with a key is carried out once."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from agentd.core.api import Caller
from agentd.core.once import Once
from agentwire import methods as m
from agentwire.errors import Conflict
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say

HELLO = FakeModels(lambda prompt: Say(["Hello"]))
PARTS = [{"kind": "text", "text": "once"}]


async def test_the_same_key_is_the_same_answer(autojump_clock: trio.testing.MockClock) -> None:
    """Ten identical prompts at once and one later: one input, one answer; other parameters under the key are refused."""
    async with open_house(HELLO) as house:
        live = await house.create()
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await house.ask("session/prompt", session=live.state.id, parts=PARTS, key="k1"))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
        await house.idle(live)
        await ask()
        assert answers == [answers[0]] * 11 and live.state.inputs == 1
        with pytest.raises(Conflict):
            await house.prompt(live, "other", key="k1")


async def test_a_session_is_created_once_per_key(autojump_clock: trio.testing.MockClock) -> None:
    """A client that did not hear the answer asks again and gets the same session; keys belong to their user."""
    async with open_house(HELLO) as house:
        first, second = [await house.ask("session/create", cwd="/x", key="k") for _ in range(2)]
        assert first == second
        other: Any = await house.api.dispatch(Caller(user="ann", admin=False), "session/create", {"cwd": "/x", "key": "k"})
        assert other.id != first["id"]


async def test_the_second_waits_for_the_first(autojump_clock: trio.testing.MockClock) -> None:
    """While one is carried out no other begins; if it fails, or is given up, the next one has its chance."""
    async with open_house(HELLO) as house:
        once, params = Once(house.store), m.CreateSession(cwd="/", key="k")
        log: list[str] = []

        async def act(name: str, seconds: float) -> str:
            log.append(f"{name} begins")
            await trio.sleep(seconds)
            log.append(f"{name} ends")
            if name == "failing":
                raise Conflict("no")
            return name

        async def ask(name: str, patience: float = 99.0) -> None:
            with trio.move_on_after(patience), suppress(Conflict):
                await once.run("ann", "session/create", params, lambda: act(name, 5.0))

        async with trio.open_nursery() as nursery:
            for name, patience in (("given up", 1.0), ("failing", 99.0), ("third", 99.0)):
                nursery.start_soon(ask, name, patience)
                await trio.testing.wait_all_tasks_blocked()
        assert log[0] == "given up begins" and len(log) == 5
        assert {(log[1], log[2]), (log[3], log[4])} == {(f"{name} begins", f"{name} ends") for name in ("failing", "third")}


@pytest.mark.parametrize("steps", range(10))
async def test_who_hangs_up_and_asks_again_gets_what_was_made(autojump_clock: trio.testing.MockClock, steps: int) -> None:
    """Whenever that is: the append is not taken back, and its answer commits with it."""
    async with open_house(HELLO) as house:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(house.ask, "session/create", cwd="/", key="k"))
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        again = await house.ask("session/create", cwd="/", key="k")
        assert [again["id"]] == [live.state.id for live in house.sessions.loaded]
