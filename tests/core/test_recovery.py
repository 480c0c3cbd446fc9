"""What the last boot left open is taken up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from agentd.core.index import index_change
from agentd.ports import NewEvent
from agentd.store.opening import open_inline
from agentwire import events as ev
from tests.core.logs import accepted, begun, created, planned, replied, started
from tests.fakes.house import TrioClock, open_house
from tests.fakes.models import FakeModels, Say
from tests.fakes.tools import FakeTools, spec

HELLO = FakeModels(lambda prompt: Say(["Hello"]))
DOUBT = (created(), accepted(1), started(), replied("", stop="tool_calls", calls=("c0",)), planned("c0"), begun("c0"))


async def left_open(path: str, *bodies: Any) -> None:
    """A log as a killed daemon leaves it."""
    log = open_inline(index_change, TrioClock(), path)
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run, lambda event: None)
        await log.append([NewEvent("a" * 32, "local", body) for body in bodies])
        log.close()


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


def test_a_prompt_that_meets_the_closing_of_a_turn_is_answered(tmp_path: Path) -> None:
    """Nothing is resumed, and what the last boot left in the queue waits; but somebody who comes now is somebody who came."""
    path = str(tmp_path / "log.db")

    async def main() -> None:
        await left_open(path, *DOUBT[:3])
        async with open_house(HELLO, path=path) as house:
            await house.recover(resume=False, clean=False, grace=0)
            live = await house.sessions.open("local", "a" * 32)
            assert live.busy, "the turn of the last boot is not closed yet"
            await house.prompt(live, "still there?")
            await house.idle(live)
            assert [event.body.outcome for event in house.events if event.kind == "turn_finished"] == ["interrupted", "done"]

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
