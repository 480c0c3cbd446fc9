"""One command from its start to its end: read as it goes, told about four times a second, killed when its time is up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from attrs import frozen

from agentd.ports import Process, Profile, Spawner
from agentd.toolsources.shell.output import Output

TELL_EVERY = 0.25
"""Seconds between two looks at the output while it runs; a command that is faster is not told about."""
_LINES, _BYTES = 20, 4096
"""Of the end of the output, that are shown while it runs."""
_LINGERS = 0.25
"""Seconds after the exit in which the output ends, unless something that was left behind holds it open (agentd.spawn: 0.5 s)."""


@frozen(kw_only=True)
class Ran:
    """How it ended. `code`: negative for a signal; `left`: something it had started was still there, and was ended."""

    code: int
    seconds: float
    timed_out: bool
    left: bool

    @property
    def failed(self) -> bool:
        return self.timed_out or self.code != 0


class Running:
    """Runs commands into `output`; `progress` is told its last lines."""

    def __init__(self, output: Output, progress: Callable[[str], None]) -> None:
        self._output, self._progress = output, progress
        self._more, self._ended = trio.Event(), trio.Event()

    async def run(self, spawner: Spawner, argv: Sequence[str], profile: Profile, seconds: float) -> Ran:
        """Until the program has exited, or `seconds` have passed; what it left behind is killed half a second later.

        Resource handling: cancelling it kills everything. Error handling: ToolError if it cannot be started.
        """
        async with spawner.start(argv, profile) as process:
            await process.go()
            return await self._follow(process, seconds)

    async def _follow(self, process: Process, seconds: float) -> Ran:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, process)
            nursery.start_soon(self._tell)
            with trio.move_on_after(seconds) as limit:
                await process.wait()
            if limit.cancelled_caught:
                await process.kill()
            code, took = await process.wait(), trio.current_time() - began
            with trio.move_on_after(_LINGERS) as soon:
                await self._ended.wait()
            await self._ended.wait()
            nursery.cancel_scope.cancel()
        return Ran(code=code, seconds=took, timed_out=limit.cancelled_caught, left=soon.cancelled_caught)

    async def _read(self, process: Process) -> None:
        while data := await process.receive():
            self._output.add(data)
            self._more.set()
        self._ended.set()

    async def _tell(self) -> None:
        while True:
            await self._more.wait()
            await trio.sleep(TELL_EVERY)
            self._more = trio.Event()
            self._progress(self._output.ending(_LINES, _BYTES))
