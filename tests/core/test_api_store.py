"""The methods about the store reach its keeper, and a restore the daemon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trio
from attrs import define, field

from agentd.core.api import Caller
from agentd.core.api_store import StoreMethods
from agentwire import methods as m
from agentwire.errors import Stopping
from agentwire.types import BackupInfo, StoreInfo

BACKUP = BackupInfo(path="/b", at=1.0, bytes=2)
CALLER = Caller(user="local", admin=True)


@define
class FakeKeeper:
    """ports.Keeper that writes down what it was asked."""

    asked: list[Any] = field(factory=list)

    async def info(self) -> StoreInfo:
        raise NotImplementedError

    async def check(self, *, full: bool) -> list[str]:
        await trio.sleep(2)
        return ["broken"] if full else []

    async def backup(self, path: str) -> BackupInfo:
        self.asked.append(("backup", path))
        return BACKUP

    async def restore(self, path: str) -> tuple[BackupInfo, str]:
        self.asked.append(("restore", path))
        return BACKUP, "/kept"

    async def withdraw(self) -> None:
        self.asked.append("withdraw")

    async def vacuum(self) -> tuple[int, int]:
        return 2, 1


@define
class FakeHost:
    stopping: bool = False
    restarts: int = 0

    async def restart(self, environment: Mapping[str, str] | None) -> None:
        assert environment is None
        if self.stopping:
            raise Stopping("the daemon stops already")
        self.restarts += 1


async def test_each_method_asks_the_keeper(autojump_clock: object) -> None:
    """A check says how long it took."""
    methods = StoreMethods(keeper := FakeKeeper(), FakeHost())
    asked = methods.handlers
    assert await asked["store/check"](CALLER, m.CheckStore(full=True)) == m.StoreChecked(problems=("broken",), seconds=2.0)
    assert await asked["store/backup"](CALLER, m.StorePath(path="/b")) == BACKUP
    assert await asked["store/vacuum"](CALLER, m.Empty()) == m.Vacuumed(before=2, after=1)
    assert keeper.asked == [("backup", "/b")]


async def test_a_restore_restarts_the_daemon() -> None:
    """It is answered before: the client hears where the old store is."""
    methods = StoreMethods(FakeKeeper(), host := FakeHost())
    answer = await methods.handlers["store/restore"](CALLER, m.StorePath())
    assert answer == m.StoreRestored(backup=BACKUP, kept="/kept") and host.restarts == 1


async def test_a_restore_that_cannot_restart_is_taken_back() -> None:
    """Who was told that it failed must not find it done one day."""
    methods = StoreMethods(keeper := FakeKeeper(), FakeHost(stopping=True))
    with pytest.raises(Stopping):
        await methods.handlers["store/restore"](CALLER, m.StorePath())
    assert keeper.asked == [("restore", ""), "withdraw"]
