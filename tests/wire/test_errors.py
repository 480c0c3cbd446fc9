"""Every error crosses the wire and comes back as itself."""

from __future__ import annotations

import pytest

from agentwire import errors
from agentwire.errors import BY_CODE, MAX_MESSAGE, AgentError, from_wire

CLASSES = sorted(BY_CODE.values(), key=lambda cls: cls.code)
DEFINED = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, AgentError)]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_round_trip(cls: type[AgentError]) -> None:
    """Class, message, waiting time and details survive; the JSON-RPC code is the class's."""
    wire = cls("what, why, what to do", retry_after=1.5, key="value").to_wire()
    assert wire == {
        "code": cls.rpc_code,
        "message": "what, why, what to do",
        "data": {"code": cls.code, "retryable": cls.retryable, "retry_after_ms": 1500, "details": {"key": "value"}},
    }
    error = from_wire(wire)
    assert type(error) is cls
    assert (str(error), error.retry_after, error.details) == ("what, why, what to do", 1.5, {"key": "value"})


def test_a_long_message_is_cut_on_the_wire() -> None:
    """What a peer sent and we quote does not come back in megabytes: escaped it could be more than a frame holds."""
    (message,) = {AgentError("\0" * size).to_wire()["message"] for size in (MAX_MESSAGE + 1, 4_000_000)}
    assert message == "\0" * (MAX_MESSAGE - 1) + "…"
    assert AgentError("x" * MAX_MESSAGE).to_wire()["message"] == "x" * MAX_MESSAGE


def test_codes_are_unique() -> None:
    """No class hides another behind its code."""
    assert len({cls.code for cls in DEFINED}) == len(DEFINED) == len(BY_CODE)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_statuses_are_possible(cls: type[AgentError]) -> None:
    """HTTP statuses are errors, exit codes are failures that no shell uses for signals, RPC codes are JSON-RPC's server range."""
    assert 400 <= cls.http_status <= 599
    assert 0 < cls.exit_code < 128
    assert -32768 <= cls.rpc_code <= -32000


def test_exit_codes_are_those_of_the_conventions() -> None:
    """Scripts rely on them."""
    exits = {cls.code: cls.exit_code for cls in CLASSES if cls.exit_code != 1}
    assert exits == {
        "auth_failed": 41,
        "budget_exceeded": 6,
        "config_error": 78,
        "deadline_exceeded": 124,
        "denied": 4,
        "invalid_params": 2,
        "tool_error": 54,
        "repeated_calls": 53,
        "sandbox_unavailable": 44,
        "turn_limit": 53,
        "unauthorized": 41,
        "unreachable": 3,
    }


def test_nothing_optional_is_sent_empty() -> None:
    """Without waiting time and details the data holds the name and whether to try again, no more."""
    assert AgentError("x").to_wire()["data"] == {"code": "error", "retryable": False}


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({}, "unknown error"),
        ({"message": "m", "data": None}, "m"),
        ({"message": "m", "data": {"code": "from_the_future"}}, "m"),
        ({"message": "m", "data": {"code": ["list"], "details": 3}}, "m"),
        ({"message": "m", "data": {"details": {"message": "clash", "retry_after": 1}}}, "m"),
    ],
)
def test_what_a_newer_daemon_says_is_still_an_error(wire: dict[str, object], message: str) -> None:
    """An unknown code or an odd shape is a plain AgentError, never a crash of the client."""
    error = from_wire(wire)
    assert type(error) is AgentError
    assert str(error) == message
