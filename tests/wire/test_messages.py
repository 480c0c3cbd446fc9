"""Whatever a client sends is a request or a ProtocolError with the id where it could be read."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentwire.codec import Oversized
from agentwire.errors import Conflict, ParseError, ProtocolError
from agentwire.messages import MAX_DEPTH, Request, error_frame, parse_request, result_frame
from agentwire.types import Usage


def nested(depth: int) -> dict[str, Any]:
    """An object whose innermost container is `depth` levels below it, by lists and objects in turn."""
    inner: Any = 1
    for level in range(depth):
        inner = {"a": inner} if (depth - level) % 2 else [inner]
    return {"params": inner}


@pytest.mark.parametrize("identity", [1, "a", 0, -1, ""])
def test_request(identity: int | str) -> None:
    """The id comes back as it was sent."""
    frame = json.dumps({"jsonrpc": "2.0", "id": identity, "method": "a/b", "params": {"x": 1}}).encode()
    assert parse_request(frame) == Request(identity, "a/b", {"x": 1}, notification=False)


def test_params_may_be_left_out() -> None:
    """Then they are empty."""
    assert parse_request(b'{"jsonrpc":"2.0","id":1,"method":"m"}').params == {}


def test_without_id_it_is_a_notification() -> None:
    """An id of null is a request nevertheless, as JSON-RPC has it."""
    assert parse_request(b'{"jsonrpc":"2.0","method":"m"}').notification
    assert not parse_request(b'{"jsonrpc":"2.0","id":null,"method":"m"}').notification


@pytest.mark.parametrize(
    ("frame", "identity", "words"),
    [
        (b"[]", None, "batches"),
        (b"3", None, "one JSON-RPC 2.0 request object"),
        (b"{}", None, "`jsonrpc`"),
        (b'{"id":5}', 5, "`jsonrpc`"),
        (b'{"jsonrpc":"1.0","id":5,"method":"m"}', 5, "`jsonrpc`"),
        (b'{"jsonrpc":2.0,"id":5,"method":"m"}', 5, "`jsonrpc`"),
        (b'{"jsonrpc":"2.0","id":true,"method":"m"}', None, "`id`"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"m"}', None, "`id`"),
        (b'{"jsonrpc":"2.0","id":[],"method":"m"}', None, "`id`"),
        (b'{"jsonrpc":"2.0","id":{},"method":"m"}', None, "`id`"),
        (b'{"jsonrpc":"2.0","id":5}', 5, "`method`"),
        (b'{"jsonrpc":"2.0","id":5,"method":null}', 5, "`method`"),
        (b'{"jsonrpc":"2.0","id":5,"method":["m"]}', 5, "`method`"),
        (b'{"jsonrpc":"2.0","id":"x","method":"m","params":[]}', "x", "`params`"),
        (b'{"jsonrpc":"2.0","id":"x","method":"m","params":null}', "x", "`params`"),
        (b'{"jsonrpc":"2.0","id":"x","method":"m","params":"p"}', "x", "`params`"),
    ],
)
def test_malformed_requests(frame: bytes, identity: object, words: str) -> None:
    """Each says what is wrong, and carries the id so that the client can tell which request it was."""
    with pytest.raises(ProtocolError, match=words) as caught:
        parse_request(frame)
    assert type(caught.value) is ProtocolError
    assert caught.value.details["id"] == identity


@pytest.mark.parametrize("frame", [b"", b"{", b"\xff", b'{"a":"\xff"}', b"{}{}", b"nul", b"[" * 100_000, b'{"a":' * 100_000])
def test_not_json(frame: bytes) -> None:
    """Bytes that are no JSON, also those that would exhaust a recursive reader."""
    with pytest.raises(ParseError, match="not JSON"):
        parse_request(frame)


def test_oversized_frame() -> None:
    """The answer names the cap and what to do."""
    with pytest.raises(ProtocolError, match="longer than 9 bytes; put long content in a file"):
        parse_request(Oversized(9))


@pytest.mark.parametrize("deeper", [False, True])
def test_depth_is_bounded(deeper: bool) -> None:
    """The cap itself is allowed; one level more is refused before anything recurses over it."""
    frame = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "m", **nested(MAX_DEPTH + deeper)}).encode()
    if not deeper:
        assert parse_request(frame).method == "m"
        return
    with pytest.raises(ProtocolError, match="nested deeper than 64 levels"):
        parse_request(frame)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_raise_anything_else(frame: bytes) -> None:
    """Garbage is a ProtocolError or, by chance, a request."""
    with suppress(ProtocolError):
        parse_request(frame)


@pytest.mark.parametrize("result", [Usage(input=1), {"input": 1, "output": 0, "cached": 0, "written": 0, "reasoning": 0}])
def test_result_frame(result: object) -> None:
    """Attrs instances and plain values look the same on the wire."""
    frame = result_frame("x", result)
    assert frame.endswith(b"\n")
    expected = {"jsonrpc": "2.0", "id": "x", "result": {"input": 1, "output": 0, "cached": 0, "written": 0, "reasoning": 0}}
    assert json.loads(frame) == expected


def test_encoded_results_are_not_encoded_again() -> None:
    """Stored answers go out byte for byte."""
    assert result_frame(1, msgspec.Raw(b'{"a" :1}')) == b'{"jsonrpc":"2.0","id":1,"result":{"a" :1}}\n'


def test_error_frame() -> None:
    """The error object of `AgentError.to_wire`, with the request's id."""
    frame = error_frame(None, Conflict("taken", winner="w"))
    assert json.loads(frame) == {"jsonrpc": "2.0", "id": None, "error": Conflict("taken", winner="w").to_wire()}
