"""Loading, admission, deletion and recovery of sessions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from agentd.core import upkeep
from agentd.core.admission import MAX_QUEUED
from agentd.core.index import index_change
from agentd.core.live import Live
from agentd.core.loading import _CODE
from agentd.ports import ToolOutcome
from agentd.store.opening import open_inline
from agentwire.errors import Conflict, NotFound, Overloaded, Stopping
from tests.core.logs import accepted, begun, created, event, planned, replied, started
from tests.fakes.house import TrioClock, open_house
from tests.fakes.models import Ask, FakeModels, Say, count_results
from tests.fakes.tools import FakeTools, said, spec

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


def waiting_model() -> FakeModels:
    return FakeModels(lambda prompt: Say(["..."], gate=trio.Event()))


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


@pytest.mark.parametrize("every", [1, 500])
def test_a_session_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    """Unloaded and loaded again, through a snapshot or from its events, the projection is the same and goes on."""
    path = str(tmp_path / "log.db")
    monkeypatch.setattr(upkeep, "_SNAPSHOT_EVERY", every)

    async def main() -> None:
        async with open_house(HELLO, path=path) as house:
            live = await house.create()
            await house.prompt(live, "one")
            await house.idle(live)
            live.used = -10_000
            await house.upkeep._tend(live)
            again = await house.sessions.open("local", live.state.id)
            assert again is not live and again.state == live.state
            assert again.saved_seq == (live.state.seq if every == 1 else 0)
            await house.prompt(again, "two")
            await house.idle(again)
            assert again.state.turns == 2
        async with open_house(HELLO, path=path) as house:
            reopened = await house.sessions.open("local", live.state.id)
            assert reopened.state == again.state

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("damaged", [b"no json", b"[]", b'{"id": "x"}', b'{"id": 1, "user": 2}'])
def test_a_damaged_snapshot_costs_time_and_nothing_else(tmp_path: Path, damaged: bytes) -> None:
    """The log has everything: the session is replayed from its beginning."""
    path = str(tmp_path / "log.db")

    async def main() -> None:
        async with open_house(HELLO, path=path) as house:
            live = await house.create()
            await house.prompt(live, "one")
            await house.idle(live)
            await house.store.save_snapshot(live.state.id, live.state.seq, _CODE, damaged)
        async with open_house(HELLO, path=path) as house:
            reopened = await house.sessions.open("local", live.state.id)
            assert reopened.state == live.state

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


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


async def test_a_full_queue_says_so(autojump_clock: trio.testing.MockClock) -> None:
    """The input after the last place is refused, retryable, and nothing of it is in the log."""
    async with open_house(waiting_model()) as house:
        live = await house.create()
        for number in range(MAX_QUEUED + 1):
            await house.prompt(live, f"{number}")
        seq = live.state.seq
        with pytest.raises(Overloaded):
            await house.prompt(live, "one too many")
        assert live.state.seq == seq


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
        through, gate = house.store._read_sync, trio.Event()

        async def slow(*args: Any) -> Any:
            await gate.wait()
            return await through(*args)

        async def prompt() -> None:
            with pytest.raises(NotFound):
                await house.prompt(live, "late", key="looked up first")

        async with trio.open_nursery() as nursery:
            house.store._read_sync = slow
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


def test_a_turn_cut_by_a_stop_goes_on_in_the_next_boot(tmp_path: Path) -> None:
    """A stop in good order keeps the partial text and leaves the turn open; the resume is not counted."""
    path = str(tmp_path / "log.db")

    async def main() -> None:
        models = FakeModels(lambda prompt: Say(["Half a "], gate=None if prompt.continuing else trio.Event()))
        async with open_house(models, path=path) as house:
            live = await house.create()
            await house.prompt(live, "go")
            await trio.testing.wait_all_tasks_blocked()
        assert live.state.turn is not None and live.state.turn.stop == "interrupted"
        async with open_house(FakeModels(lambda prompt: Say(["sentence."])), path=path) as house:
            await house.recover(resume=True, clean=True, grace=0)
            live = await house.sessions.open("local", live.state.id)
            await house.idle(live)
            assert live.state.messages[-1].parts[0].text == "Half a sentence."  # type: ignore[union-attr]
            resumed = [event.body.resumes for event in house.events if event.kind == "turn_resumed"]
            assert resumed == [0]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def left_open(path: str, *bodies: Any) -> None:
    """A log as a killed daemon leaves it."""
    log = open_inline(index_change, TrioClock(), path)
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run, lambda event: None)
        await log.append([event_for(body) for body in bodies])
        log.close()


def event_for(body: Any) -> Any:
    from agentd.ports import NewEvent

    return NewEvent("a" * 32, "local", body)


DOUBT = (created(), accepted(1), started(), replied("", stop="tool_calls", calls=("c0",)), planned("c0"), begun("c0"))


@pytest.mark.parametrize(("watched", "outcome"), [(True, "done"), (False, "interrupted")])
def test_an_unknown_effect_goes_on_only_under_somebodys_eyes(tmp_path: Path, watched: bool, outcome: str) -> None:
    """After a crash inside a call with an effect the turn waits for a watcher; without one it ends interrupted."""
    path = str(tmp_path / "log.db")

    async def main() -> None:
        await left_open(path, *DOUBT)
        tools = FakeTools([spec("look")])
        async with open_house(HELLO, tools, path=path) as house:
            await house.recover(resume=True, clean=False, grace=10.0)
            live = await house.sessions.open("local", "a" * 32)
            if watched:
                house.sessions.watch(live, 1)
            await house.idle(live)
            assert house.events[-1].body.outcome == outcome
            assert tools.calls == []

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("resumes", "resume", "outcome"), [(0, True, "done"), (2, True, "done"), (3, True, "interrupted"), (0, False, "interrupted")]
)
def test_how_often_a_turn_is_resumed(tmp_path: Path, resumes: int, resume: bool, outcome: str) -> None:
    """Three crashes are survived, the fourth ends the turn; resume=never ends it at once. The session stays usable."""
    from agentwire import events as ev

    path = str(tmp_path / "log.db")

    async def main() -> None:
        await left_open(path, *DOUBT[:3], *[ev.TurnResumed(turn=1, resumes=number + 1) for number in range(resumes)])
        async with open_house(HELLO, path=path) as house:
            await house.recover(resume=resume, clean=False, grace=0)
            live = await house.sessions.open("local", "a" * 32)
            await house.idle(live)
            assert house.events[-1].body.outcome == outcome
            await house.prompt(live, "still there?")
            await house.idle(live)
            assert house.events[-1].body.outcome == "done"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_queued_inputs_run_after_a_restart(tmp_path: Path) -> None:
    """In the order in which they were accepted."""
    path = str(tmp_path / "log.db")

    async def main() -> None:
        await left_open(path, created(), accepted(1, "a"), accepted(2, "b"))
        async with open_house(HELLO, path=path) as house:
            await house.recover(resume=True, clean=False, grace=0)
            live = await house.sessions.open("local", "a" * 32)
            await house.idle(live)
            assert [body.input for body in (event.body for event in house.events) if hasattr(body, "input")] == [1, 2]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_replaying_is_living(autojump_clock: trio.testing.MockClock) -> None:
    """The log replayed gives the live state."""
    from agentd.core.state import SessionState

    async with open_house(HELLO) as house:
        live = await house.create()
        for text in ("a", "b", "c"):
            await house.prompt(live, text)
        await house.idle(live)
        replayed = SessionState(live.state.id, "local")
        for found in house.events:
            replayed.apply(found)
        assert replayed == live.state


def test_events_come_in_order() -> None:
    """A gap in a stream is a bug that must not pass silently."""
    from agentd.core.state import SessionState

    with pytest.raises(AssertionError):
        SessionState("s", "ann").apply(event(2, created()))


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
