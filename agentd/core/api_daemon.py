"""The methods about the daemon itself, its configuration and its models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from agentd.core.api import Caller, Handler
from agentd.core.sessions import Sessions
from agentd.core.settings import Current
from agentd.ports import Store
from agentwire import methods as m
from agentwire.types import DaemonStatus, ModelInfo


class Host(Protocol):
    """What the methods need to know of the daemon around them."""

    def status(self, sessions: int, running: int) -> DaemonStatus: ...

    def stop(self) -> None: ...

    async def restart(self, environment: Mapping[str, str] | None) -> None: ...

    async def reload(self) -> m.Reloaded: ...


class DaemonMethods:
    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        host: Host,
        settings: Current,
        models: Callable[[bool], Awaitable[Sequence[ModelInfo]]],
    ) -> None:
        self._store, self._sessions, self._host, self._settings, self._models = store, sessions, host, settings, models
        self.handlers: Mapping[str, Handler] = {
            "daemon/status": self._status,
            "daemon/stop": self._stop,
            "daemon/restart": self._restart,
            "daemon/reload": self._reload,
            "config/get": self._config,
            "model/list": self._list_models,
        }

    async def _status(self, _caller: Caller, _: m.Empty) -> DaemonStatus:
        return self._host.status(await self._store.count_sessions(), self._sessions.running)

    async def _stop(self, _caller: Caller, _: m.Empty) -> m.Empty:
        self._host.stop()
        return m.Empty()

    async def _restart(self, _caller: Caller, params: m.Restart) -> m.Empty:
        await self._host.restart(params.environment)
        return m.Empty()

    async def _reload(self, _caller: Caller, _: m.Empty) -> m.Reloaded:
        return await self._host.reload()

    async def _config(self, _caller: Caller, _: m.Empty) -> m.ConfigView:
        settings = self._settings()
        return m.ConfigView(values=settings.values, warnings=settings.warnings)

    async def _list_models(self, _caller: Caller, params: m.ListModels) -> m.ModelList:
        return m.ModelList(models=tuple(await self._models(params.refresh)))
