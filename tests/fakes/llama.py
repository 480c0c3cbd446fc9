"""A scripted stand-in for the embedded model's process: a Spawner whose child serves a script on the real Unix socket.

What `ports.Process` promises holds here too: `wait` returns once it has ended, `receive` is empty then, leaving the scope kills it.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import trio

from agentd.ports import Process, Profile
from tests.fakes.model_script import Answer
from tests.fakes.model_server import ScriptedModelServer


class LlamaServer(ScriptedModelServer):
    """The scripted model server on a Unix socket. It outlives its process, as the script does: `seen` counts over all lives."""

    async def run_unix(self, path: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as listener:
            await listener.bind(path)
            listener.listen(16)
            task_status.started()
            await trio.serve_listeners(self._connection, [trio.SocketListener(listener)])


class LlamaProcess:
    """A `ports.Process`. `die` ends it as the test wishes; `allowed` holds its readiness back until set."""

    def __init__(self, pid: int, argv: Sequence[str], profile: Profile) -> None:
        self.pid = pid
        self.argv = list(argv)
        self.profile = profile
        self.stdin = b""
        self.stderr = ""
        self.allowed = trio.Event()
        self.ended = trio.Event()
        self.code = 0
        self.serving = trio.CancelScope()

    def die(self, code: int = -signal.SIGKILL, said: str = "") -> None:
        if not self.ended.is_set():
            self.code, self.stderr = code, said
            self.serving.cancel()
            self.ended.set()

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.stdin += data

    async def receive(self, limit: int = 65536) -> bytes:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end, nursery.cancel_scope)
            await self.allowed.wait()
            nursery.cancel_scope.cancel()
        return b"" if self.ended.is_set() else b"ready\n"

    async def _end(self, receiving: trio.CancelScope) -> None:
        await self.ended.wait()
        receiving.cancel()

    def stderr_tail(self) -> str:
        return self.stderr

    async def wait(self) -> int:
        await self.ended.wait()
        return self.code

    async def kill(self) -> None:
        self.die()
        await trio.lowlevel.checkpoint()


class LlamaSpawner:
    """A `ports.Spawner`. `lives`: the processes started, in order. `ready`: whether they become ready by themselves.

    `stillborn`: what each says on stderr as it exits at once, instead of serving.
    """

    def __init__(self, script: Sequence[Answer], *, ready: bool = True, stillborn: str = "") -> None:
        self.server = LlamaServer(script)
        self.lives: list[LlamaProcess] = []
        self.ready = ready
        self.stillborn = stillborn
        self.started = trio.Event()

    def start(self, argv: Sequence[str], profile: Profile) -> AbstractAsyncContextManager[Process]:
        return self._start(argv, profile)

    @asynccontextmanager
    async def _start(self, argv: Sequence[str], profile: Profile) -> AsyncIterator[Any]:
        process = LlamaProcess(1000 + len(self.lives), argv, profile)
        self.lives.append(process)
        self.started.set()
        if self.stillborn:
            process.die(1, self.stillborn)
        if self.ready:
            process.allowed.set()
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            if not self.stillborn:
                await nursery.start(self._serve, process)
            try:
                yield process
            except BaseException as error:  # noqa: BLE001 - raised again below, past the nursery, which would wrap it in a group
                failure = error
            process.die()
        if failure is not None:
            raise failure

    async def _serve(self, process: LlamaProcess, *, task_status: trio.TaskStatus[None]) -> None:
        with process.serving:
            await self.server.run_unix(process.argv[process.argv.index("--socket") + 1], task_status=task_status)
