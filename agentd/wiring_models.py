"""What the configuration says of models, as what they are made of: adapters with their dialects, the catalog, aliases.

An adapter is imported when it is first needed: all of them are 2 MB, and most daemons need one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from attrs import evolve

from agentd.core.routes import Alias
from agentd.ports import Provider
from agentd.providers.catalog import Catalog
from agentd.spawn import TrioSpawner
from agentwire.config import Config, ProviderConfig, Timeouts
from agentwire.config_models import OPENAI_HOST, ProvidersConfig, spoken

if TYPE_CHECKING:
    from agentd.providers.dialect import Dialect

VENDORS: Mapping[str, str] = {
    "openai": OPENAI_HOST,
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
    unpriced = [name for name, one in config.providers.remote.items() if elsewhere(name, one)]
    return Catalog(overrides, cap=config.max_context, elsewhere=unpriced)


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


def elsewhere(name: str, config: ProviderConfig) -> bool:
    """Whether it has a vendor's name, but is at another address: with other models and other prices."""
    return name in VENDORS and bool(config.base_url) and urlsplit(config.base_url).hostname != VENDORS[name]


def dialect_of(name: str, providers: ProvidersConfig) -> Dialect:
    """What is spoken with this provider."""
    match spoken(name, providers):
        case "responses":
            from agentd.providers.responses_dialect import ResponsesDialect

            return ResponsesDialect(name)
        case "anthropic":
            from agentd.providers.messages_dialect import MessagesDialect

            return MessagesDialect(name)
        case _:
            from agentd.providers.chat_dialect import ChatDialect

            return ChatDialect(name, providers.remote[name].base_url)


def made(name: str, config: Config, catalog: Catalog) -> Reconfigurable:
    """The provider of this name. Raises ConfigError for code of others that is no provider."""
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
    if fetches(name, config):
        from agentd.providers.ollama import OllamaProvider

        return OllamaProvider(name, asked, config.timeouts, catalog)
    from agentd.providers.endpoint import Endpoint

    return Endpoint(name, dialect_of(name, config.providers), asked, config.timeouts, catalog)


def fetches(name: str, config: Config) -> bool:
    """Whether it is an Ollama."""
    told = config.providers.remote.get(name)
    return told is not None and spoken(name, config.providers) == "ollama"


def foreign(name: str, config: Config) -> bool:
    """Whether it is code of others, which must be imported: that may take long."""
    told = config.providers.remote.get(name)
    return told is not None and bool(told.path)


def names(config: Config) -> list[str]:
    """Of all providers there are."""
    return ["local", *config.providers.remote]


def wanted(name: str, config: Config) -> bool:
    """Whether somebody configured it, or wants its models."""
    return name in config.providers.usable or any(model.strip().startswith(f"{name}/") for model in config.model.split(","))


def identity(name: str, config: Config) -> object:
    """What it is made of: while this is the same, so is the provider."""
    one = config.providers.local if name == "local" else config.providers.remote[name]
    parameters = {of: said for of, said in config.parameters.items() if of.startswith((f"{name}/", "*"))}
    return one, parameters, config.max_context
