"""The providers that are configured, made of their adapters, and made anew when their configuration changes.

Theory of operation: what is asked of a provider goes through a `_Hosted`, which counts its open replies. A provider with another
configuration is another provider: it takes the requests from now on, and the one before it is closed as soon as its last reply has
ended. Connections, keys and circuits that are not concerned stay. An adapter is imported and made when it is first needed: all of
them are 2 MB, and most daemons need one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

import trio
from attrs import evolve

from agentd.core.routes import Alias
from agentd.ports import Fetched, ModelLimits, Prompt, Provider, Puller, Stream
from agentd.providers.catalog import Catalog, capabilities
from agentd.providers.catalog_data import TABLES
from agentd.spawn import TrioSpawner
from agentwire.config import Config, ProviderConfig, Timeouts
from agentwire.types import ModelInfo, ProviderStatus

if TYPE_CHECKING:
    from agentd.providers.dialect import Dialect

_VENDORS: Mapping[str, str] = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "deepseek": "api.deepseek.com",
    "qwen": "dashscope-intl.aliyuncs.com",
}
"""Where the prices hold that the catalog knows."""


class Reconfigurable(Provider, Protocol):
    """A provider as it is made here."""

    def reconfigure(self, timeouts: Timeouts) -> None: ...


def catalog_of(config: Config) -> Catalog:
    """What is known of models, and what the configuration says of them."""
    hosts = {f"{name}/*": {"context": one.context} for name, one in config.providers.remote.items() if one.context}
    told = {name: one.told for name, one in config.parameters.items()}
    overrides = {name: {**hosts.get(name, {}), **told.get(name, {})} for name in (*hosts, *told)}
    elsewhere = [name for name, one in config.providers.remote.items() if _elsewhere(name, one)]
    return Catalog(overrides, cap=config.max_context, elsewhere=elsewhere)


def aliases_of(config: Config) -> dict[str, Alias]:
    """As the router takes them."""
    return {
        name: Alias(
            models=tuple([model for model, _ in alias.candidates]),
            weights=tuple([weight for _, weight in alias.candidates]),
            strategy=alias.strategy,
        )
        for name, alias in config.models.items()
    }


def _elsewhere(name: str, config: ProviderConfig) -> bool:
    return name in _VENDORS and bool(config.base_url) and not _official(name, config)


def _official(name: str, config: ProviderConfig) -> bool:
    return not config.base_url or urlsplit(config.base_url).hostname == _VENDORS[name]


def dialect_of(name: str, config: ProviderConfig) -> Dialect:
    """What is spoken with this provider."""
    spoken = config.dialect
    if name == "openai" and not spoken and _official(name, config):
        spoken = "responses"
    match spoken or name:
        case "responses":
            from agentd.providers.responses_dialect import ResponsesDialect

            return ResponsesDialect(name)
        case "anthropic":
            from agentd.providers.messages_dialect import MessagesDialect

            return MessagesDialect(name)
        case _:
            from agentd.providers.chat_dialect import ChatDialect

            return ChatDialect(name, config.base_url)


def _made(name: str, config: Config, catalog: Catalog) -> Reconfigurable:
    if name == "local":
        from agentd.providers.local import LocalProvider

        local, paths = config.providers.local, config.paths
        first = config.model.removeprefix("local/") if config.model.startswith("local/") else ""
        return LocalProvider(local, config.timeouts, paths.models, paths.runtime, TrioSpawner(), catalog, first=first)
    told = config.providers.remote[name]
    if told.path:
        from agentd.providers import custom

        return custom.load(name, told, config.timeouts)
    asked = evolve(told, api_key="", api_keys=told.pool, context=0)  # the catalog knows the context
    if _fetches(name, config):
        from agentd.providers.ollama import OllamaProvider

        return OllamaProvider(name, asked, config.timeouts, catalog)
    from agentd.providers.endpoint import Endpoint

    return Endpoint(name, dialect_of(name, told), asked, config.timeouts, catalog)


def _fetches(name: str, config: Config) -> bool:
    """Whether it is an Ollama."""
    told = config.providers.remote.get(name)
    return told is not None and not told.path and (told.dialect or name) == "ollama"


def _names(config: Config) -> list[str]:
    return ["local", *config.providers.remote]


def _wanted(name: str, config: Config) -> bool:
    """Whether somebody configured it, or wants its models."""
    return name in config.providers.usable or any(model.strip().startswith(f"{name}/") for model in config.model.split(","))


def _identity(name: str, config: Config) -> object:
    """What it is made of: while this is the same, so is the provider."""
    one = config.providers.local if name == "local" else config.providers.remote[name]
    parameters = {of: said for of, said in config.parameters.items() if of.startswith((f"{name}/", "*"))}
    return one, parameters, config.max_context


class _Hosted:
    """A `ports.Provider` in use. `shown`: whether people are told of it. `quiet`: set while it has no open reply."""

    def __init__(self, name: str, config: Config, catalog: Catalog, start: Callable[[_Hosted], Awaitable[None]]) -> None:
        self.name = name
        self._start = start
        self._config, self._catalog = config, catalog
        self._inner: Reconfigurable | None = None
        if name in config.providers.remote and config.providers.remote[name].path:
            self._inner = _made(name, config, catalog)  # what is wrong with it is an error of the configuration
        self._asked: Provider | None = None
        self.identity = _identity(name, config)
        self.shown = _wanted(name, config)
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
        if self._inner is None:
            self._inner = _made(self.name, self._config, self._catalog)
        return self._inner

    @property
    def asked(self) -> Provider:
        """With what the model lacks made up for."""
        if self._asked is None:
            from agentd.providers.emulation import Emulating

            self._asked = Emulating(self.inner, self._catalog)
        return self._asked

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
        return self.inner.status()

    async def pull(self, model: str, report: Callable[[Fetched], None]) -> None:
        """See `ports.Puller.pull`. Only for those that can."""
        await cast("Puller", self.inner).pull(model, report)

    def reconfigure(self, config: Config) -> None:
        """For all that does not make it another one."""
        self.shown = _wanted(self.name, config)
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
        self._current = {name: _Hosted(name, config, self._catalog, self._start) for name in _names(config)}
        self._gone: dict[str, _Hosted] = {}
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
        """Of the vendors that have a key: what runs on one's own machine is what was fetched."""
        asked = [name for name in _VENDORS if name in self._current and self._current[name].shown]
        return [self.described(name, row[0]) for name in asked for row in TABLES.get(name, ()) if "*" not in row[0]]

    def named(self) -> Sequence[str]:
        return [name for name in self._config.parameters if "*" not in name and "/" in name]

    def statuses(self) -> tuple[ProviderStatus, ...]:
        found = [(name, *hosted.status()) for name, hosted in self._current.items() if hosted.shown]
        return tuple([ProviderStatus(name=name, state=state, detail=detail) for name, state, detail in found])

    def replace(self, config: Config) -> Sequence[str]:
        """Requests from now on go by this configuration; replies that are under way end as they began.

        The names of those that are other ones now.
        """
        self._config, self._catalog = config, catalog_of(config)
        before, renewed = self._current, []
        self._current = {}
        for name in _names(config):
            old = before.pop(name, None)
            if old is not None and old.identity == _identity(name, config):
                old.reconfigure(config)
                self._current[name] = old
                continue
            self._current[name] = made = _Hosted(name, config, self._catalog, self._start)
            renewed.append(name)
            if made.made:
                self._begin(made.running)
            if old is not None:
                self._begin(self._close, old)
        for name, old in before.items():
            self._gone[name] = old
            self._begin(self._close, old)
        self._list_pullers()
        return renewed

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The services of all that were asked, until cancelled."""
        async with trio.open_nursery() as self._services:
            for hosted in self._current.values():
                if hosted.made:
                    await hosted.running()
            task_status.started()
            await trio.sleep_forever()

    async def aclose(self) -> None:
        for hosted in self._current.values():
            await hosted.aclose()

    async def _start(self, hosted: _Hosted) -> None:
        if self._services is not None:
            await self._services.start(hosted.run)

    def _begin(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        if self._services is not None:
            self._services.start_soon(task, *args)

    def _list_pullers(self) -> None:
        self.pullers.clear()
        self.pullers.update({name: hosted for name, hosted in self._current.items() if _fetches(name, self._config)})

    async def _close(self, hosted: _Hosted) -> None:
        """Not while anything is open: a reply that goes on, or a request that tries again."""
        while not hosted.quiet.is_set():
            await hosted.quiet.wait()
        hosted.scope.cancel()
        await hosted.aclose()
