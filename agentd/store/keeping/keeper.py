"""The upkeep of a log in use: daily backups, what must be erased from them, checks, and what is asked of it by hand.

Theory of operation: one piece of work at a time, in a worker thread with connections of its own, so that neither the loop nor a
commit waits for it. Only space is given back by the writer itself, in steps between the commits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

import apsw
import structlog
import trio

from agentd.ports import Clock, Indexer
from agentd.store import files, history
from agentd.store.keeping import backup, restoring, upkeep
from agentd.store.keeping.jobs import in_thread
from agentd.store.log import EventLog
from agentd.store.repair.sound import Soundness
from agentwire.errors import StorageFull, StoreError
from agentwire.types import BackupInfo, StoreInfo

log = structlog.get_logger()

_DAY, _HOUR = 86400.0, 3600.0
_FIRST = 600.0
"""Seconds after a start until the first backup there ever is, or the first after a repair: who only tries agentd has left then."""
_SETTLED = 60.0
"""Seconds after a start in which open turns have been taken up, and a backup that is due begins."""
_PAGES = 200
"""Of 4 KiB that are given back in one step: about 3 ms."""


class StoreKeeper:
    """ports.Keeper. `keep`: how many backups there may be; 0: none are made by themselves."""

    def __init__(self, store: EventLog, index: Indexer, clock: Clock, soundness: Soundness, *, keep: int) -> None:
        self._store, self._index, self._clock, self._soundness, self._keep = store, index, clock, soundness, keep
        self._path = store.path
        self._one = trio.Lock()
        self._failed = ""

    @property
    def warnings(self) -> Sequence[str]:
        """What the user should know: of the file's past, and of backups that fail."""
        return (*self._soundness.notices, *([f"The last backup failed: {self._failed}"] if self._failed else ()))

    @property
    def restored(self) -> bool:
        """The log is not the one of the last run: what was open in it may have happened differently."""
        return self._soundness.fresh

    async def run(self) -> None:
        """Until cancelled. Error handling: StoreError if the log turns out to be damaged; the next start repairs it."""
        await in_thread(lambda _: backup.tidy(self._path))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forget)
            nursery.start_soon(self._settle)
            if self._soundness.unchecked:
                nursery.start_soon(self._finish_check)
            if self._keep:
                nursery.start_soon(self._back_up_daily)

    # --- by itself -----------------------------------------------------------------------------------------------------------

    async def _forget(self) -> None:
        """What was deleted goes from the backups, too; also what a run before us did not come to."""
        while True:
            erased = self._store.erased
            async with self._one:
                await self._erase()
            await erased.wait()

    async def _erase(self) -> None:
        try:
            if count := await in_thread(upkeep.erase, self._path, self._clock.now()):
                log.info("erased_from_backups", sessions=count)
        except (apsw.Error, OSError) as error:  # with the next deletion or start it is tried again
            log.warning("not_erased_from_backups", reason=str(error))

    async def _settle(self) -> None:
        await trio.sleep(_SETTLED)
        if self._soundness.fresh:
            await self._store.maintain(lambda db: history.settle(db, clean=False))

    async def _finish_check(self) -> None:
        await trio.sleep(_SETTLED)
        async with self._one:
            problems = await in_thread(upkeep.problems, self._path, self._index, True)
        for problem in problems:
            if not problem.stream:
                self._end(problem.text)
            log.warning("derived_rows_wrong", reason=problem.text)

    def _end(self, reason: str) -> NoReturn:
        self._store.damage = reason
        raise StoreError(f"{self._path} is damaged: {reason}. The next start repairs it.")

    async def _back_up_daily(self) -> None:
        """Counted on the monotonic clock; the wall clock can only bring the next one nearer."""
        left = _FIRST if self._soundness.fresh else self._until_due()
        while True:
            nap = min(left, _HOUR)
            await trio.sleep(nap)
            left = min(left - nap, self._until_due()) if left > nap else await self._back_up_if_needed()

    def _until_due(self) -> float:
        """Seconds; a backup from the future says nothing of its age."""
        newest = next(iter(files.backups(self._path, self._clock.now())), None)
        age = self._clock.now() - files.time_of(newest) if newest else -1.0
        return _FIRST if age < 0 else max(_DAY - age, _SETTLED)

    async def _back_up_if_needed(self) -> float:
        """Returns the seconds until the next look."""
        async with self._one:
            try:
                if not await in_thread(upkeep.outdated, self._path, self._clock.now()):
                    return _HOUR
                made = await in_thread(backup.daily, self._path, self._clock.now(), self._keep)
            except (StorageFull, OSError) as error:
                self._warn(str(error))
                return _HOUR
            except (StoreError, apsw.Error) as error:
                await self._suspect(str(error))
                return _HOUR
            log.info("backup_made", path=made)
            self._failed = ""
            await self._erase()  # of what was deleted while it was made
        return _DAY

    def _warn(self, reason: str) -> None:
        if not self._failed:
            log.warning("backup_failed", reason=reason)
        self._failed = reason

    async def _suspect(self, reason: str) -> None:
        """A copy that is not sound: because of the log, or of the disk it is on?"""
        for problem in await in_thread(upkeep.problems, self._path, self._index, True):
            if not problem.stream:
                self._end(problem.text)
        self._warn(reason)

    # --- by hand -------------------------------------------------------------------------------------------------------------

    async def info(self) -> StoreInfo:
        return await in_thread(upkeep.info, self._path, self._clock.now(), self._store.full)

    async def check(self, *, full: bool) -> Sequence[str]:
        async with self._one:
            problems = await in_thread(upkeep.problems, self._path, self._index, full)
        if problems:  # the next opening repairs it
            self._store.damage = problems[0].text
        return [problem.text for problem in problems]

    async def backup(self, path: str) -> BackupInfo:
        async with self._one:
            now = self._clock.now()
            made = await in_thread(upkeep.backup, self._path, path, now, max(self._keep, 1))
            if not path:
                self._failed = ""
                await self._erase()
        return upkeep.describe(made)

    async def restore(self, path: str) -> tuple[BackupInfo, str]:
        async with self._one:
            restored = await in_thread(lambda _: restoring.prepare(self._path, path, self._clock.now()))
        log.info("restore_prepared", source=restored.source, kept=restored.kept)
        return upkeep.describe(restored.source), restored.kept

    async def withdraw(self) -> None:
        async with self._one:
            await in_thread(lambda _: files.unstage(self._path))

    async def vacuum(self) -> tuple[int, int]:
        async with self._one:
            before = (await self.info()).reclaimable
            size, needed, old = await in_thread(upkeep.space, self._path)
            if files.room(os.path.dirname(self._path)) < needed:
                raise StorageFull(f"a vacuum needs {needed // 2**20} MiB of free space beside {self._path}")
            if old:  # made by a release whose files cannot give back space in steps: once all of it is written anew
                await self._store.alone(upkeep.rewrite)
            elif before:
                while await self._store.maintain(lambda db: upkeep.give_back(db, _PAGES)):
                    await trio.lowlevel.checkpoint()
            return size, (await in_thread(upkeep.space, self._path))[0]
