"""Newline-delimited JSON frames, sans-IO: bytes in, frames out.

Theory of operation: a frame is one line of UTF-8 JSON without a raw newline. `FrameReader.feed` takes whatever a socket gave and
returns the complete frames in it. A line over the cap is never held in memory: it is skipped up to its newline and reported once
as `Oversized`, so that one bad frame costs its sender an error and not the connection. Standard library only.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False  # true to type checkers; `typing` itself would cost every command a tenth of its start
if TYPE_CHECKING:
    from typing import Any

MAX_FRAME = 4 * 1024 * 1024
"""Bytes of one frame without its newline: an event of 1 MiB, or a 256 KiB blob piece in base64, and room to spare."""


class Oversized:
    """A line over the cap was skipped; `limit` is the cap in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Oversized) and self.limit == other.limit

    def __hash__(self) -> int:
        return hash(self.limit)

    def __repr__(self) -> str:
        return f"Oversized(limit={self.limit})"


class FrameReader:
    """Splits a byte stream into frames. One per connection and direction; never raises."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._held = 0
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | Oversized]:
        """The frames that `data` completes, without newlines; blank lines are dropped."""
        frames: list[bytes | Oversized] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            frame = self._finish(line)
            if frame is not None:
                frames.append(frame)
        if rest:
            self._hold(rest)
        return frames

    @property
    def truncated(self) -> bool:
        """True if the bytes so far end inside a frame: at end of stream, the peer was cut off."""
        return self._held > 0 or self._skipping

    def _hold(self, piece: bytes) -> None:
        if self._skipping:
            return
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > self._limit:
            self._pieces.clear()
            self._held = 0
            self._skipping = True

    def _finish(self, line: bytes) -> bytes | Oversized | None:
        self._hold(line)
        if self._skipping:
            self._skipping = False
            return Oversized(self._limit)
        frame = b"".join(self._pieces) if len(self._pieces) > 1 else line
        self._pieces.clear()
        self._held = 0
        return frame if frame.strip() else None


def encode(message: dict[str, Any]) -> bytes:
    """One frame with its newline. Lone surrogates (bytes that were no UTF-8) are replaced, never sent."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def request(number: int, method: str, params: dict[str, Any]) -> bytes:
    """A JSON-RPC 2.0 request frame."""
    return encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def decode(frame: bytes) -> dict[str, Any]:
    """The JSON object in a frame. Raises ValueError if it is anything else."""
    message = json.loads(frame)
    if not isinstance(message, dict):
        raise ValueError(f"a frame holds one JSON object, not {type(message).__name__}")
    return message
