"""What no single value of a configuration can be checked for. Each function raises ConfigError that says where, which key, what was
expected and what was found."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from agentwire.config_kinds import choice, described
from agentwire.config_models import AliasConfig, ParametersConfig, ProvidersConfig, spoken
from agentwire.config_sources import Layers
from agentwire.config_table import dotted


def providers(found: ProvidersConfig, layers: Layers) -> None:
    """Of the user's own, each must say where it is."""
    for name, provider in found.others.items():
        if not (provider.base_url or provider.path):
            layers.refuse(f"providers.{name}", "base_url (or path) to be set: this is no provider that is known", "nothing")


def aliases(found: Mapping[str, AliasConfig], known: Collection[str], layers: Layers) -> None:
    """Each leads to models of providers that are `known`, and none to itself."""
    for name, alias in found.items():
        if not alias.candidates:
            layers.refuse(dotted(("models", name)), "candidates: the models that it stands for", "nothing")
        if name in known:
            layers.refuse(dotted(("models", name)), "an alias that is not the name of a provider", repr(name))
        for model, _ in alias.candidates:
            _leads_somewhere(dotted(("models", name, "candidates")), model, found, known, layers)
    for name in found:
        if loop := _loop(name, found, ()):
            layers.refuse(dotted(("models", name, "candidates")), "models that do not lead back to the alias", " -> ".join(loop))


def default(model: str, provider: str, found: Mapping[str, AliasConfig], offered: ProvidersConfig, layers: Layers) -> None:
    """The default model, or whose it is to be."""
    if provider not in ("", *offered.names):
        layers.refuse("default_provider", choice(*offered.remote, "local").expected, repr(provider))
    if not model and provider in offered.others:
        layers.refuse("default_provider", "model to be set, too: what this provider has is not known", "nothing")
    for one in filter(None, re.split(r"\s*,\s*", model)):
        _leads_somewhere("model", one, found, offered.names, layers)


def _leads_somewhere(key: str, model: str, found: Mapping[str, AliasConfig], known: Collection[str], layers: Layers) -> None:
    provider, slash, _ = model.partition("/")
    if not slash and model not in found:
        import difflib  # only when something is wrong

        near = difflib.get_close_matches(model, found, 1)
        layers.refuse(
            key, "provider/model or an alias of [models]", described(model) + (f"; did you mean {near[0]}?" if near else "")
        )
    if slash and provider not in known:
        layers.refuse(key, f"a model of a provider that there is ({', '.join(sorted(known))})", described(model))


def _loop(name: str, found: Mapping[str, AliasConfig], above: tuple[str, ...]) -> tuple[str, ...]:
    """The way from the first of `above` back to it; empty if there is none."""
    if name in above:
        return (*above, name) if name == above[0] else ()
    ways = (_loop(model, found, (*above, name)) for model, _ in found[name].candidates if model in found)
    return next(filter(None, ways), ())


# --- fields of requests ----------------------------------------------------------------------------------------------------------

_OWN: Final = {
    "model": "the model's own name stands there",
    "stream": "replies are read as they come",
    "tools": "the tools of the session stand there",
}
_CONVERSATION: Final = "the conversation stands there"
_INSTRUCTIONS: Final = "the instructions stand there"
_OUTPUT: Final = "set max_output instead, which budgets go by"
_SCHEMA: Final = "an answer's JSON schema goes there"
_ONE: Final = "one reply is read"
_NO_CUT: Final = "nothing is cut off silently"
FILLED: Mapping[str, Mapping[str, str]] = {
    "openai": {
        **_OWN,
        "messages": _CONVERSATION,
        "max_tokens": _OUTPUT,
        "max_completion_tokens": _OUTPUT,
        "response_format": _SCHEMA,
        "n": _ONE,
    },
    "responses": {
        **_OWN,
        "input": _CONVERSATION,
        "instructions": _INSTRUCTIONS,
        "max_output_tokens": _OUTPUT,
        "text.format": _SCHEMA,
        "include": "it asks for the thoughts that go back with the next request",
    },
    "anthropic": {
        **_OWN,
        "messages": _CONVERSATION,
        "system": _INSTRUCTIONS,
        "max_tokens": _OUTPUT,
        "output_config": f"{_SCHEMA}, and what effort says",
    },
    "ollama": {
        **_OWN,
        "messages": _CONVERSATION,
        "format": _SCHEMA,
        "truncate": _NO_CUT,
        "shift": _NO_CUT,
        "options.num_ctx": "set context instead: each request gets what it needs of it",
        "options.num_predict": _OUTPUT,
    },
}
"""For each dialect the fields of a request's body that are not the user's to fill, and why."""


def parameters(found: Mapping[str, ParametersConfig], offered: ProvidersConfig, layers: Layers) -> None:
    """`extra` fills none of the fields that are filled here."""
    for pattern, told in found.items():
        dialects = {spoken(name, offered) for name in offered.names if _may_be(name, pattern)}
        for field in _fields(told.extra or {}):
            if why := next((FILLED[one][field] for one in sorted(dialects & FILLED.keys()) if field in FILLED[one]), ""):
                key = dotted(("parameters", pattern, "extra"))
                layers.refuse(key, "only fields that agentd does not fill itself", f"{described(field)}: {why}")


def _may_be(provider: str, pattern: str) -> bool:
    """Whether a pattern of models is about this provider's."""
    return re.fullmatch(".*".join(map(re.escape, pattern.partition("/")[0].split("*"))), provider) is not None


def _fields(extra: Mapping[str, Any]) -> Iterator[str]:
    """Their names, and those inside of them as `outer.inner`."""
    for name, value in extra.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in value)
