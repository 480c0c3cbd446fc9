"""The providers that are configured, and made anew when their configuration changes.

Theory of operation: what is asked of a provider goes through a `_Hosted`, which counts its open replies. A provider with another
configuration is another provider: it takes the requests from now on, and the one before it is closed as soon as its last reply has
ended. Connections, keys and circuits that are not concerned stay. A provider is made, and its service run, when it is first asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import cast

import trio
from attrs import evolve

from agentd.ports import Fetched, ModelLimits, Prompt, Provider, Puller, Stream
from agentd.providers.catalog import Catalog, capabilities
from agentd.providers.catalog_data import TABLES
from agentd.wiring_models import VENDORS, Reconfigurable, catalog_of, elsewhere, fetches, foreign, identity, made, names, wanted
from agentwire.config import Config, ProviderConfig
from agentwire.errors import ProviderDown
from agentwire.types import ModelInfo, ProviderStatus

_NOBODY = ProviderConfig()


class _Hosted:
    """A `ports.Provider` in use. `shown`: whether people are told of it. `quiet`: set while it has no open reply."""

    def __init__(self, name: str, config: Config, catalog: Catalog, start: Callable[[_Hosted], Awaitable[None]]) -> None:
        self.name = name
        self._start = start
        self._config, self._catalog = config, catalog
        self._inner: Reconfigurable | None = None
        if foreign(name, config):
            self._inner = made(name, config, catalog)  # what is wrong with it is an error of the configuration
        self._asked: Provider | None = None
        self.identity = identity(name, config)
        self.shown = wanted(name, config)
        self.quiet = trio.Event()
        self.quiet.set()
        self.scope = trio.CancelScope()
        self._open = 0
        self._door = trio.Lock()
        self._runs = False

    @property
    def made(self) -> bool:
        return self._inner is not None

    @property
    def inner(self) -> Reconfigurable:
        """Raises ProviderDown if its code cannot be read at the moment: there may be no descriptor for the file."""
        if self._inner is None:
            with self._readable():
                self._inner = made(self.name, self._config, self._catalog)
        return self._inner

    @property
    def asked(self) -> Provider:
        """With what the model lacks made up for. Raises as `inner` does."""
        if self._asked is None:
            inner = self.inner
            with self._readable():
                from agentd.providers.emulation import Emulating

            self._asked = Emulating(inner, self._catalog)
        return self._asked

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ImportError) as error:
            raise ProviderDown(f"the provider {self.name} cannot be loaded: {getattr(error, 'strerror', None) or error}") from error

    @property
    def keys(self) -> int:
        return self.inner.keys

    def limits(self, model: str) -> ModelLimits:
        return self.inner.limits(model)

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[Stream]:
        return self._stream(prompt)

    @asynccontextmanager
    async def _stream(self, prompt: Prompt) -> AsyncIterator[Stream]:
        if prompt.key >= self.keys:  # there were more when the request began
            prompt = evolve(prompt, key=prompt.key % self.keys)
        self._open += 1
        if self._open == 1:
            self.quiet = trio.Event()
        try:
            await self.running()
            async with self.asked.stream(prompt) as stream:
                yield stream
        finally:
            self._open -= 1
            if not self._open:
                self.quiet.set()

    async def models(self) -> Sequence[ModelInfo]:
        """Nothing where nobody asked for it: not every machine has an Ollama."""
        return await self.inner.models() if self.shown else ()

    async def prewarm(self) -> None:
        await self.running()
        await self.asked.prewarm()

    def status(self) -> tuple[str, str]:
        try:
            return self.inner.status()
        except ProviderDown as error:
            return "unavailable", error.message

    async def pull(self, model: str, report: Callable[[Fetched], None]) -> None:
        """See `ports.Puller.pull`. Only for those that can."""
        await cast("Puller", self.inner).pull(model, report)

    def reconfigure(self, config: Config) -> None:
        """For all that does not make it another one."""
        self.shown = wanted(self.name, config)
        self._config = config
        if self._inner is not None:
            self._inner.reconfigure(config.timeouts)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ends when its scope is cancelled."""
        with self.scope:
            await self.inner.run(task_status=task_status)

    async def running(self) -> None:
        """Its service runs when this returns."""
        if not self._runs:
            async with self._door:
                if not self._runs:
                    await self._start(self)
                    self._runs = True

    async def aclose(self) -> None:
        if self._inner is not None:
            await self._inner.aclose()


class Providers(Mapping[str, Provider]):
    """All vendors, and what the user added, by name. `pullers`: those that can fetch models.

    One that is no more configured is still found under its name, for requests that began
    before; it is not among the names.
    """

    def __init__(self, config: Config) -> None:
        self.pullers: dict[str, Puller] = {}
        self._config, self._catalog = config, catalog_of(config)
        self._current = {name: _Hosted(name, config, self._catalog, self._start) for name in names(config)}
        self._gone: dict[str, _Hosted] = {}
        self._ending: set[_Hosted] = set()
        self._services: trio.Nursery | None = None
        self._list_pullers()

    def __getitem__(self, name: str) -> Provider:
        return self._current.get(name) or self._gone[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current)

    def __len__(self) -> int:
        return len(self._current)

    def described(self, provider: str, model: str) -> ModelInfo:
        """See `model_list.Known`."""
        data = self._catalog.find(provider, model)
        return ModelInfo(
            id=f"{provider}/{model}",
            context=data.context,
            max_output=data.max_output,
            price=data.price,
            capabilities=capabilities(data),
            known=data.known,
        )

    def built_in(self) -> Sequence[ModelInfo]:
        """Of the vendors that have a key, at their own address, the newest first. On one's own machine is only what was fetched."""
        remote = self._config.providers.remote
        asked = [name for name in VENDORS if self._current[name].shown and not elsewhere(name, remote[name])]
        return [self.described(name, row[0]) for name in asked for row in reversed(TABLES[name]) if "*" not in row[0]]

    def named(self) -> Sequence[str]:
        return [name for name in self._config.parameters if "*" not in name and "/" in name]

    def names(self, provider: str) -> Sequence[str]:
        known = () if elsewhere(provider, self._config.providers.remote.get(provider, _NOBODY)) else TABLES.get(provider, ())
        return [row[0] for row in known if "*" not in row[0]]

    def statuses(self) -> tuple[ProviderStatus, ...]:
        found = [(name, *hosted.status()) for name, hosted in self._current.items() if hosted.shown]
        return tuple([ProviderStatus(name=name, state=state, detail=detail) for name, state, detail in found])

    async def replace(self, config: Config) -> Sequence[str]:
        """Requests from now on go by this configuration; replies that are under way end as they began. Not twice at once.

        The names of those that are other ones now. Code of others is imported in a worker thread.

        Error handling: ConfigError for a class of the user's that cannot be made; then nothing has changed.
        """
        before, catalog = self._current, catalog_of(config)
        same = {name for name in names(config) if name in before and before[name].identity == identity(name, config)}
        renewed = {name: await self._hosted(name, config, catalog) for name in names(config) if name not in same}
        self._config, self._catalog = config, catalog
        self._current = {name: renewed.get(name) or before[name] for name in names(config)}
        for name in same:
            before[name].reconfigure(config)
        for hosted in renewed.values():
            if hosted.made:
                self._begin(hosted.running)
        for name in before.keys() - same:
            if name not in renewed:
                self._gone[name] = before[name]
            self._retire(before[name])
        self._list_pullers()
        return list(renewed)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The services of all that were asked, until cancelled."""
        async with trio.open_nursery() as self._services:
            for hosted in self._current.values():
                if hosted.made:
                    await hosted.running()
            task_status.started()
            await trio.sleep_forever()

    async def aclose(self) -> None:
        for hosted in {*self._current.values(), *self._gone.values(), *self._ending}:
            await hosted.aclose()

    async def _hosted(self, name: str, config: Config, catalog: Catalog) -> _Hosted:
        if foreign(name, config):
            return await trio.to_thread.run_sync(_Hosted, name, config, catalog, self._start, abandon_on_cancel=True)
        return _Hosted(name, config, catalog, self._start)

    async def _start(self, hosted: _Hosted) -> None:
        if self._services is not None:
            await self._services.start(hosted.run)

    def _begin(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        if self._services is not None:
            self._services.start_soon(task, *args)

    def _list_pullers(self) -> None:
        self.pullers.clear()
        self.pullers.update({name: hosted for name, hosted in self._current.items() if fetches(name, self._config)})

    def _retire(self, hosted: _Hosted) -> None:
        self._ending.add(hosted)
        self._begin(self._close, hosted)

    async def _close(self, hosted: _Hosted) -> None:
        """Not while anything is open: a reply that goes on, or a request that tries again."""
        while not hosted.quiet.is_set():
            await hosted.quiet.wait()
        hosted.scope.cancel()
        await hosted.aclose()
        self._ending.discard(hosted)
