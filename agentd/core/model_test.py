"""Whether a model can be used, and what to do if not: a few short requests straight to its provider, without failover.

The first is an ordinary one, of which it is seen how fast and in how many pieces the reply comes and whether it is accounted for;
the others want a tool call, and an answer that follows a schema. Of several API keys each is tried, and the
first that works is used for all but that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio
from attrs import define, evolve, field

from agentd.core.answers import rejection
from agentd.ports import Delta, Message, PartStart, PartText, Prompt, Provider, Spent, ToolSpec
from agentwire.config import DEFAULT_MODELS
from agentwire.environment import PROVIDERS
from agentwire.errors import (
    AuthFailed,
    BadRequest,
    OutOfCredit,
    ProviderDown,
    ProviderError,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
)
from agentwire.types import CheckName, ModelCheck, PartKind, Text, Usage

_LONGEST = 60.0
"""Seconds for each request."""
_MOST = 2000
"""Tokens of a reply at most: models that think need room for it."""
_SHOWN = 60  # characters of what a model said
_PER_TOKEN = 4  # characters, where no tokens are reported

_FURTHER: Sequence[CheckName] = ("first token", "streaming", "tool call", "structured output", "usage")

_OF_THE_KEY = (AuthFailed, OutOfCredit, RateLimited)
"""What another key may not meet."""

_SKIPPED = tuple([ModelCheck(name=name, outcome="skipped") for name in _FURTHER])

_HELLO = "Say hello."
_WORDS = "Count from one to twenty in words, in one line. Write nothing else."
_CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_TOOL = ToolSpec(name="look_up_weather", description="The weather in a city at this moment.", parameters=_CITY)
_ASK_TOOL = "What is the weather in Paris? Look it up with the tool."
_ASK_SCHEMA = "Which city is the capital of France? Answer as JSON."


@define
class Heard:
    """One request and what came of it. Times are those of the clock that was given; `connected`: its host began to answer."""

    began: float
    now: Callable[[], float]
    connected: float | None = None
    first: float | None = None
    ended: float = 0.0
    pieces: int = 0
    usage: Usage = field(factory=Usage)
    error: ProviderError | None = None
    _parts: dict[int, tuple[PartKind, str, list[str]]] = field(factory=dict)

    def take(self, deltas: Sequence[Delta]) -> None:
        """As a sink."""
        for delta in deltas:
            match delta:
                case PartStart(part, kind, name):
                    self._parts[part] = (kind, name, [])
                case PartText(part, text):
                    self._parts[part][2].append(text)
                case Spent(usage):
                    self.usage = usage
        if any(isinstance(delta, PartText) for delta in deltas):
            self.pieces += 1
            if self.first is None:
                self.first = self.now()

    @property
    def text(self) -> str:
        return "".join("".join(pieces) for kind, _, pieces in self._parts.values() if kind == "text")

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Names and arguments."""
        return [(name, "".join(pieces)) for kind, name, pieces in self._parts.values() if kind == "tool_call"]

    @property
    def seconds(self) -> float:
        return self.ended - self.began


async def check_model(
    provider: Provider, model: str, *, pullable: bool = False, now: Callable[[], float] = trio.current_time
) -> tuple[ModelCheck, ...]:
    """All checks, a minute for each request at most. `model`: the vendor's name of it. `pullable`: its host fetches models.

    What cannot be tried because its host does not answer is skipped.
    """

    async def ask(words: str, **fields: Any) -> Heard:
        message = Message("user", (Text(text=words),))
        most = min(provider.limits(model).max_output, _MOST)
        return await _hear(provider, Prompt(model=model, system="", messages=(message,), max_output=most, **fields), now)

    def remedy(error: ProviderError) -> str:
        return _remedy(error, f"{provider.name}/{model}", pullable=pullable)

    heard, key = await ask(_WORDS), 0
    tried = {0: heard}
    for further in range(1, provider.keys if heard.connected is not None or isinstance(heard.error, _OF_THE_KEY) else 0):
        other = tried[further] = await ask(_HELLO if heard.connected is not None else _WORDS, key=further)
        if heard.connected is None and other.connected is not None:
            heard, key = other, further
    connected = _connected(tried, provider, remedy)
    if heard.connected is None:
        return (connected, *_SKIPPED)
    checks = [connected, _first_token(heard, remedy), _streaming(heard, remedy)]
    if provider.limits(model).tools:
        checks.append(_tool_call(await ask(_ASK_TOOL, tools=(_TOOL,), key=key), remedy))
    else:
        checks.append(ModelCheck(name="tool call", outcome="skipped", detail="it is configured to have none"))
    answer = await ask(_ASK_SCHEMA, schema=_CITY, key=key)
    reason = "" if answer.error else await rejection(_CITY, answer.text)
    return (*checks, _structured(answer, reason, remedy), _usage(heard))


def unreached(provider: Provider, error: ProviderError, seconds: float) -> tuple[ModelCheck, ...]:
    """The checks of a provider that could not even say which models it has: to ask it took so long."""
    heard = Heard(0.0, trio.current_time, ended=seconds, error=error)
    return (_connected({0: heard}, provider, lambda error: _remedy(error, f"{provider.name}/", pullable=False)), *_SKIPPED)


async def _hear(provider: Provider, prompt: Prompt, now: Callable[[], float]) -> Heard:
    heard = Heard(now(), now)
    with trio.move_on_after(_LONGEST) as limit:
        try:
            async with provider.stream(prompt) as stream:
                heard.connected = now()
                await stream.drain(heard.take)
        except ProviderError as error:
            heard.error = error
    if limit.cancelled_caught:
        heard.error = ProviderTimeout(f"it took more than {_LONGEST:.0f} s")
    heard.ended = now()
    return heard


# --- what was heard ------------------------------------------------------------------------------------------------------------

_Remedy = Callable[[ProviderError], str]


def _connected(tried: Mapping[int, Heard], provider: Provider, remedy: _Remedy) -> ModelCheck:
    """Of all keys that were tried: one that cannot be used is a failure, for a part of all requests will be made with it."""
    failed = {
        key: _failed("connect", heard.seconds, heard.error, remedy)
        for key, heard in tried.items()
        if heard.connected is None and heard.error is not None
    }
    if not failed:
        heard = tried[0]
        assert heard.connected is not None
        return ModelCheck(name="connect", outcome="ok", seconds=heard.connected - heard.began, detail=provider.status()[1])
    key, first = next(iter(failed.items()))
    if provider.keys == 1:
        return first
    names = {key: f"key {key + 1} of {provider.keys}" for key in failed}
    told = first.remedy
    if isinstance(tried[key].error, AuthFailed):
        told = _POOLED.format(which=", ".join(name for key, name in names.items() if isinstance(tried[key].error, AuthFailed)))
    return evolve(first, detail="; ".join(f"{names[key]}: {check.detail}" for key, check in failed.items()), remedy=told)


def _first_token(heard: Heard, remedy: _Remedy) -> ModelCheck:
    if heard.first is not None:
        return ModelCheck(name="first token", outcome="ok", seconds=heard.first - heard.began)
    if heard.error:
        return _failed("first token", heard.seconds, heard.error, remedy)
    return ModelCheck(
        name="first token",
        outcome="failed",
        seconds=heard.seconds,
        detail="the reply was empty",
        remedy="Is it a model for conversations?",
    )


def _streaming(heard: Heard, remedy: _Remedy) -> ModelCheck:
    if heard.error:
        return _failed("streaming", heard.seconds, heard.error, remedy)
    if heard.first is None:
        return ModelCheck(name="streaming", outcome="skipped")
    spent = heard.ended - heard.first
    if heard.pieces < 2:
        return ModelCheck(
            name="streaming",
            outcome="failed",
            seconds=spent,
            detail="the whole reply came at once",
            remedy="Something between here and the host (a proxy?) holds replies back; with a very fast host it is nothing.",
        )
    tokens = heard.usage.output or len(heard.text) // _PER_TOKEN
    rate = f", {tokens / spent:.0f} tokens/s" if spent > 0 else ""
    return ModelCheck(name="streaming", outcome="ok", seconds=spent, detail=f"{heard.pieces} pieces{rate}")


def _tool_call(heard: Heard, remedy: _Remedy) -> ModelCheck:
    if heard.error:
        return _failed("tool call", heard.seconds, heard.error, remedy)
    name, arguments = heard.calls[0] if heard.calls else ("", "")
    said = f"{name}({arguments})"
    if name == _TOOL.name and _is_object(arguments):
        return ModelCheck(name="tool call", outcome="ok", seconds=heard.seconds, detail=_short(said))
    wrong = f"it called {said}" if heard.calls else f"it called no tool, but said: {heard.text}"
    return ModelCheck(
        name="tool call",
        outcome="failed",
        seconds=heard.seconds,
        detail=_short(wrong),
        remedy='Take another model, or configure tools = "emulated" in its [parameters].',
    )


def _structured(heard: Heard, reason: str, remedy: _Remedy) -> ModelCheck:
    if heard.error:
        return _failed("structured output", heard.seconds, heard.error, remedy)
    if not reason:
        return ModelCheck(name="structured output", outcome="ok", seconds=heard.seconds, detail=_short(heard.text))
    return ModelCheck(
        name="structured output",
        outcome="failed",
        seconds=heard.seconds,
        detail=_short(f"it does not follow the schema: {heard.text}"),
        remedy='Take another model, or configure schema = "emulated" in its [parameters].',
    )


def _usage(heard: Heard) -> ModelCheck:
    usage = heard.usage
    if usage.input and usage.output:
        return ModelCheck(name="usage", outcome="ok", detail=f"{usage.input} tokens in, {usage.output} out")
    if heard.error:
        return ModelCheck(name="usage", outcome="skipped")
    return ModelCheck(
        name="usage",
        outcome="failed",
        detail="its host reports none",
        remedy="Tokens are estimated then, and so is what they cost: nothing else is wrong with it.",
    )


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


# --- what to do ----------------------------------------------------------------------------------------------------------------


def _failed(name: CheckName, seconds: float, error: ProviderError, remedy: _Remedy) -> ModelCheck:
    return ModelCheck(name=name, outcome="failed", seconds=seconds, detail=error.message, remedy=remedy(error), code=error.code)


_REMEDIES: Mapping[type[ProviderError], str] = {
    AuthFailed: "Set {variable}, then `agentctl daemon restart`; or providers.{provider}.api_key in the configuration, "
    "then `agentctl daemon reload`.",
    OutOfCredit: "Add credit to the account, or take another key.",
    RateLimited: "Wait a little; more keys (providers.{provider}.api_keys) share the load.",
    ProviderOverloaded: "Its host has too much to do: try again later, or name a model to fall back on.",
    ProviderTimeout: "Try again; if it is always that slow, raise timeouts.first_event and timeouts.between_events.",
    ProviderDown: "Can this machine reach it (network, proxy), is it running, and is providers.{provider}.base_url right, if set?",
    BadRequest: "Is the name right? `agentctl model list --refresh` shows what the host has.",
}
_POOLED = (
    "Replace {which} (api_key is before api_keys) in the configuration, then `agentctl daemon reload`; "
    "or its variable, then `agentctl daemon restart`."
)
_PULL = "`agentctl model pull {model}` fetches it, if the host does not have it."


def _remedy(error: ProviderError, model: str, *, pullable: bool) -> str:
    provider = model.partition("/")[0]
    said = _PULL if pullable and isinstance(error, BadRequest) else _REMEDIES.get(type(error), "")
    variable = f"{provider.upper().replace('-', '_')}_API_KEY"
    if provider not in DEFAULT_MODELS:  # of a name of the user's own only this one is read
        variable = f"{PROVIDERS}{variable}"
    return said.format(provider=provider, variable=variable, model=model)
