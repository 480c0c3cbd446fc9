"""A session out of the store: by its snapshot, or by its whole log."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from agentd.core import loading, upkeep
from agentd.core.loading import _CODE
from agentwire.errors import InternalError
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


async def test_a_log_that_cannot_be_read_is_that_sessions_problem(autojump_clock: trio.testing.MockClock) -> None:
    """An event that no code here knows, or that cannot follow: an error with the session's id, and the others are there."""
    async with open_house(HELLO) as house:
        broken, fine = [await house.create() for _ in range(2)]
        await house.ask("session/rename", session=broken.state.id, title="x")
        house.store._writer.db.execute("UPDATE event SET kind = 'from_the_future', sum = NULL WHERE seq = 2")
        for live in (broken, fine):
            house.sessions.unload(live)
        with pytest.raises(InternalError, match=broken.state.id):
            await house.sessions.open("local", broken.state.id)
        assert (await house.sessions.open("local", fine.state.id)).state == fine.state
        assert await loading.load(house.store, "nobody") is None


async def test_whoever_reads_a_log_has_all_of_it(autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, with bodies, from any place on."""
    monkeypatch.setattr(loading, "_PAGE", 2)
    async with open_house(HELLO) as house:
        live = await house.create()
        await house.prompt(live, "hi")
        await house.idle(live)
        for after in range(6):
            events = [event async for event in loading.events_of(house.store, live.state.id, after=after)]
            assert events == house.events[after:]
