"""Histories as they go over the wire, each message encoded once, for any dialect whose messages stand one by one in a JSON array.

Theory of operation: a history only grows at its end, and encoding all of it anew would cost more with every turn. So a session's
messages are kept as blocks of 64 KiB, which go to the socket as they are, and the newest ones, not yet a block, one by one. What
was kept holds as far as the messages are the same, which lists compare by identity first, and the same images and files are at
hand. Where they differ (a reply that was continued, a history cut at the front or loaded again) the rest is encoded anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from attrs import define, field

from agentd.ports import Message
from agentd.ports.models import attached_to

Encode = Callable[[Message, Mapping[str, bytes]], bytes]
"""A message and the blobs at hand -> its bytes, whatever came before it. If not empty they begin with a comma."""

_BLOCK = 64 * 1024
_KEPT = 16 * 1024 * 1024
"""Bytes kept of all sessions; those that were used longest ago are encoded anew when they come again."""


class EncodedHistories:
    """What `encode` made of each message of many sessions. One for each way in which messages are encoded."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._kept: OrderedDict[str, _History] = OrderedDict()
        self._size = 0

    def blocks(self, session: str, messages: Sequence[Message], blobs: Mapping[str, bytes]) -> list[bytes]:
        """The messages' bytes, in blocks. Without a name of the session nothing is kept."""
        history = self._kept.pop(session, None) or _History()
        self._size -= history.size
        history.follow(messages, blobs, self._encode)
        blocks = [*history.blocks, b"".join(history.pieces)]
        self._keep(session, history)
        return blocks

    def _keep(self, session: str, history: _History) -> None:
        if not session or history.size > _KEPT:
            return
        self._kept[session] = history
        self._size += history.size
        while self._size > _KEPT:
            _, oldest = self._kept.popitem(last=False)
            self._size -= oldest.size


@define(eq=False)
class _History:
    """A session's `messages`, encoded: whole `blocks`, each up to message number `ends[i]`, and one of `pieces` for each behind.

    `shown`: which contents were at hand, for each message that has images or files.
    """

    messages: list[Message] = field(factory=list)
    shown: list[tuple[int, list[bool]]] = field(factory=list)
    blocks: list[bytes] = field(factory=list)
    ends: list[int] = field(factory=list)
    pieces: list[bytes] = field(factory=list)
    open: int = 0  # bytes of the pieces
    size: int = 0  # bytes of all

    def follow(self, messages: Sequence[Message], blobs: Mapping[str, bytes], encode: Encode) -> None:
        """Become the encoding of these messages."""
        shown = _shown(messages, blobs)
        self._cut(min(_common(self.messages, messages), _same(self.shown, shown, len(messages))))
        for message in messages[self._done + len(self.pieces) :]:
            self._add(encode(message, blobs))
        self.messages, self.shown = list(messages), shown

    @property
    def _done(self) -> int:
        return self.ends[-1] if self.ends else 0

    def _cut(self, length: int) -> None:
        """Forget what is behind the first `length` messages."""
        if length < self._done:
            whole = bisect_right(self.ends, length)
            del self.blocks[whole:], self.ends[whole:]
            self.pieces.clear()
        del self.pieces[length - self._done :]
        self.open = sum(map(len, self.pieces))
        self.size = self.open + sum(map(len, self.blocks))

    def _add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.open += len(piece)
        self.size += len(piece)
        if self.open >= _BLOCK:
            self.ends.append(self._done + len(self.pieces))
            self.blocks.append(b"".join(self.pieces))
            self.pieces.clear()
            self.open = 0


def _shown(messages: Sequence[Message], blobs: Mapping[str, bytes]) -> list[tuple[int, list[bool]]]:
    return [(number, [part.blob in blobs for part in parts]) for number, parts in enumerate(map(attached_to, messages)) if parts]


def _same(old: list[tuple[int, list[bool]]], new: list[tuple[int, list[bool]]], length: int) -> int:
    """Up to which message, of `length`, the same contents were at hand. (Where one list ends, `_common` has its say.)"""
    return next((now[0] for was, now in zip(old, new, strict=False) if was != now), length)


def _common(old: list[Message], new: Sequence[Message]) -> int:
    """How many messages both begin with."""
    length = min(len(old), len(new))
    if old[:length] == list(new[:length]):
        return length
    return next(index for index in range(length) if old[index] != new[index])
