"""The method table: its names, and that a minimal request of each is understood."""

from __future__ import annotations

import re
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given, settings

from agentwire.convert import plain, structure
from agentwire.errors import InvalidParams
from agentwire.methods import METHODS, Method, Scope
from tests.wire.strategies import values

SESSION = {"session": "0123"}
MINIMAL: dict[str, dict[str, Any]] = {
    "initialize": {"protocol": 1},
    "daemon/status": {},
    "daemon/stop": {},
    "daemon/restart": {},
    "daemon/reload": {},
    "config/get": {},
    "model/list": {},
    "model/resolve": {},
    "model/test": {},
    "model/pull": {"model": "ollama/llama3.2"},
    "session/create": {"cwd": "/"},
    "session/list": {},
    "session/get": SESSION,
    "session/rename": {**SESSION, "title": "t"},
    "session/delete": SESSION,
    "session/prompt": {**SESSION, "parts": [{"kind": "text", "text": "hello"}]},
    "session/cancel": SESSION,
    "session/watch": SESSION,
    "session/unwatch": SESSION,
    "event/list": SESSION,
    "approval/answer": {**SESSION, "call": "c", "arguments_hash": "h", "decision": "allow"},
    "blob/get": {**SESSION, "blob": "0" * 64},
    "blob/put": {**SESSION, "blob": "0" * 64, "bytes": 0, "offset": 0, "data": ""},
    "job/list": SESSION,
    "tool/list": {},
    "tool/call": {"name": "read"},
    "tool/history": {},
    "job/output": {**SESSION, "number": 1},
    "job/kill": {**SESSION, "number": 1},
    "message/list": SESSION,
    "message/add": {**SESSION, "messages": [{"role": "user", "parts": []}]},
    "session/settings": SESSION,
    "session/set": SESSION,
    "session/fork": SESSION,
    "session/clean": {},
    "permission/list": {},
    "permission/add": {"rule": "read", "verdict": "allow"},
    "permission/remove": {"rule": "read", "verdict": "allow"},
    "permission/explain": {"name": "read"},
    "permission/trust": {"cwd": "/"},
    "usage/get": {},
    "store/info": {},
    "store/check": {},
    "store/backup": {},
    "store/restore": {},
    "store/vacuum": {},
}
"""The least a client must say."""


@pytest.mark.parametrize("name", sorted(METHODS))
def test_minimal_request_is_understood(name: str) -> None:
    """What is not said has its default, and the params survive the wire."""
    params = structure(MINIMAL[name], METHODS[name].params)
    assert structure(plain(params), METHODS[name].params) == params


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, params in MINIMAL.items() for field in params])
def test_nothing_of_the_minimum_can_be_left_out(name: str, field: str) -> None:
    """The examples above are minimal, and the complaint names what is missing."""
    params = {key: value for key, value in MINIMAL[name].items() if key != field}
    with pytest.raises(InvalidParams, match=rf"^params\.{field}: is required$"):
        structure(params, METHODS[name].params)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_names_are_noun_and_verb(name: str) -> None:
    """`noun/verb` in lower case; only the handshake has a name without a noun."""
    assert name == "initialize" or re.fullmatch(r"[a-z]+/[a-z]+", name)


@pytest.mark.parametrize(("name", "method"), sorted(METHODS.items()))
def test_table_is_consistent(name: str, method: Method) -> None:
    """Scopes are known; a method that claims to be idempotent takes a `key`, and no other does."""
    assert method.scope in get_args(Scope)
    assert method.idempotent == ("key" in attrs.fields_dict(method.params))
    assert attrs.has(method.result)


@pytest.mark.parametrize("cls", sorted({method.result for method in METHODS.values()}, key=repr))
def test_results_round_trip(cls: type[Any]) -> None:
    """A client can structure what the daemon answers."""

    @settings(max_examples=15)
    @given(values(cls))
    def check(result: Any) -> None:
        assert structure(plain(result), cls) == result

    check()
