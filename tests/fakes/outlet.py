"""A transport that keeps what is sent, and a peer that reads it, or does not."""

from __future__ import annotations

from typing import Any

import msgspec
import trio
from attrs import Factory, define


@define
class MemoryOutlet:
    """agentd.rpc.Outlet. `frames` has everything sent, decoded. While `stalled` the peer takes nothing: `drained` waits.

    `backlog` may be set: what a slow peer has left in the buffer.
    """

    frames: list[dict[str, Any]] = Factory(list)
    backlog: tuple[int, int] = (0, 0)
    _reading: trio.Event | None = None

    def send(self, frame: bytes) -> None:
        assert frame.endswith(b"\n")
        self.frames += map(msgspec.json.decode, frame.splitlines())

    def post(self, frame: bytes) -> None:
        self.send(frame)

    async def drained(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._reading is not None:
            await self._reading.wait()

    def stall(self) -> None:
        """The peer stops reading."""
        self._reading = trio.Event()

    def resume(self) -> None:
        """It reads all there is."""
        self.backlog = (0, 0)
        if self._reading is not None:
            self._reading.set()
            self._reading = None

    def take(self) -> list[dict[str, Any]]:
        """What came since the last time."""
        frames, self.frames = self.frames, []
        return frames
