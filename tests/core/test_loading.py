"""A session out of the store: by its snapshot, or by its whole log."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from agentd.core import upkeep
from agentd.core.loading import _CODE
from tests.fakes.house import open_house
from tests.fakes.models import FakeModels, Say

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


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
