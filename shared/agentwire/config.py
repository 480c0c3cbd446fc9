"""The daemon's configuration: every key, where its value came from, and what was wrong with it.

Theory of operation: the classes below are the one table. Each field declares its default, its kind, its doc and, where it has
any beyond the derived `AGENTD_<KEY>`, its environment names; KEYS, validation, `Config.values` and the documentation's test are
derived from them. `load` lays the sources over each other, later ones winning: built-in, /etc/agentd/config.toml, the user's file,
the user's `.env`, the environment, `-c key.path=value` (config_sources.py). A list replaces the list of an earlier source.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
from attrs import field, frozen

from agentwire.config_kinds import MODEL, PATH, RULES, SECRET, URL, Kind, choice, days, masked, seconds, shown, whole
from agentwire.config_sources import Layers, Read, Value, read_file
from agentwire.environment import ENVIRONMENT, PREFIX
from agentwire.paths import Paths, locate
from agentwire.types import ConfigValue

SYSTEM_FILE = "/etc/agentd/config.toml"
LOCAL_MODEL = "local/smollm2-135m"
# The middle tier ("terra") of the newest generation the openai SDK knows: good at tools, half the price of the flagship.
OPENAI_MODEL = "openai/gpt-6.1-terra"

_DAY = 86400.0
_MONTH = 31 * _DAY


def _setting(default: Any, kind: Kind, doc: str, *, env: tuple[str, ...] = (), secret: bool = False, live: bool = True) -> Any:
    """`live`: a reload makes a new value count at once; else it waits for a restart."""
    metadata = {"kind": kind, "doc": doc, "env": env, "secret": secret, "live": live}
    return field(default=default, converter=kind.check, repr=not secret, metadata=metadata)


def _section(attribute: Any) -> type[Any] | None:
    """The class of a nested section, if the attribute is one."""
    factory = getattr(attribute.default, "factory", None)
    return factory if isinstance(factory, type) and attrs.has(factory) else None


@frozen
class LogConfig:
    level: Literal["debug", "info", "warning", "error"] = _setting(
        "info",
        choice("debug", "info", "warning", "error", synonyms={"warn": "warning", "critical": "error", "fatal": "error"}),
        "The least level that is logged. DEBUG=1 in the environment means `debug`, unless LOG_LEVEL says otherwise.",
        env=("LOG_LEVEL", "DEBUG"),
    )
    format: Literal["text", "json"] = _setting(
        "text", choice("text", "json"), "`json` is one object a line, for machines.", env=("LOG_FORMAT",)
    )
    file: str = _setting("", PATH, "The log file; empty: `agentd.log` in the log directory (`agentctl paths`).", env=("LOG_FILE",))
    max_bytes: int = _setting(
        10_000_000,
        whole(0, 1_000_000_000_000),
        "Bytes after which a new log file is begun; 0: never. The old one gets the suffix `.1`.",
    )
    keep: int = _setting(5, whole(0, 1000), "Old log files that are kept.")


@frozen
class TurnConfig:
    max_steps: int = _setting(100, whole(1, 10_000), "Model requests one turn may make.")
    resume: Literal["auto", "never"] = _setting(
        "auto", choice("auto", "never"), "Whether an open turn goes on by itself after the daemon was killed."
    )
    resume_grace: float = _setting(
        10.0,
        seconds(0, 3600),
        "Seconds after a restart in which a client may come to watch a turn with an unknown effect; without one it ends.",
    )
    approval_deadline: float = _setting(_DAY, seconds(1, _MONTH), "Seconds a question waits for its answer; then it is denied.")


@frozen
class Timeouts:
    """Of one model request, in seconds."""

    connect: float = _setting(10.0, seconds(0.001, _DAY), "To connect to a model server.", live=False)
    first_event: float = _setting(120.0, seconds(0.001, _DAY), "From the request to the first event of the reply.")
    between_events: float = _setting(60.0, seconds(0.001, _DAY), "Between two events of a reply; pings do not count.")
    step: float = _setting(900.0, seconds(0.001, _DAY), "For one whole model request.")


@frozen
class DaemonConfig:
    shutdown_grace: float = _setting(10.0, seconds(0, 3600), "Seconds running turns get when the daemon is asked to stop.")
    unload_after: float = _setting(600.0, seconds(0, _MONTH), "Seconds after which an idle session leaves memory.")


@frozen
class CleanupConfig:
    """Sessions that are deleted by themselves, looked for every hour. Never what is pinned, at work or watched."""

    idle_days: float = _setting(0.0, days(0, 36_500), "Delete sessions in which nothing has happened for so many days; 0: never.")
    age_days: float = _setting(0.0, days(0, 36_500), "Delete sessions that were created so many days ago; 0: never.")


@frozen
class StoreConfig:
    """Of the file that has everything."""

    backup: Literal["daily", "never"] = _setting(
        "daily", choice("daily", "never"), "Whether a verified copy is made every day, while the daemon runs.", live=False
    )
    backups: int = _setting(2, whole(1, 1000), "How many copies are kept.", live=False)


@frozen
class Permissions:
    """Rules `Tool` or `Tool(pattern)`; deny > ask > allow."""

    allow: tuple[str, ...] = _setting((), RULES, "Tool calls that need no question.")
    ask: tuple[str, ...] = _setting((), RULES, "Tool calls that are always asked about.")
    deny: tuple[str, ...] = _setting((), RULES, "Tool calls that never run.")


@frozen
class OpenAIConfig:
    """Of OpenAI, or of any server that speaks its Chat Completions. Empty `base_url`: OpenAI's own."""

    api_key: str = _setting("", SECRET, "The API key.", env=("OPENAI_API_KEY",), secret=True, live=False)
    base_url: str = _setting("", URL, "Where a compatible server is; empty: OpenAI's own.", env=("OPENAI_BASE_URL",), live=False)
    context: int = _setting(128_000, whole(1024, 100_000_000), "Tokens a request may hold.", live=False)


@frozen(kw_only=True)
class ProviderConfig:
    """One model vendor's endpoint, or a server of one's own that speaks its dialect. `api_keys` are used in turn.

    Empty `base_url`: the vendor's own. `context`: tokens a request may hold, 0: as known of the model. `headers` go with every
    request. `path`: a Python class instead, as `package.module:Class`.
    """

    dialect: Literal["openai", "responses", "anthropic", "ollama"] = "openai"
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    base_url: str = ""
    context: int = 0
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    path: str = ""


@frozen
class LocalConfig:
    idle_stop: float = _setting(
        600.0, seconds(0, _MONTH), "Seconds without a request after which the model's process ends.", live=False
    )
    threads: int = _setting(0, whole(0, 1024), "CPU threads; 0: half the cores.", live=False)
    context: int = _setting(4096, whole(256, 1_000_000), "Tokens a request may hold.", live=False)


@frozen
class ProvidersConfig:
    openai: OpenAIConfig = field(factory=OpenAIConfig)
    local: LocalConfig = field(factory=LocalConfig)


@frozen(kw_only=True)
class Config:
    """What the daemon goes by; a reload puts another in its place. `environment`: ENVIRONMENT as in force here, to compare clients
    with."""

    model: str = _setting("", MODEL, "The default model; empty: chosen, see below.")
    default_provider: str = _setting(
        "", choice("openai", "local", optional=True), "Whose default model is taken.", env=("DEFAULT_MODEL_PROVIDER",)
    )
    log: LogConfig = field(factory=LogConfig)
    turn: TurnConfig = field(factory=TurnConfig)
    timeouts: Timeouts = field(factory=Timeouts)
    daemon: DaemonConfig = field(factory=DaemonConfig)
    cleanup: CleanupConfig = field(factory=CleanupConfig)
    store: StoreConfig = field(factory=StoreConfig)
    permissions: Permissions = field(factory=Permissions)
    providers: ProvidersConfig = field(factory=ProvidersConfig)
    paths: Paths
    values: tuple[ConfigValue, ...] = ()
    warnings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(factory=dict, repr=False)


@frozen(kw_only=True)
class Key:
    """One row of the table. `env`: names in the order they are looked for, the first that is set counts. Lists have none. `live`: a
    new value counts as soon as it is read again; else it waits for a restart."""

    name: str
    kind: Kind
    default: Any
    env: tuple[str, ...]
    secret: bool
    live: bool
    doc: str


def _keys(cls: type[Any], prefix: str = "") -> Iterator[Key]:
    for attribute in attrs.fields(cls):
        name, about = prefix + attribute.name, attribute.metadata
        if section := _section(attribute):
            yield from _keys(section, f"{name}.")
        elif "kind" in about:
            own = () if about["kind"] is RULES else (PREFIX + name.upper().replace(".", "_"),)
            yield Key(
                name=name,
                kind=about["kind"],
                default=attribute.default,
                env=own + about["env"],
                secret=about["secret"],
                live=about["live"],
                doc=about["doc"],
            )


KEYS: dict[str, Key] = {key.name: key for key in _keys(Config)}


def load(environ: Mapping[str, str], overrides: Sequence[str] = (), *, read: Read = read_file) -> Config:
    """The configuration for this environment; `overrides` are `key.path=value`. `read` returns a file's text, None if it has none.

    Error handling: raises ConfigError that says where (file and line, variable or `-c`), which key, what was expected and, unless
    it may be a secret, what was found. Unknown keys are not errors; they are in `Config.warnings`.
    """
    paths = locate(environ, os.getuid())
    layers = Layers(KEYS, environ, paths.data, read)
    layers.env_file(paths.env_file)
    layers.toml(SYSTEM_FILE)
    layers.toml(paths.config_file, required=bool(environ.get("AGENTD_CONFIG")))
    layers.variables()
    layers.overrides(overrides)
    found = layers.found
    if not found["model"].value:
        found["model"] = _default_model(found)
    return Config(
        **_arguments(Config, found),
        paths=paths,
        values=tuple(
            ConfigValue(key=name, value=_visible(KEYS[name], found[name].value), source=found[name].source) for name in KEYS
        ),
        warnings=tuple(layers.warnings),
        environment=_environment(found, environ),
    )


def _default_model(found: Mapping[str, Value]) -> Value:
    chosen = found["default_provider"]
    if chosen.value:
        return Value(LOCAL_MODEL if chosen.value == "local" else OPENAI_MODEL, f"default_provider from {chosen.source}")
    for name in ("providers.openai.api_key", "providers.openai.base_url"):
        if found[name].value:
            return Value(OPENAI_MODEL, f"built-in, because {name} is set")
    return Value(LOCAL_MODEL, "built-in")


def _arguments(cls: type[Any], found: Mapping[str, Value], prefix: str = "") -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for attribute in attrs.fields(cls):
        name = prefix + attribute.name
        if section := _section(attribute):
            arguments[attribute.name] = section(**_arguments(section, found, f"{name}."))
        elif name in found:
            arguments[attribute.name] = found[name].value
    return arguments


def _visible(key: Key, value: Any) -> Any:
    return masked(value) if key.secret else shown(value)


def _environment(found: Mapping[str, Value], environ: Mapping[str, str]) -> dict[str, str]:
    """A client that exports the very key that stands in our file has nothing to be warned of: values in force count as set."""
    in_force = {name: found[key.name].value for key in KEYS.values() for name in key.env if isinstance(found[key.name].value, str)}
    return {name: value for name in ENVIRONMENT if (value := environ.get(name) or in_force.get(name, ""))}
