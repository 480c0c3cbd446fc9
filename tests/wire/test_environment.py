"""A client can ask whether the daemon has its variables, without saying what they hold."""

from __future__ import annotations

import hashlib

import pytest

from agentwire.config import KEYS
from agentwire.environment import ACCEPTED, ENVIRONMENT, OWN, PROVIDERS, configures, differing, fingerprint, means_debug

KEY = "sk-0123456789abcdef"


def test_fingerprint_is_a_salted_hash() -> None:
    """As the protocol has it: the first 16 hex digits of sha256(salt + value)."""
    assert fingerprint({"OPENAI_API_KEY": KEY}, "salt") == {
        "OPENAI_API_KEY": hashlib.sha256(b"salt" + KEY.encode()).hexdigest()[:16],
    }
    assert fingerprint({"OPENAI_API_KEY": KEY}, "a") != fingerprint({"OPENAI_API_KEY": KEY}, "b")


def test_only_what_configures_the_daemon_counts() -> None:
    """The terminal, the place of the daemon, empty variables and everybody's own are left out."""
    environ = {"TERM": "xterm", "EDITOR": "vi", "NO_COLOR": "1", "AGENTD_HOME": "/x", "PATH": "/bin", "LOG_LEVEL": ""}
    assert fingerprint(environ, "s") == {}


@pytest.mark.parametrize(
    ("value", "meant"), [("1", True), ("true", True), ("ON", True), ("app:*", False), ("0", False), ("", False)]
)
def test_debug_of_other_programs_is_not_ours(value: str, meant: bool) -> None:
    """Only a plain yes in DEBUG is meant for us, and only that is compared."""
    assert means_debug(value) == meant
    assert ("DEBUG" in fingerprint({"DEBUG": value}, "s")) == meant


def test_bytes_that_are_no_text_are_hashed() -> None:
    """Neither a value that is no UTF-8 nor an odd salt raises, and they tell values apart."""
    assert fingerprint({"LOG_FILE": "/\udcff"}, "\ud800") != fingerprint({"LOG_FILE": "/\udcfe"}, "\ud800")


@pytest.mark.parametrize(
    ("client", "daemon", "differ"),
    [
        ({}, {"LOG_LEVEL": "info"}, ()),
        ({"LOG_LEVEL": "info"}, {"LOG_LEVEL": "info"}, ()),
        ({"LOG_LEVEL": "info"}, {"LOG_LEVEL": "debug"}, ("LOG_LEVEL",)),
        ({"OPENAI_API_KEY": KEY, "LOG_LEVEL": "info"}, {}, ("LOG_LEVEL", "OPENAI_API_KEY")),
    ],
)
def test_differing(client: dict[str, str], daemon: dict[str, str], differ: tuple[str, ...]) -> None:
    """What is set at the client and other or missing at the daemon; what only the daemon has is no difference."""
    assert differing(fingerprint(client, "salt"), daemon, "salt") == differ


def test_names_of_a_newer_client_are_no_difference() -> None:
    """A variable this daemon would not read cannot be missing from it."""
    assert differing({"AGENTD_FROM_THE_FUTURE": "0" * 16}, {}, "salt") == ()


def test_every_variable_a_key_reads_is_listed() -> None:
    """The client knows all of them without importing the table of keys."""
    read = {name for key in KEYS.values() for name in key.env}
    network = {name for name in ENVIRONMENT if name.lower().endswith("_proxy") or name.startswith("SSL_CERT_")}
    assert {*ENVIRONMENT} - network == {name for name in read if not name.startswith(PROVIDERS)} | {"AGENTD_CONFIG"}
    assert all(map(configures, read))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("OPENAI_API_KEY_1", True),
        ("DASHSCOPE_API_KEY_12", True),
        ("AGENTD_PROVIDERS_MINE_API_KEY", True),
        ("OPENAI_API_KEY_", False),
        ("OPENAI_API_KEY_A", False),
        ("STRIPE_API_KEY_1", False),
        ("OPENAI_BASE_URL_1", False),
        ("PATH", False),
    ],
)
def test_numbered_keys_and_further_providers_count(name: str, ours: bool) -> None:
    """A client's keys are compared too where they have numbers, and those of providers the user added."""
    assert configures(name) == ours
    assert (name in fingerprint({name: "x"}, "s")) == ours
    assert differing(fingerprint({name: "x"}, "s"), {}, "s") == ((name,) if ours else ())


def test_names_are_listed_once() -> None:
    """A name configures the daemon, or is accepted, or is our own; never two of them."""
    names = (*ENVIRONMENT, *ACCEPTED, *OWN)
    assert len(set(names)) == len(names)
