"""Which environment variables configure the daemon, and how a client asks whether the daemon has the same ones.

A daemon keeps the environment it was started with. `initialize` carries salted hashes of the variables set at the client, so
that `export OPENAI_API_KEY=...; agentctl run` on a warm daemon is answered by a warning and not by silence. Standard library
only: one-shot commands import this.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "AGENTD_"

ENVIRONMENT: tuple[str, ...] = (
    "AGENTD_BUDGET_DAY_COST",
    "AGENTD_BUDGET_DAY_TOKENS",
    "AGENTD_BUDGET_SESSION_COST",
    "AGENTD_BUDGET_SESSION_TOKENS",
    "AGENTD_BUDGET_TURN_COST",
    "AGENTD_BUDGET_TURN_TOKENS",
    "AGENTD_CLEANUP_AGE_DAYS",
    "AGENTD_CLEANUP_IDLE_DAYS",
    "AGENTD_CONFIG",
    "AGENTD_DAEMON_SHUTDOWN_GRACE",
    "AGENTD_DAEMON_UNLOAD_AFTER",
    "AGENTD_DEFAULT_PROVIDER",
    "AGENTD_LOG_FILE",
    "AGENTD_LOG_FORMAT",
    "AGENTD_LOG_KEEP",
    "AGENTD_LOG_LEVEL",
    "AGENTD_LOG_MAX_BYTES",
    "AGENTD_MAX_CONTEXT",
    "AGENTD_MODEL",
    "AGENTD_PERMISSIONS_MODE",
    "AGENTD_SANDBOX_MODE",
    "AGENTD_SANDBOX_NETWORK",
    "AGENTD_STORE_BACKUP",
    "AGENTD_STORE_BACKUPS",
    "AGENTD_TIMEOUTS_BETWEEN_EVENTS",
    "AGENTD_TIMEOUTS_CONNECT",
    "AGENTD_TIMEOUTS_FIRST_EVENT",
    "AGENTD_TIMEOUTS_STEP",
    "AGENTD_TOOLS_JOBS",
    "AGENTD_TOOLS_TIMEOUT",
    "AGENTD_TURN_APPROVAL_DEADLINE",
    "AGENTD_TURN_MAX_REPEATS",
    "AGENTD_TURN_MAX_SECONDS",
    "AGENTD_TURN_MAX_STEPS",
    "AGENTD_TURN_RESUME",
    "AGENTD_TURN_RESUME_GRACE",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "DASHSCOPE_API_KEY",
    "DASHSCOPE_BASE_URL",
    "DEBUG",
    "DEEPSEEK_API_KEY",
    "DEEPSEEK_BASE_URL",
    "DEFAULT_MODEL_PROVIDER",
    "LOG_FILE",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "MAX_CONTEXT_LENGTH",
    "OLLAMA_API_KEY",
    "OLLAMA_BASE_URL",
    "OLLAMA_HOST",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "QWEN_API_KEY",
    "QWEN_BASE_URL",
    # Read by the HTTP client below the providers.
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
"""The variables that configure the daemon, besides those that begin with PROVIDERS and numbered keys. Not here: what says which
daemon is meant (AGENTD_HOME, AGENTD_SOCKET) or what a terminal is like (TERM, EDITOR, NO_COLOR)."""

ACCEPTED: tuple[str, ...] = (
    "CONTEXT_COMPRESSION_THRESHOLD",
    "DATABASE_URL",
    "EDITOR",
    "MAX_CONCURRENT_TASKS",
    "NO_COLOR",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "REDIS_URL",
    "SERVER_HOST",
    "SERVER_PORT",
    "TERM",
)
"""Names with a fixed meaning that nothing in the daemon reads: no warning when a `.env` file has them."""

OWN: tuple[str, ...] = ("AGENTD_CALL_ID", "AGENTD_HOME", "AGENTD_READY_FD", "AGENTD_SOCKET")
"""Our names that are no configuration: where the daemon is, and what it tells its children and parents."""


PROVIDERS = f"{PREFIX}PROVIDERS_"
"""What the variables of providers begin with, also of those that the user adds."""

_NAMES = frozenset(ENVIRONMENT)
_KEYS = frozenset(name for name in ENVIRONMENT if name.endswith("_API_KEY"))


def configures(name: str) -> bool:
    """Whether this variable configures the daemon: one of ENVIRONMENT, of a provider, or a key with a number (OPENAI_API_KEY_1)."""
    if name in _NAMES or name.startswith(PROVIDERS):
        return True
    key, _, number = name.rpartition("_")
    return key in _KEYS and number.isdecimal()


def means_debug(value: str) -> bool:
    """Whether DEBUG is meant for us: many programs read it, with values of their own (`DEBUG=app:*`)."""
    return value.strip().lower() in ("1", "true", "yes", "on")


def fingerprint(environ: Mapping[str, str], salt: str) -> dict[str, str]:
    """Name -> first 16 hex digits of sha256(salt + value), for each variable that configures the daemon and is not empty."""
    present = [name for name in environ if configures(name) and environ[name]]
    if "DEBUG" in present and not means_debug(environ["DEBUG"]):
        present.remove("DEBUG")
    if not present:
        return {}
    import hashlib  # 2 ms, which a command without such variables need not pay

    # surrogatepass: a value that is no UTF-8 reaches us with surrogates (PEP 383), and a salt comes from JSON; neither may fail.
    return {name: hashlib.sha256((salt + environ[name]).encode("utf-8", "surrogatepass")).hexdigest()[:16] for name in present}


def differing(theirs: Mapping[str, str], environ: Mapping[str, str], salt: str) -> tuple[str, ...]:
    """The names in a client's fingerprint for which `environ` (the daemon's) has another value, or none. Sorted."""
    ours = fingerprint(environ, salt)
    return tuple(sorted(name for name, digest in theirs.items() if configures(name) and ours.get(name) != digest))
