"""The keeper in time: when backups are made, what goes from them, and what it says when it cannot."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
import trio.testing

from agentd.core.index import index_change
from agentd.ports import NewEvent
from agentd.store import files
from agentd.store.keeping.keeper import StoreKeeper
from agentd.store.opening import open_inline
from agentd.store.repair.sound import Soundness
from agentwire import events as ev
from agentwire.errors import StorageFull, StoreError
from tests.store.damage import problems, truth
from tests.store.running import noise, opened, renamed, running

DAY, HOUR = 86400.0, 3600.0
SOUND = Soundness()


class JumpyClock:
    """ports.Clock that goes with trio's, and jumps."""

    def __init__(self) -> None:
        self.offset = 1_800_000_000.0

    def now(self) -> float:
        return self.offset + trio.current_time()


@pytest.fixture
def clock() -> JumpyClock:
    return JumpyClock()


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is virtual, and must not run on while a thread works."""

    async def at_once(job: Callable[..., Any], *args: Any) -> Any:
        import threading

        await trio.lowlevel.checkpoint()
        return job(threading.Event(), *args)

    monkeypatch.setattr("agentd.store.keeping.keeper.in_thread", at_once)


@asynccontextmanager
async def kept(folder: Path, clock: JumpyClock, soundness: Soundness = SOUND, *, keep: int = 2) -> AsyncIterator[StoreKeeper]:
    """A keeper at work on a log of one session; time runs when everything waits."""
    path = str(folder / "agentd.db")
    store = open_inline(index_change, clock, path)
    async with running(store), trio.open_nursery() as nursery:
        if not await store.read("s", after=0, limit=1):
            await store.append([opened()])
        keeper = StoreKeeper(store, index_change, clock, soundness, keep=keep)
        nursery.start_soon(keeper.run)
        yield keeper
        nursery.cancel_scope.cancel()
    store._writer.db.close()


def made(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / "backups").glob("*")) if (folder / "backups").exists() else []


async def test_the_first_backup_comes_soon_the_next_after_a_day(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """If anything was committed since; the oldest goes."""
    async with kept(tmp_path, clock) as keeper:
        await trio.sleep(599)
        assert made(tmp_path) == []
        await trio.sleep(2)
        assert made(tmp_path) == ["agentd-20270115T081000Z.db"]
        await trio.sleep(2 * DAY)
        assert len(made(tmp_path)) == 1
        for count in (2, 2):
            await keeper._store.append([renamed()])
            await trio.sleep(DAY + HOUR)
            assert len(made(tmp_path)) == count
    assert made(tmp_path)[0] > "agentd-20270115T081000Z.db"


async def test_a_start_goes_by_the_backups_that_are_there(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """An old one is replaced after a minute, a young one when its day is over."""
    async with kept(tmp_path, clock) as keeper:
        await keeper.backup("")
        await keeper._store.append([renamed()])
    await trio.sleep(DAY - 100)
    async with kept(tmp_path, clock) as keeper:
        await trio.sleep(95)
        assert len(made(tmp_path)) == 1
        await trio.sleep(10)
        assert len(made(tmp_path)) == 2
        await keeper._store.append([renamed()])
    await trio.sleep(9 * DAY)
    async with kept(tmp_path, clock):
        await trio.sleep(61)
        assert made(tmp_path)[-1] > "agentd-20270125"


@pytest.mark.parametrize("jump", [-300 * DAY, -2 * HOUR, 2 * HOUR, 300 * DAY])
async def test_a_clock_that_jumps_delays_no_backup(tmp_path: Path, clock: JumpyClock, jump: float, autojump_clock: object) -> None:
    """Forwards one comes sooner; backwards it comes when the day is over all the same."""
    async with kept(tmp_path, clock) as keeper:
        await trio.sleep(601)
        clock.offset += jump
        await keeper._store.append([renamed()])
        await trio.sleep(DAY + HOUR)
        assert len(made(tmp_path)) == 2


async def test_a_backup_from_the_future_is_no_reason_to_wait(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """A start under a clock that was set back."""
    async with kept(tmp_path, clock) as keeper:
        await keeper.backup("")
        await keeper._store.append([renamed()])
    clock.offset -= 400 * DAY
    async with kept(tmp_path, clock):
        await trio.sleep(601)
        assert len(made(tmp_path)) == 2


async def test_after_a_repair_the_next_backup_comes_soon(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """What is told of it is among the warnings, and open turns wait."""
    async with kept(tmp_path, clock) as keeper:
        await keeper.backup("")
        await keeper._store.append([renamed()])
    soundness = Soundness(("it was repaired",), fresh=True)
    async with kept(tmp_path, clock, soundness) as keeper:
        assert keeper.restored and keeper.warnings == ("it was repaired",)
        await trio.sleep(601)
        assert len(made(tmp_path)) == 2


async def test_never_means_never(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """But by hand."""
    async with kept(tmp_path, clock, keep=0) as keeper:
        await trio.sleep(5 * DAY)
        assert made(tmp_path) == []
        await keeper.backup("")
        assert len(made(tmp_path)) == 1


async def test_a_full_disk_is_said_once_and_tried_again(
    tmp_path: Path, clock: JumpyClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], autojump_clock: object
) -> None:
    """Nothing is left of the attempts; the warning goes with the first that succeeds."""
    room = files.room
    monkeypatch.setattr("agentd.store.files.room", lambda _: 0)
    async with kept(tmp_path, clock) as keeper:
        await trio.sleep(5 * HOUR)
        assert made(tmp_path) == [] and "needs 16 MiB" in keeper.warnings[0]
        assert capsys.readouterr().out.count("backup_failed") == 1
        with pytest.raises(StorageFull):
            await keeper.vacuum()
        monkeypatch.setattr("agentd.store.files.room", room)
        await trio.sleep(HOUR)
        assert len(made(tmp_path)) == 1 and keeper.warnings == ()


async def test_what_is_deleted_goes_from_the_backups_at_once(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """And what a run that was killed did not come to, with the next start."""
    async with kept(tmp_path, clock) as keeper:
        await keeper._store.append([opened("t")])
        (backup,) = [(await keeper.backup("")).path]
        await delete(keeper, "s")
        await trio.testing.wait_all_tasks_blocked()
        assert set(truth(backup)) == {"t"}
        held = await keeper.backup(str(tmp_path / "held.db"))
        await delete(keeper, "t")
        await trio.testing.wait_all_tasks_blocked()
        assert truth(backup) == {}
    os.replace(held.path, backup)
    async with kept(tmp_path, clock):
        await trio.testing.wait_all_tasks_blocked()
        assert set(truth(backup)) == {"user:ann"} and problems(backup) == []


async def delete(keeper: StoreKeeper, session: str) -> None:
    await keeper._store.append([NewEvent("user:ann", "ann", ev.SessionDeleted(session=session))], erase=session)


async def test_damage_that_a_backup_meets_ends_the_daemon(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """The next start repairs it; older backups stay."""
    with pytest.RaisesGroup(StoreError, flatten_subgroups=True, allow_unwrapped=True):
        async with kept(tmp_path, clock) as keeper:
            await keeper._store.alone(lambda db: db.execute("UPDATE event SET at = 1"))
            await trio.sleep(HOUR)
    assert made(tmp_path) == []


async def test_what_was_not_looked_at_before_is_looked_at_later(
    tmp_path: Path, clock: JumpyClock, capsys: pytest.CaptureFixture[str], autojump_clock: object
) -> None:
    """Derived rows are a line in the log; anything else ends the daemon."""
    async with kept(tmp_path, clock, Soundness(unchecked=True), keep=0) as keeper:
        await keeper._store.alone(lambda db: db.execute("UPDATE session SET title = 'wrong'"))
        await trio.sleep(61)
        assert "derived_rows_wrong" in capsys.readouterr().out
        store = keeper._store
    with pytest.RaisesGroup(StoreError, flatten_subgroups=True, allow_unwrapped=True):
        async with kept(tmp_path, clock, Soundness(unchecked=True), keep=0) as keeper:
            store = keeper._store
            await store.alone(lambda db: db.execute("UPDATE event SET at = 1"))
            await trio.sleep(61)
    assert "not what was written" in store.damage


async def test_a_check_by_hand_is_remembered(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """The daemon goes on; the next opening looks at everything."""
    async with kept(tmp_path, clock) as keeper:
        assert await keeper.check(full=True) == [] and keeper._store.damage == ""
        await keeper._store.alone(lambda db: db.execute("UPDATE event SET at = 1"))
        (problem,) = await keeper.check(full=False)
        assert keeper._store.damage == problem


async def test_a_vacuum_gives_back_what_is_unused(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """Between commits; what is reported is the size of the file."""
    async with kept(tmp_path, clock) as keeper:
        for number in range(40):
            await keeper._store.append([opened(f"{number}"), renamed(noise(40_000, number), f"{number}")])
        for number in range(40):
            await delete(keeper, f"{number}")
        info = await keeper.info()
        before, after = await keeper.vacuum()
        assert info.reclaimable > 500_000 and before - after >= info.reclaimable and (await keeper.info()).reclaimable == 0
        assert await keeper.check(full=True) == []


async def test_a_restore_can_be_withdrawn(tmp_path: Path, clock: JumpyClock, autojump_clock: object) -> None:
    """Before it is in place."""
    async with kept(tmp_path, clock) as keeper:
        made_now = await keeper.backup("")
        found, at = await keeper.restore("")
        assert found == made_now and at.startswith(f"{keeper._path}.before-restore-")
        assert staged(tmp_path)
        await keeper.withdraw()
        assert not staged(tmp_path)


def staged(folder: Path) -> list[Path]:
    return list(folder.glob("agentd.db.next.*"))


async def test_a_file_that_cannot_be_erased_from_is_said(
    tmp_path: Path, clock: JumpyClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], autojump_clock: object
) -> None:
    """And is no reason to end."""

    def locked(*_: object) -> int:
        raise apsw.BusyError("locked")

    monkeypatch.setattr("agentd.store.keeping.upkeep.erase", locked)
    async with kept(tmp_path, clock):
        await trio.testing.wait_all_tasks_blocked()
        assert "not_erased_from_backups" in capsys.readouterr().out
