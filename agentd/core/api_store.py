"""The methods about the store's file: how it is, whether it is sound, copies of it, and a copy in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import trio

from agentd.core.api import Caller, Handler
from agentd.ports import Keeper
from agentwire import methods as m
from agentwire.errors import AgentError
from agentwire.types import BackupInfo, StoreInfo


class Restarting(Protocol):
    """What a restore needs of the daemon."""

    async def restart(self, environment: Mapping[str, str] | None) -> None: ...


class StoreMethods:
    def __init__(self, keeper: Keeper, host: Restarting) -> None:
        self._keeper, self._host = keeper, host
        self.handlers: Mapping[str, Handler] = {
            "store/info": self._info,
            "store/check": self._check,
            "store/backup": self._backup,
            "store/restore": self._restore,
            "store/vacuum": self._vacuum,
        }

    async def _info(self, _caller: Caller, _: m.Empty) -> StoreInfo:
        return await self._keeper.info()

    async def _check(self, _caller: Caller, params: m.CheckStore) -> m.StoreChecked:
        began = trio.current_time()
        problems = await self._keeper.check(full=params.full)
        return m.StoreChecked(problems=tuple(problems), seconds=round(trio.current_time() - began, 3))

    async def _backup(self, _caller: Caller, params: m.StorePath) -> BackupInfo:
        return await self._keeper.backup(params.path)

    async def _restore(self, _caller: Caller, params: m.StorePath) -> m.StoreRestored:
        backup, kept = await self._keeper.restore(params.path)
        with trio.CancelScope(shield=True):  # whoever asked may go: what is prepared is used or withdrawn
            try:
                await self._host.restart(None)
            except AgentError:
                await self._keeper.withdraw()
                raise
        return m.StoreRestored(backup=backup, kept=kept)

    async def _vacuum(self, _caller: Caller, _: m.Empty) -> m.Vacuumed:
        before, after = await self._keeper.vacuum()
        return m.Vacuumed(before=before, after=after)
