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

    def blocks(self, session: str, messages: Sequence[Message], blobs: Mapping[str, bytes], *, apart: int = 0) -> list[bytes]:
        """The messages' bytes, in blocks; each of the last `apart` is one by itself. Without a session's name nothing is kept."""
        history = self._kept.pop(session, None) or _History()
        self._size -= history.size
        history.follow(messages, blobs, self._encode, apart)
        joined = len(history.pieces) - apart
        blocks = [*history.blocks, b"".join(history.pieces[:joined]), *history.pieces[joined:]]
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

    `shown`: which contents were at hand, by the number of each message that has images or files.
    """

    messages: list[Message] = field(factory=list)
    shown: dict[int, list[bool]] = field(factory=dict)
    blocks: list[bytes] = field(factory=list)
    ends: list[int] = field(factory=list)
    pieces: list[bytes] = field(factory=list)
    open: int = 0  # bytes of the pieces
    size: int = 0  # bytes of all

    def follow(self, messages: Sequence[Message], blobs: Mapping[str, bytes], encode: Encode, apart: int) -> None:
        """Become the encoding of these messages, the last `apart` of them in no block."""
        same = min(_common(self.messages, messages), self._shows(blobs))
        in_blocks = len(messages) - apart  # at most
        if same < len(self.messages) or in_blocks < self._done:
            self._cut(min(same, in_blocks))
        for message in messages[len(self.messages) :]:
            if self.open >= _BLOCK and len(self.messages) <= in_blocks:
                self._close()
            self._add(message, blobs, encode(message, blobs))
        self.messages = list(messages)  # if they are but equal: the next time the very same are found

    @property
    def _done(self) -> int:
        return self.ends[-1] if self.ends else 0

    def _shows(self, blobs: Mapping[str, bytes]) -> int:
        """Up to which message the same contents are at hand."""
        gone = (number for number, shown in self.shown.items() if shown != _at_hand(self.messages[number], blobs))
        return next(gone, len(self.messages))

    def _cut(self, length: int) -> None:
        """Forget what is behind the first `length` messages, and those that share a block with it."""
        whole = bisect_right(self.ends, length)
        if whole < len(self.ends):
            del self.blocks[whole:], self.ends[whole:]
            self.pieces.clear()
        del self.pieces[length - self._done :]
        del self.messages[self._done + len(self.pieces) :]
        self.shown = {number: shown for number, shown in self.shown.items() if number < len(self.messages)}
        self.open = sum(map(len, self.pieces))
        self.size = self.open + sum(map(len, self.blocks))

    def _add(self, message: Message, blobs: Mapping[str, bytes], piece: bytes) -> None:
        if message.attached:
            self.shown[len(self.messages)] = _at_hand(message, blobs)
        self.messages.append(message)
        self.pieces.append(piece)
        self.open += len(piece)
        self.size += len(piece)

    def _close(self) -> None:
        """Make the pieces a block."""
        self.ends.append(len(self.messages))
        self.blocks.append(b"".join(self.pieces))
        self.pieces.clear()
        self.open = 0


def _at_hand(message: Message, blobs: Mapping[str, bytes]) -> list[bool]:
    return [part.blob in blobs for part in message.attached]


def _common(old: list[Message], new: Sequence[Message]) -> int:
    """How many messages both begin with."""
    if new[: len(old)] == old:  # it only grew
        return len(old)
    return next((index for index, (was, now) in enumerate(zip(old, new, strict=False)) if was != now), min(len(old), len(new)))
