"""What of a configuration that was read again counts at once, and what waits."""

from __future__ import annotations

from agentd.reload import merge
from agentwire.config import KEYS, Config, load

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
    old, new = read(), read("store.backups = 3\nturn.max_steps = 3")
    merged = merge(old, new)
    assert merged.waiting == ("store.backups",)
    assert (merged.config.store.backups, merged.config.turn.max_steps) == (2, 3)
    shown = {value.key: (value.value, value.source) for value in merged.config.values}
    assert shown["store.backups"] == (2, "built-in") and shown["turn.max_steps"] == (3, "/h/config/config.toml")
    assert merged.config.warnings == ("store.backups has a new value, which counts after `agentctl daemon restart`",)


def test_it_waits_until_the_restart_however_often_it_is_read() -> None:
    """And is forgotten if the old value comes back."""
    old, new = read(), read("store.backups = 3")
    once = merge(old, new)
    assert merge(once.config, new).waiting == ("store.backups",)
    back = merge(once.config, old)
    assert (back.changed, back.waiting, back.config) == ((), (), old)


def test_providers_aliases_and_parameters_count_at_once() -> None:
    """Also those that were not there before, or are no more."""
    one = read(f'providers.openai.api_key = "{KEY}"\nmodels.fast = "openai/x"\nparameters."openai/*".effort = "low"')
    merged = merge(read(), one)
    assert merged.waiting == () and merged.config == one
    assert set(merged.changed) == {
        "model",
        "providers.openai.api_key",
        "models.fast.candidates",
        'parameters."openai/*".effort',
    }
    assert merge(one, read()).config == read() and set(merge(one, read()).changed) == set(merged.changed)


def test_clients_are_compared_with_what_is_in_force() -> None:
    """A value that waits is none the daemon has: a client that exports it is still told to restart."""
    merged = merge(read(LOG_LEVEL="info"), read('log.level = "debug"\nstore.backups = 3'))
    environment = merged.config.environment
    assert (environment["LOG_LEVEL"], environment.get("AGENTD_STORE_BACKUPS")) == ("debug", None)
    given = merge(read(AGENTD_STORE_BACKUPS="3"), read(AGENTD_STORE_BACKUPS="4"))
    assert given.config.environment["AGENTD_STORE_BACKUPS"] == "3"
    assert merge(read(), read(f'providers.openai.api_key = "{KEY}"')).config.environment["OPENAI_API_KEY"] == KEY


def test_every_key_is_decided() -> None:
    """What a running daemon cannot take over: what its store's keeper was made with."""
    assert {name for name, key in KEYS.items() if not key.live} == {
        "store.backup",
        "store.backups",
    }
