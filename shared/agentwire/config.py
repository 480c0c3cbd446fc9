"""The daemon's configuration: every key, where its value came from, and what was wrong with it.

Theory of operation: the classes here and in config_models.py are the one table. Each field declares its default, its kind, its doc
and, where it has any beyond the derived `AGENTD_<KEY>`, its environment names; KEYS, validation, `Config.values` and the
documentation's test are derived from them (config_table.py). `load` lays the sources over each other, later ones winning:
built-in, /etc/agentd/config.toml, the user's file, the user's `.env`, the environment, `-c key.path=value` (config_sources.py). A
list replaces the list of an earlier source.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
from attrs import evolve, field, frozen

from agentwire import config_checks as checks
from agentwire.config_kinds import (
    ANY_CASE_NAME,
    HOSTS,
    MODEL,
    MODULES,
    PATH,
    PATHS,
    PATTERN,
    RULES,
    choice,
    days,
    masked,
    matching,
    seconds,
    whole,
)
from agentwire.config_models import (
    DEFAULT_MODELS,
    LOCAL_MODEL,
    OPENAI_MODEL,
    AliasConfig,
    BudgetConfig,
    LocalConfig,
    OpenAIConfig,
    ParametersConfig,
    ProviderConfig,
    ProvidersConfig,
)
from agentwire.config_sources import Layers, Read, Value, read_file
from agentwire.config_table import Key, Table, entries, section, setting
from agentwire.environment import ENVIRONMENT, configures
from agentwire.paths import Paths, locate
from agentwire.types import ConfigValue

__all__ = [
    "DEFAULT_MODELS",
    "KEYS",
    "LOCAL_MODEL",
    "OPENAI_MODEL",
    "SYSTEM_FILE",
    "TABLE",
    "AliasConfig",
    "BudgetConfig",
    "CleanupConfig",
    "Config",
    "DaemonConfig",
    "Key",
    "LocalConfig",
    "LogConfig",
    "OpenAIConfig",
    "ParametersConfig",
    "Permissions",
    "ProviderConfig",
    "ProvidersConfig",
    "SandboxConfig",
    "StoreConfig",
    "Timeouts",
    "ToolsConfig",
    "TurnConfig",
    "load",
]

SYSTEM_FILE = "/etc/agentd/config.toml"

_DAY = 86400.0
_MONTH = 31 * _DAY


@frozen
class LogConfig:
    level: Literal["debug", "info", "warning", "error"] = setting(
        "info",
        choice("debug", "info", "warning", "error", synonyms={"warn": "warning", "critical": "error", "fatal": "error"}),
        "The least level that is logged. DEBUG=1 in the environment means `debug`, unless LOG_LEVEL says otherwise.",
        env=("LOG_LEVEL", "DEBUG"),
    )
    format: Literal["text", "json"] = setting(
        "text", choice("text", "json"), "`json` is one object a line, for machines.", env=("LOG_FORMAT",)
    )
    file: str = setting("", PATH, "The log file; empty: `agentd.log` in the log directory (`agentctl paths`).", env=("LOG_FILE",))
    max_bytes: int = setting(
        10_000_000,
        whole(0, 1_000_000_000_000),
        "Bytes after which a new log file is begun; 0: never. The old one gets the suffix `.1`.",
    )
    keep: int = setting(5, whole(0, 1000), "Old log files that are kept.")


@frozen
class TurnConfig:
    max_steps: int = setting(100, whole(1, 10_000), "Model requests one turn may make.")
    resume: Literal["auto", "never"] = setting(
        "auto", choice("auto", "never"), "Whether an open turn goes on by itself after the daemon was killed."
    )
    resume_grace: float = setting(
        10.0,
        seconds(0, 3600),
        "Seconds after a restart in which a client may come to watch a turn with an unknown effect; without one it ends.",
    )
    max_seconds: float = setting(
        0.0, seconds(0, _MONTH), "Seconds a turn may take before its next model request, waiting for people not counted; 0: any."
    )
    max_repeats: int = setting(
        5, whole(0, 1000), "Times in a row a turn may make the same calls with the same results before it is stopped; 0: any."
    )
    approval_deadline: float = setting(_DAY, seconds(1, _MONTH), "Seconds a question waits for its answer; then it is denied.")


@frozen
class Timeouts:
    """Of one model request, in seconds."""

    connect: float = setting(10.0, seconds(0.001, _DAY), "To connect to a model server.")
    first_event: float = setting(120.0, seconds(0.001, _DAY), "From the request to the first event of the reply.")
    between_events: float = setting(60.0, seconds(0.001, _DAY), "Between two events of a reply; pings do not count.")
    step: float = setting(900.0, seconds(0.001, _DAY), "For one whole model request.")


@frozen
class DaemonConfig:
    shutdown_grace: float = setting(10.0, seconds(0, 3600), "Seconds running turns get when the daemon is asked to stop.")
    unload_after: float = setting(600.0, seconds(0, _MONTH), "Seconds after which an idle session leaves memory.")


@frozen
class CleanupConfig:
    """Sessions that are deleted by themselves, looked for every hour. Never what is pinned, at work or watched."""

    idle_days: float = setting(0.0, days(0, 36_500), "Delete sessions in which nothing has happened for so many days; 0: never.")
    age_days: float = setting(0.0, days(0, 36_500), "Delete sessions that were created so many days ago; 0: never.")


@frozen
class StoreConfig:
    """Of the file that has everything."""

    backup: Literal["daily", "never"] = setting(
        "daily", choice("daily", "never"), "Whether a verified copy is made every day, while the daemon runs.", live=False
    )
    backups: int = setting(2, whole(1, 1000), "How many copies are kept.", live=False)


@frozen
class Permissions:
    """Rules `Tool` or `Tool(pattern)`; deny > ask > allow."""

    allow: tuple[str, ...] = setting((), RULES, "Tool calls that need no question.")
    ask: tuple[str, ...] = setting((), RULES, "Tool calls that are always asked about.")
    deny: tuple[str, ...] = setting((), RULES, "Tool calls that never run.")
    mode: Literal["default", "accept-edits", "plan", "dont-ask", "bypass"] = setting(
        "default",
        choice("default", "accept-edits", "plan", "dont-ask", "bypass"),
        "What happens to calls that no rule is about: see docs/permissions.md.",
    )


@frozen
class SandboxConfig:
    """Of the walls around every process that a tool starts."""

    mode: Literal["required", "off"] = setting(
        "required", choice("required", "off"), "`required`: without walls nothing runs. `off`: nothing is walled in."
    )
    network: Literal["ask", "allow", "deny"] = setting(
        "ask", choice("ask", "allow", "deny"), "Whether a tool's processes may use the network, where no rule says more."
    )
    write: tuple[str, ...] = setting((), PATHS, "Directories that tools may write besides the session's own.")
    read: tuple[str, ...] = setting((), PATHS, "Paths in the home directory that tools see besides the usual tools and caches.")
    hide: tuple[str, ...] = setting((), PATHS, "Paths that no tool sees.")


@frozen
class ToolsConfig:
    """Of the tools themselves."""

    functions: tuple[str, ...] = setting(
        (), MODULES, "Python modules whose `@tool` functions are offered besides those of the tools folder."
    )
    timeout: float = setting(120.0, seconds(1, 86400), "Seconds a shell command gets if it does not ask for more or less.")
    private_hosts: tuple[str, ...] = setting(
        (), HOSTS, "Hosts of one's own network (name, or name:port) that `fetch` may reach; others must be on the public internet."
    )
    jobs: int = setting(8, whole(0, 1000), "Background processes that one session may have at once.")


_ALIAS = matching(r"[^/\s,]+", "a name without slash, comma or space")


@frozen(kw_only=True)
class Config:
    """What the daemon goes by; a reload puts another in its place. `settings`: the value of every key, and of those of
    entries that were set. `environment`: the variables that configure the daemon as in force here, to compare clients with."""

    model: str = setting("", MODEL, "The default model; empty: chosen, see below.")
    default_provider: str = setting("", ANY_CASE_NAME, "Whose default model is taken.", env=("DEFAULT_MODEL_PROVIDER",))
    max_context: int = setting(
        0, whole(0, 100_000_000), "Tokens that no model's requests exceed; 0: as each model can.", env=("MAX_CONTEXT_LENGTH",)
    )
    log: LogConfig = field(factory=LogConfig)
    turn: TurnConfig = field(factory=TurnConfig)
    timeouts: Timeouts = field(factory=Timeouts)
    daemon: DaemonConfig = field(factory=DaemonConfig)
    cleanup: CleanupConfig = field(factory=CleanupConfig)
    store: StoreConfig = field(factory=StoreConfig)
    permissions: Permissions = field(factory=Permissions)
    sandbox: SandboxConfig = field(factory=SandboxConfig)
    tools: ToolsConfig = field(factory=ToolsConfig)
    budget: BudgetConfig = field(factory=BudgetConfig)
    providers: ProvidersConfig = field(factory=ProvidersConfig)
    models: Mapping[str, AliasConfig] = entries(AliasConfig, _ALIAS, "NAME", short="candidates")
    parameters: Mapping[str, ParametersConfig] = entries(ParametersConfig, PATTERN, "MODEL")
    paths: Paths
    settings: Mapping[str, Any] = field(factory=dict, repr=False)
    values: tuple[ConfigValue, ...] = ()
    warnings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(factory=dict, repr=False)


TABLE = Table(Config)
KEYS: dict[str, Key] = TABLE.keys


def load(environ: Mapping[str, str], overrides: Sequence[str] = (), *, read: Read = read_file) -> Config:
    """The configuration for this environment; `overrides` are `key.path=value`. `read` returns a file's text, None if it has none.

    Error handling: raises ConfigError that says where (file and line, variable or `-c`), which key, what was expected and, unless
    it may be a secret, what was found. Unknown keys are not errors; they are in `Config.warnings`.
    """
    paths = locate(environ, os.getuid())
    layers = Layers(TABLE, environ, paths.data, read)
    layers.env_file(paths.env_file)
    layers.toml(SYSTEM_FILE)
    layers.toml(paths.config_file, required=bool(environ.get("AGENTD_CONFIG")))
    layers.variables()
    layers.overrides(overrides)
    config = Config(**_arguments(Config, layers), paths=paths, warnings=tuple(layers.warnings))
    _check(config, layers)
    if not config.model:
        layers.found["model"] = _default_model(config, layers)
    return evolve(config, model=layers.found["model"].value, environment=_environment(layers, environ), **_described(layers))


def _arguments(cls: type[Any], layers: Layers, parts: tuple[str, ...] = ()) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for attribute in attrs.fields(cls):
        name, about = (*parts, attribute.name), attribute.metadata
        if nested := section(attribute):
            arguments[attribute.name] = nested(**_arguments(nested, layers, name))
        elif "entry" in about:
            made = layers.entries.get(parts if about["inline"] else name, {})
            arguments[attribute.name] = {word: about["entry"](**values) for word, values in made.items()}
        elif "kind" in about:
            arguments[attribute.name] = layers.found[".".join(name)].value
    return arguments


def _check(config: Config, layers: Layers) -> None:
    """What no single value can be checked for. Raises ConfigError."""
    checks.providers(config.providers, layers)
    checks.aliases(config.models, config.providers.names, layers)
    checks.default(config.model, config.default_provider, config.models, config.providers, layers)
    checks.parameters(config.parameters, config.providers, layers)


def _default_model(config: Config, layers: Layers) -> Value:
    if chosen := config.default_provider:
        return Value(DEFAULT_MODELS[chosen], f"default_provider from {layers.found['default_provider'].source}")
    for name, provider in config.providers.remote.items():
        for key in ("api_key", "api_keys", "base_url", "path"):
            if name in DEFAULT_MODELS and getattr(provider, key):
                return Value(DEFAULT_MODELS[name], f"built-in, because providers.{name}.{key} is set")
    return Value(LOCAL_MODEL, "built-in")


def _described(layers: Layers) -> dict[str, Any]:
    shown = [(key, layers.found[name]) for name, key in layers.keys.items()]
    return {
        "settings": {key.name: found.value for key, found in shown},
        "values": tuple([ConfigValue(key=key.name, value=_visible(key, found.value), source=found.source) for key, found in shown]),
    }


def _visible(key: Key, value: Any) -> Any:
    return masked(value) if key.secret else key.kind.show(value)


def _environment(layers: Layers, environ: Mapping[str, str]) -> dict[str, str]:
    """A client that exports the very key that stands in our file has nothing to be warned of: values in force count as set."""
    in_force: dict[str, str] = {}
    for name, key in layers.keys.items():
        value = layers.found[name].value
        if isinstance(value, str):
            in_force |= dict.fromkeys(key.env, value)
        for variable in key.numbered:
            in_force |= {f"{variable}_{number}": one for number, one in enumerate(value, 1)}
    read = {name for name in layers.environ if name in in_force or (configures(name) and name not in ENVIRONMENT)}
    ours = {name: layers.environ[name] for name in read}
    return {name: value for name, value in (in_force | ours | dict(environ)).items() if value and configures(name)}
