"""Opening: what a daemon opens is sound; damage that it met is known to the next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentd.core.index import index_change
from agentd.store import files
from agentd.store.opening import open_log, open_sound
from agentwire.errors import InternalError, StoreError
from tests.store.damage import NOW, Log, lived, truth
from tests.store.running import renamed, running


class Clock:
    def now(self) -> float:
        return NOW + 5000


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return lived(tmp_path / "agentd.db")


async def test_a_sound_log_is_opened_as_it_is(log: Log, tmp_path: Path) -> None:
    """Nothing is told, and writing goes on where it ended."""
    path = log.leave(tmp_path / "left")
    async with open_sound(str(path), index_change, Clock()) as (store, soundness), running(store):
        assert soundness.notices == () and not soundness.fresh
        (event,) = await store.append([renamed(stream="b" * 32)])
        assert event.seq == 10


async def test_damage_that_is_met_is_marked_for_the_next_opening(log: Log, tmp_path: Path) -> None:
    """Reading it is an error for who reads; the next opening repairs it, although this one ended well."""
    path = log.leave(tmp_path / "left")
    async with open_sound(str(path), index_change, Clock()) as (store, _), running(store):
        await store.alone(lambda db: db.execute("UPDATE event SET at = 1 WHERE pos = 3"))
        with pytest.raises(InternalError, match="event 3"):
            await store.read("a" * 32, after=0, limit=10)
        await store.append([renamed(stream="b" * 32)])
        await store.end_boot("boot")
    assert marked(path)
    async with open_sound(str(path), index_change, Clock()) as (store, soundness), running(store):
        assert "was damaged" in soundness.notices[0] and len(await store.read("b" * 32, after=9, limit=10)) == 1
    assert truth(path)["a" * 32] == truth(log.path)["a" * 32]


def marked(path: Path) -> bool:
    return os.path.exists(files.damaged_mark(str(path)))


async def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """With the file, and what to do."""
    (tmp_path / "agentd.db").mkdir()
    with pytest.raises(StoreError, match="Check the permissions"):
        async with open_log(str(tmp_path / "agentd.db"), index_change, Clock()):
            pytest.fail("it is a folder")
