"""Which sessions are loaded, who finds them, and how they are erased."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from agentd.core.live import Live
from agentd.ports import ToolOutcome
from agentd.store.worker import Inline
from agentwire.errors import Conflict, NotFound, Stopping
from tests.fakes.house import open_house
from tests.fakes.models import Ask, FakeModels, Say, count_results, waiting_model
from tests.fakes.tools import FakeTools, said, spec

T = TypeVar("T")

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


async def test_a_session_is_found_by_the_beginning_of_its_id(autojump_clock: trio.testing.MockClock) -> None:
    """A unique beginning is enough; an ambiguous or foreign one is not."""
    async with open_house(HELLO) as house:
        live = await house.create()
        assert await house.sessions.open("local", live.state.id[:8]) is live
        with pytest.raises(NotFound):
            await house.sessions.open("somebody", live.state.id)
        with pytest.raises(NotFound):
            await house.sessions.open("somebody", live.state.id[:8])
        for _ in range(40):
            await house.create()
        with pytest.raises(Conflict, match="more than one"):
            await house.sessions.open("local", "")


def test_concurrent_opens_load_once(tmp_path: Path) -> None:
    """Ten clients that open a cold session share one projection."""

    async def main() -> None:
        path = str(tmp_path / "log.db")
        async with open_house(HELLO, path=path) as house:
            session = (await house.create()).state.id
        async with open_house(HELLO, path=path) as house:
            found: list[Any] = []

            async def open_it() -> None:
                found.append(await house.sessions.open("local", session))

            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(open_it)
            assert len(found) == 10 and len(set(map(id, found))) == 1

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_stopping_daemon_takes_nothing_new(autojump_clock: trio.testing.MockClock) -> None:
    """Prompts and sessions are refused with `stopping`; reading works."""
    async with open_house(HELLO) as house:
        live = await house.create()
        house.sessions.stop()
        with pytest.raises(Stopping):
            await house.prompt(live, "late")
        with pytest.raises(Stopping):
            await house.create()
        assert (await house.call("session/get", session=live.state.id)).id == live.state.id  # type: ignore[attr-defined]


async def test_deleting_erases_everything(autojump_clock: trio.testing.MockClock) -> None:
    """A session at work needs force; afterwards it is not found, not listed, and its events are gone."""
    async with open_house(waiting_model()) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Conflict, match="force"):
            await house.call("session/delete", session=live.state.id)
        await house.call("session/delete", session=live.state.id, force=True)
        with pytest.raises(NotFound):
            await house.call("session/get", session=live.state.id)
        assert (await house.call("session/list")).sessions == ()  # type: ignore[attr-defined]
        assert await house.store.read(live.state.id, after=0, limit=10) == []
        assert house.events[-1].kind == "session_deleted"


async def test_nothing_comes_behind_the_erasure(autojump_clock: trio.testing.MockClock) -> None:
    """A prompt that was on its way when its session was deleted is refused, not acknowledged and lost."""
    async with open_house(HELLO) as house:
        live = await house.create()
        gate = trio.Event()

        class Slow(Inline):
            async def run(self, function: Callable[..., T], *args: Any) -> T:
                await gate.wait()
                return await super().run(function, *args)

        async def prompt() -> None:
            with pytest.raises(NotFound):
                await house.prompt(live, "late", key="looked up first")

        async with trio.open_nursery() as nursery:
            house.store._reads = Slow()
            nursery.start_soon(prompt)
            await trio.testing.wait_all_tasks_blocked()
            await house.call("session/delete", session=live.state.id)
            gate.set()
        assert [event.kind for event in house.events] == ["session_created", "session_deleted"]
        assert await house.store.read(live.state.id, after=0, limit=10) == []


async def test_who_hangs_up_while_deleting_leaves_a_session_that_works(autojump_clock: trio.testing.MockClock) -> None:
    """The deletion waits for its turn to end; if nobody waits for the deletion any more the session is there as before."""
    gate = trio.Event()

    class Stubborn(FakeTools):
        async def call(self, *_: Any) -> ToolOutcome:
            with trio.CancelScope(shield=True):
                await gate.wait()
            return said("ok")

    models = FakeModels(lambda prompt: Say(["Hello"]) if count_results(prompt) else Ask([("look", "{}")]))
    async with open_house(models, Stubborn([spec("look")])) as house:
        live = await house.create()
        await house.prompt(live, "go")
        await house.prompt(live, "queued")
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(1) as patience:
            await house.call("session/delete", session=live.state.id, force=True)
        assert patience.cancelled_caught
        gate.set()
        await house.idle(live)
        assert await house.call("session/get", session=live.state.id) == live.state.info
        assert house.kinds(live).count("turn_finished") == 2


async def test_a_session_can_be_deleted_as_soon_as_its_turn_has_ended(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has seen turn_finished need not wait for anything else, and needs no force."""
    async with open_house(HELLO) as house:
        live = await house.create()
        through, gate = house.loop.run_turn, trio.Event()

        async def lingering(live: Live) -> None:
            await through(live)
            await gate.wait()

        monkeypatch.setattr(house.loop, "run_turn", lingering)
        async with trio.open_nursery() as nursery:
            await house.prompt(live, "hi")
            await trio.testing.wait_all_tasks_blocked()
            assert house.events[-1].kind == "turn_finished" and live.busy, "the turn's task is about to end"
            nursery.start_soon(partial(house.call, "session/delete", session=live.state.id))
            await trio.testing.wait_all_tasks_blocked()
            assert house.events[-1].kind == "turn_finished", "nothing is erased under the turn's task"
            gate.set()
        assert house.events[-1].kind == "session_deleted"


async def test_a_turn_that_is_just_beginning_holds_off_a_deletion(autojump_clock: trio.testing.MockClock) -> None:
    """Reserved, not yet in the log: the session is at work."""
    async with open_house(waiting_model()) as house:
        live = await house.create()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(house.prompt, live, "hi")
            while not live.busy:
                await trio.lowlevel.checkpoint()
            with pytest.raises(Conflict, match="at work"):
                await house.call("session/delete", session=live.state.id)
        assert live.state.turn is not None and not live.deleted
