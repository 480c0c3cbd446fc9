"""JSON-RPC 2.0 messages: frames in, requests out; results and errors in, frames out. No batches: a pipe already pipelines."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen

from agentwire.codec import Oversized
from agentwire.errors import AgentError, ParseError, ProtocolError

PROTOCOL_VERSION = 1

RequestId = int | str | None

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
MAX_DEPTH = 64
"""Nesting a peer may send; deeper JSON is refused before anything recurses over it."""


@frozen
class Request:
    """`id` is None for a notification, which gets no answer."""

    id: RequestId
    method: str
    params: dict[str, Any]
    notification: bool


def parse_request(frame: bytes | Oversized) -> Request:
    """One frame from a client. Raises ProtocolError; its `details["id"]` is the request's id where it could be read."""
    if isinstance(frame, Oversized):
        raise ProtocolError(f"the frame is longer than {frame.limit} bytes; put long content in a file or a blob", id=None)
    try:
        message = _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ParseError(f"the frame is not JSON: {error}", id=None) from None
    if not isinstance(message, dict):
        raise ProtocolError("a frame holds one JSON-RPC 2.0 request object (batches are not supported)", id=None)
    identity = message.get("id")
    if isinstance(identity, bool) or not isinstance(identity, int | str | None):
        raise ProtocolError("`id` must be a number or a string", id=None)
    if message.get("jsonrpc") != "2.0":
        raise ProtocolError('`jsonrpc` must be "2.0"', id=identity)
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str):
        raise ProtocolError("`method` must be a string", id=identity)
    if not isinstance(params, dict):
        raise ProtocolError("`params` must be an object", id=identity)
    if _too_deep(params, MAX_DEPTH):
        raise ProtocolError(f"`params` are nested deeper than {MAX_DEPTH} levels", id=identity)
    return Request(identity, method, params, "id" not in message)


def result_frame(request_id: RequestId, result: object) -> bytes:
    """`result` may be an attrs instance, plain JSON values, or already encoded as `msgspec.Raw`."""
    return _encoder.encode({"jsonrpc": "2.0", "id": request_id, "result": result}) + b"\n"


def error_frame(request_id: RequestId, error: AgentError) -> bytes:
    return _encoder.encode({"jsonrpc": "2.0", "id": request_id, "error": error.to_wire()}) + b"\n"


def _too_deep(value: object, left: int) -> bool:
    if isinstance(value, dict):
        return left == 0 or any(_too_deep(child, left - 1) for child in value.values())
    if isinstance(value, list):
        return left == 0 or any(_too_deep(child, left - 1) for child in value)
    return False
