"""Fan-out: every committed or transient event to whoever watches its stream, at once and without waiting.

The publisher calls each subscriber directly (a task switch per watcher would cost more than the write); a subscriber never waits
and never raises: one that cannot keep up closes itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from agentwire.events import Event, encode_event, event_frame

_TOGETHER: Final = 16 * 1024
"""Bytes from which on frames are not joined any more: what waits for a slow reader is counted in frames, too."""


class Subscriber(Protocol):
    def deliver(self, frame: bytes, seq: int | None) -> None:
        """Take one encoded event frame, or several up to the one with `seq`, which is None for a transient one. Synchronous; must
        not wait or raise."""

    def close(self, reason: str) -> None:
        """The last thing it hears: the stream is gone or the daemon stops."""


class Bus:
    """Subscribers by stream."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Subscriber]] = {}

    def subscribe(self, stream: str, subscriber: Subscriber) -> None:
        self._subscribers.setdefault(stream, []).append(subscriber)

    def unsubscribe(self, stream: str, subscriber: Subscriber) -> None:
        """Idempotent: a subscriber that closed itself may be unsubscribed again by its owner."""
        watching = self._subscribers.get(stream, [])
        if subscriber in watching:
            watching.remove(subscriber)
        if not watching:
            self._subscribers.pop(stream, None)

    def watched(self, stream: str) -> bool:
        return stream in self._subscribers

    def publish(self, stream: str, encoded: bytes, seq: int | None) -> None:
        self._deliver(stream, event_frame(encoded), seq)

    def publish_events(self, stream: str, events: Sequence[Event]) -> None:
        """What was committed together goes out together: each write wakes its reader."""
        frames: list[bytes] = []
        for event in events if stream in self._subscribers else ():
            frames.append(event_frame(encode_event(event)))
            if event is events[-1] or sum(map(len, frames)) >= _TOGETHER:
                self._deliver(stream, b"".join(frames), event.seq)
                frames.clear()

    def _deliver(self, stream: str, frame: bytes, seq: int | None) -> None:
        for subscriber in tuple(self._subscribers.get(stream, ())):
            subscriber.deliver(frame, seq)

    def close(self, stream: str, reason: str) -> None:
        for subscriber in self._subscribers.pop(stream, []):
            subscriber.close(reason)

    def close_all(self, reason: str) -> None:
        for stream in tuple(self._subscribers):
            self.close(stream, reason)
