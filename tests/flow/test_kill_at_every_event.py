"""The turn is a function of the log: killed anywhere and restarted, it ends with the same history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
import trio.testing

from agentd.core.index import index_change
from agentd.ports import Message, Prompt
from agentd.store.log import EventLog
from agentd.store.opening import open_inline
from agentd.store.worker import Inline
from agentwire.errors import StoreError
from agentwire.types import Effect, SessionFilter, ToolResult
from tests.fakes.house import TrioClock, open_house
from tests.fakes.models import Ask, FakeModels, Reply, Say, count_results
from tests.fakes.tools import FakeTools, spec


def two_tools(prompt: Prompt) -> Reply:
    """A turn of three steps: two calls at once, one more, the answer."""
    return [
        Ask([("look", '{"n":1}'), ("look", '{"n":2}')], "Let me see."),
        None,
        Ask([("look", '{"n":3}')]),
        Say(["All ", "three ", "seen."]),
    ][count_results(prompt)]  # type: ignore[return-value]


class Mortal(Inline):
    """A store whose daemon dies at commit number `last` (from 0): before it is written, or right after."""

    def __init__(self, path: str, last: int, *, written: bool) -> None:
        self.log = open_inline(index_change, TrioClock(), path)
        self.commits = 0
        self._last, self._written = last, written
        self.log._writes = self

    def submit(self, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        commits = getattr(work, "func", None) == self.log._writer.commit  # not what the writer asks before its first
        super().submit(partial(self._commit, work) if commits else work, done)

    def _commit(self, work: Callable[[], Any]) -> None:
        dying = self.commits >= self._last
        if self._written or not dying:
            work()
        self.commits += 1
        if dying:
            raise apsw.IOError("the machine died")


async def run_until_death(store: EventLog, tools: FakeTools) -> None:
    async with open_house(FakeModels(two_tools), tools, store=store) as house:
        live = await house.create()
        await house.prompt(live, "look at three things")
        await house.idle(live)


async def finish(path: str, tools: FakeTools) -> tuple[list[Said], list[str]]:
    """Restart as often as it takes; the history of the one session, and its kinds."""
    async with open_house(FakeModels(two_tools), tools, path=path) as house:
        await house.recover(resume=True, clean=False, grace=0.0)
        rows = await house.store.sessions("local", SessionFilter(), before="", limit=2)
        if not rows:
            return [], []
        live = await house.sessions.open("local", rows[0].id)
        if not live.state.turns:
            await house.prompt(live, "look at three things")
        await house.idle(live)
        events = await house.store.read(live.state.id, after=0, limit=1000)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return without_session(live.state.messages), [event.kind for event in events]


Said = tuple[str, tuple[Any, ...]]
"""A message's role and parts."""


def without_session(messages: Sequence[Message]) -> list[Said]:
    """Call ids begin with the session's; two runs have two sessions."""
    return [(message.role, tuple(_without(part) for part in message.parts)) for message in messages]


def _without(part: Any) -> Any:
    if hasattr(part, "arguments_json"):
        return (part.name, part.arguments_json, part.id[32:])
    return (part.call[32:], part.parts, part.is_error) if isinstance(part, ToolResult) else part


def death_and_resurrection(path: str, last: int, tools: FakeTools, *, written: bool) -> tuple[list[Said], int]:
    """The history in the end, and how many commits the first run came to."""
    mortal = Mortal(path, last, written=written)

    async def main() -> list[Said]:
        try:
            await run_until_death(mortal.log, tools)
        except* StoreError:
            pass
        return (await finish(path, tools))[0]

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)), mortal.commits


def looking(effect: Effect) -> FakeTools:
    return FakeTools([spec("look", effect=effect, n={"type": "integer"})], results={"look": ["seen"]})


@pytest.mark.parametrize("written", [False, True])
def test_killed_at_every_commit_the_history_is_the_same(tmp_path: Path, written: bool) -> None:
    """A turn with tools that are safe to repeat ends with one history, wherever the daemon died."""
    whole, commits = death_and_resurrection(str(tmp_path / "whole.db"), 1000, looking("read"), written=True)
    assert [role for role, _ in whole] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert commits >= 7
    for last in range(commits):
        history, reached = death_and_resurrection(str(tmp_path / f"{last}.db"), last, looking("read"), written=written)
        assert reached == last + 1, "the first run must have died"
        assert history == whole or (history == [] and last == 0 and not written), f"killed at commit {last}"


@pytest.mark.parametrize("written", [False, True])
def test_an_effect_is_never_repeated(tmp_path: Path, written: bool) -> None:
    """A tool whose effect must happen once runs at most once per call; the model learns which outcomes are unknown."""
    commits = death_and_resurrection(str(tmp_path / "whole.db"), 1000, looking("once"), written=True)[1]
    for last in range(commits):
        tools = looking("once")
        path = str(tmp_path / f"{last}.db")
        death_and_resurrection(path, last, tools, written=written)
        made = [called.context.call for called in tools.calls]
        assert len(made) == len(set(made)), f"killed at commit {last}: {made}"
