"""What of a configuration that was read again counts at once, and what waits."""

from __future__ import annotations

from agentd.reload import merge
from agentwire.config import KEYS, LOCAL_MODEL, Config, load

KEY = "sk-0123456789abcdef0123"


def read(text: str = "", **environ: str) -> Config:
    """The configuration with this user file."""
    return load({"AGENTD_HOME": "/h", **environ}, read={"/h/config/config.toml": text}.get)


def test_nothing_new() -> None:
    """Read again, it is the same."""
    merged = merge(read("turn.max_steps = 3"), read("turn.max_steps = 3"))
    assert (merged.changed, merged.waiting, merged.config) == ((), (), read("turn.max_steps = 3"))


def test_what_counts_at_once() -> None:
    """Values with their sources, warnings too."""
    new = read('log.level = "debug"\nturn.max_steps = 3\nmodel = "openai/x"\npermissions.deny = ["shell"]\nmodle = 1')
    merged = merge(read(), new)
    assert merged.config == new and merged.waiting == () and "modle" in merged.config.warnings[0]
    assert merged.changed == ("model", "log.level", "turn.max_steps", "permissions.deny")


def test_what_waits_keeps_its_old_value_and_says_so() -> None:
    """Value, source and warning are those in force; the rest of the file counts."""
    old, new = read(), read("providers.local.threads = 3\nturn.max_steps = 3")
    merged = merge(old, new)
    assert merged.waiting == ("providers.local.threads",)
    assert (merged.config.providers.local.threads, merged.config.turn.max_steps) == (0, 3)
    shown = {value.key: (value.value, value.source) for value in merged.config.values}
    assert shown["providers.local.threads"] == (0, "built-in") and shown["turn.max_steps"] == (3, "/h/config/config.toml")
    assert merged.config.warnings == ("providers.local.threads has a new value, which counts after `agentctl daemon restart`",)


def test_it_waits_until_the_restart_however_often_it_is_read() -> None:
    """And is forgotten if the old value comes back."""
    old, new = read(), read("providers.local.threads = 3")
    once = merge(old, new)
    assert merge(once.config, new).waiting == ("providers.local.threads",)
    back = merge(once.config, old)
    assert (back.changed, back.waiting, back.config) == ((), (), old)


def test_model_waits_with_its_provider() -> None:
    """A default model whose key is not in force yet would fail every session."""
    merged = merge(read(), read(f'providers.openai.api_key = "{KEY}"'))
    assert merged.waiting == ("model", "providers.openai.api_key")
    assert merged.config.model == LOCAL_MODEL and merged.config.providers.openai.api_key == ""


def test_clients_are_compared_with_what_is_in_force() -> None:
    """A key that waits is none the daemon has: a client that exports it is still told to restart."""
    old = read(LOG_LEVEL="info")
    merged = merge(old, read(f'log.level = "debug"\nproviders.openai.api_key = "{KEY}"'))
    assert "OPENAI_API_KEY" not in merged.config.environment and merged.config.environment["LOG_LEVEL"] == "debug"
    given = merge(read(OPENAI_API_KEY=KEY), read(OPENAI_API_KEY=KEY + "new"))
    assert given.config.environment["OPENAI_API_KEY"] == KEY


def test_every_key_is_decided() -> None:
    """What a running daemon cannot take over: what its connections, its model's process and its store's keeper were made with."""
    assert {name for name, key in KEYS.items() if not key.live} == {
        "timeouts.connect",
        "store.backup",
        "store.backups",
        "providers.openai.api_key",
        "providers.openai.base_url",
        "providers.openai.context",
        "providers.local.idle_stop",
        "providers.local.threads",
        "providers.local.context",
    }
