"""The configuration of models: who serves them, what they are called, how each is asked, and what they may cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs
from attrs import field, frozen

from agentwire.config_kinds import (
    CANDIDATES,
    CLASS,
    HEADERS,
    HOST,
    NAME,
    SECRET,
    SECRETS,
    TABLE,
    URL,
    choice,
    dollars,
    number,
    optional,
    seconds,
    whole,
    words,
    yes_or_no,
)
from agentwire.config_table import entries, setting

LOCAL_MODEL = "local/smollm2-135m"
# The middle tier ("terra") of the newest generation the openai SDK knows: good at tools, half the price of the flagship.
OPENAI_MODEL = "openai/gpt-6.1-terra"

DEFAULT_MODELS: Mapping[str, str] = {
    "openai": OPENAI_MODEL,
    "anthropic": "anthropic/claude-sonnet-5-5",
    "deepseek": "deepseek/deepseek-v4-flash",
    "qwen": "qwen/qwen3.7-plus",
    "ollama": "ollama/qwen3",
    "local": LOCAL_MODEL,
}
"""For each provider the model that is asked if nobody chose one, in the order in which they are looked for: the middle of what each
has that is good at tools."""

OPENAI_HOST = "api.openai.com"
"""Where OpenAI speaks Responses; what is at other addresses speaks Chat Completions."""

_MONTH = 31 * 86400.0
_MOST_TOKENS = 100_000_000
_MOST_DOLLARS = 1_000_000
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_QUIRKS = (
    "no-temperature",
    "always-thinking",
    "adaptive-thinking",
    "no-forced-tools",
    "echo-reasoning",
    "thinking-type",
    "enable-thinking",
)


@frozen
class OpenAIConfig:
    """Of OpenAI, or of any server that speaks its Chat Completions. Empty `base_url`: OpenAI's own."""

    api_key: str = field(default="", repr=False)
    base_url: str = ""
    context: int = 128_000


@frozen(kw_only=True)
class ProviderConfig:
    """One model vendor's endpoint, or a server of one's own that speaks its dialect.

    Empty `base_url`: the vendor's own. `pool`: all its keys, to be used in turn.
    """

    dialect: Literal["", "openai", "responses", "anthropic", "ollama"] = setting(
        "",
        choice("openai", "responses", "anthropic", "ollama", optional=True),
        "What is spoken there: OpenAI's Chat Completions or Responses, Anthropic's Messages, Ollama's own. "
        "Empty: the vendor's own; `openai` for any other.",
    )
    api_key: str = setting("", SECRET, "The API key.", secret=True)
    api_keys: tuple[str, ...] = setting((), SECRETS, "Further API keys, used in turn.", numbered=True, secret=True)
    base_url: str = setting("", URL, "Where it is served; empty: at the vendor's own.")
    context: int = setting(0, whole(0, _MOST_TOKENS), "Tokens a request may hold; 0: as known of the model.")
    headers: Mapping[str, str] = setting({}, HEADERS, "HTTP headers that go with every request.", secret=True)
    path: str = setting("", CLASS, "A Python class that is the provider, instead of a dialect.")

    @property
    def pool(self) -> tuple[str, ...]:
        """Each key once, in order."""
        return tuple(dict.fromkeys(key for key in (self.api_key, *self.api_keys) if key))

    @property
    def usable(self) -> bool:
        """Whether anything was said that would let it be asked."""
        return bool(self.pool or self.base_url or self.path)


@frozen
class LocalConfig:
    idle_stop: float = setting(600.0, seconds(0, _MONTH), "Seconds without a request after which the model's process ends.")
    threads: int = setting(0, whole(0, 1024), "CPU threads; 0: half the cores.")
    context: int = setting(4096, whole(256, 1_000_000), "Tokens a request may hold.")
    max_loaded: int = setting(2, whole(1, 64), "Models in memory at the same time; the next request for another one waits.")


def _variables(*names: str) -> Mapping[str, tuple[str, ...]]:
    """`names`: what the variables of its key and its address begin with."""
    return {key: tuple(f"{name}_{key.upper()}" for name in names) for key in ("api_key", "base_url")}


_OLLAMA = {"api_key": ("OLLAMA_API_KEY",), "base_url": ("OLLAMA_BASE_URL", "OLLAMA_HOST")}


@frozen
class ProvidersConfig:
    """`others`: what the user added, by name."""

    openai: ProviderConfig = field(factory=ProviderConfig, metadata={"variables": _variables("OPENAI")})
    anthropic: ProviderConfig = field(factory=ProviderConfig, metadata={"variables": _variables("ANTHROPIC")})
    deepseek: ProviderConfig = field(factory=ProviderConfig, metadata={"variables": _variables("DEEPSEEK")})
    qwen: ProviderConfig = field(factory=ProviderConfig, metadata={"variables": _variables("QWEN", "DASHSCOPE")})
    ollama: ProviderConfig = field(factory=ProviderConfig, metadata={"variables": _OLLAMA, "kinds": {"base_url": HOST}})
    local: LocalConfig = field(factory=LocalConfig)
    others: Mapping[str, ProviderConfig] = entries(ProviderConfig, NAME, "NAME", inline=True)

    @property
    def remote(self) -> Mapping[str, ProviderConfig]:
        """All that are reached over a network, by name."""
        vendors = {name: getattr(self, name) for name in DEFAULT_MODELS if name != "local"}
        return {**vendors, **self.others}

    @property
    def names(self) -> tuple[str, ...]:
        """Of all there are."""
        return ("local", *self.remote)

    @property
    def usable(self) -> tuple[str, ...]:
        """The names of those that can be asked."""
        return (*(name for name, config in self.remote.items() if config.usable), "local")


def spoken(name: str, providers: ProvidersConfig) -> str:
    """The dialect of the provider `name`: openai, responses, anthropic or ollama; empty for code of the user's."""
    if name == "local":
        return "openai"
    told = providers.remote[name]
    if told.path or told.dialect:
        return "" if told.path else told.dialect
    if name == "openai":
        return "responses" if not told.base_url or urlsplit(told.base_url).hostname == OPENAI_HOST else "openai"
    return name if name in ("anthropic", "ollama") else "openai"


@frozen(kw_only=True)
class AliasConfig:
    """A name for several models. `candidates`: each with its weight; `provider/model`, or other aliases."""

    candidates: tuple[tuple[str, int], ...] = setting(
        None, optional(CANDIDATES), "The models it stands for; an alias may stand among them."
    )
    strategy: Literal["failover", "round_robin", "least_busy"] = setting(
        "failover",
        choice("failover", "round_robin", "least_busy"),
        "Which is asked first: the first that works, each in its share by weight, or the one with the fewest open replies.",
    )


@frozen(kw_only=True)
class ParametersConfig:
    """What is said of a model, or of all whose names match a pattern. None: nothing, what is known of it counts."""

    context: int | None = setting(None, optional(whole(256, _MOST_TOKENS)), "Tokens a request and its reply may hold.")
    max_output: int | None = setting(None, optional(whole(1, _MOST_TOKENS)), "Tokens a reply may have.")
    temperature: float | None = setting(None, optional(number(0, 2)), "How freely it chooses its words.")
    effort: str | None = setting(None, optional(choice(*_EFFORTS)), "How much it shall reason.")
    thinking: bool | None = setting(None, optional(yes_or_no()), "Whether it reasons before it answers.")
    tools: str | None = setting(
        None, optional(choice("native", "emulated", "none")), "How it calls tools: by itself, by a schema for its text, not at all."
    )
    schema: str | None = setting(
        None, optional(choice("native", "emulated")), "Who keeps an answer to a JSON schema: its host, or our instructions."
    )
    family: str | None = setting(
        None, optional(choice("large", "embedded")), "What it can follow: many instructions, or, as a very small one, hardly any."
    )
    images: bool | None = setting(None, optional(yes_or_no()), "Whether it takes images.")
    files: bool | None = setting(None, optional(yes_or_no()), "Whether it takes files.")
    prefill: bool | None = setting(None, optional(yes_or_no()), "Whether it goes on from the beginning of an answer.")
    price_input: float | None = setting(None, optional(dollars(_MOST_DOLLARS)), "US dollars for a million tokens of input.")
    price_output: float | None = setting(None, optional(dollars(_MOST_DOLLARS)), "US dollars for a million tokens of output.")
    price_cached: float | None = setting(None, optional(dollars(_MOST_DOLLARS)), "US dollars for a million tokens of cached input.")
    price_written: float | None = setting(
        None, optional(dollars(_MOST_DOLLARS)), "US dollars for a million tokens of input that its host puts into its cache."
    )
    quirks: tuple[str, ...] | None = setting(None, optional(words(*_QUIRKS)), "What must be done differently for it.")
    extra: Mapping[str, Any] | None = setting(
        None, optional(TABLE), "Further fields of the request's body; none that agentd fills itself."
    )

    @property
    def told(self) -> Mapping[str, Any]:
        """What is said."""
        return attrs.asdict(self, recurse=False, filter=lambda _, value: value is not None)


@frozen(kw_only=True)
class BudgetConfig:
    """What must not be exceeded, checked before each request; 0: no limit. Costs in US dollars."""

    turn_cost: float = setting(0.0, dollars(_MOST_DOLLARS), "US dollars one turn may cost; 0: no limit.")
    session_cost: float = setting(0.0, dollars(_MOST_DOLLARS), "US dollars one session may cost; 0: no limit.")
    day_cost: float = setting(0.0, dollars(_MOST_DOLLARS), "US dollars a user may spend in a day; 0: no limit.")
    turn_tokens: int = setting(0, whole(0, 10**12), "Tokens of input and output one turn may use; 0: no limit.")
    session_tokens: int = setting(0, whole(0, 10**12), "Tokens of input and output one session may use; 0: no limit.")
    day_tokens: int = setting(0, whole(0, 10**12), "Tokens of input and output a user may use in a day; 0: no limit.")
