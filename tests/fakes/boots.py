"""One run of the daemon in this process, on a virtual clock: what `wiring.build` does, with scripted models and no socket."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
import trio.testing
from attrs import Factory, define

from agentd.core.api import Api
from agentd.core.index import index_change
from agentd.core.live import Live
from agentd.daemon import Daemon, Parts
from agentd.ipc import Listener
from agentd.ports import Models
from agentd.store.opening import open_inline
from agentwire import config
from agentwire.errors import ConfigError, StoreError
from agentwire.types import ProviderStatus
from tests.fakes.house import OWNER, TrioClock, core
from tests.fakes.models import FakeModels, Say

HELLO = FakeModels(lambda prompt: Say(["Hello"]))


class NoSocket(Listener):
    """A listener to which nobody comes."""

    def __init__(self, happened: list[str]) -> None:
        self.clients, self.path = 3, "/nowhere"
        self._happened = happened

    async def serve(self, connections: trio.Nursery) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._happened.append("no client is accepted")

    def close(self) -> None:
        self._happened.append("listener closed")


def _opened() -> trio.Event:
    gate = trio.Event()
    gate.set()
    return gate


@define
class FakeProcess:
    """agentd.daemon.Process: `found` is what stands in the configuration, `wrong` what is wrong with it."""

    found: config.Config
    wrong: str = ""
    logged: list[config.Config] = Factory(list)
    reconfigured: list[config.Config] = Factory(list)
    reads: int = 0
    asked: trio.Event = Factory(trio.Event)  # to reconfigure, which waits for the gate
    gate: trio.Event = Factory(_opened)

    async def read(self, environ: Mapping[str, str]) -> config.Config:
        self.reads += 1
        if self.wrong:
            raise ConfigError(self.wrong)
        return self.found

    async def reconfigure(self, config: config.Config) -> None:
        self.asked.set()
        await self.gate.wait()
        self.reconfigured.append(config)

    def log_to(self, config: config.Config) -> None:
        self.logged.append(config)

    async def successor(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        await self.read(environment)
        return environment


@define(eq=False)
class Boot:
    """One run of the daemon and what it is made of. `happened`: what came when, in words."""

    daemon: Daemon
    parts: Parts
    api: Api
    listener: NoSocket
    process: FakeProcess
    happened: list[str] = Factory(list)

    async def call(self, method: str, **params: object) -> Any:
        return await self.api.dispatch(OWNER, method, params)

    async def create(self) -> Live:
        info = await self.call("session/create", cwd="/")
        return await self.parts.sessions.open("local", info.id)

    async def prompt(self, live: Live, text: str) -> Any:
        return await self.call("session/prompt", session=live.state.id, parts=[{"kind": "text", "text": text}])

    async def kinds(self, live: Live) -> list[str]:
        return [event.kind for event in await self.parts.store.read(live.state.id, after=0, limit=100)]

    def deliver(self, frame: bytes, seq: int | None) -> None:
        """agentd.core.bus.Subscriber: a client that watches."""
        if b'"turn_finished"' in frame or b'"stop":"interrupted"' in frame:
            self.happened.append("the turn's last event")

    def close(self, reason: str) -> None:
        self.happened.append(f"watch closed: {reason}")


def settings(home: Path, *overrides: str) -> config.Config:
    return config.load({"AGENTD_HOME": str(home), "HOME": str(home)}, overrides)


def build(home: Path, models: Models = HELLO, *overrides: str) -> Boot:
    """What `wiring.build` does, with a scripted model and no socket. The log is a file: the next boot finds it."""
    store = open_inline(index_change, TrioClock(), str(home / "agentd.db"))
    process = FakeProcess(settings(home, *overrides))
    daemon = Daemon(process.found, TrioClock(), secrets.token_hex(4), process)
    made = core(store, models, (), daemon)
    happened: list[str] = []
    parts = Parts(
        store=store,
        bus=made.bus,
        sessions=made.sessions,
        services=[partial(serve, happened)],
        background=[made.saver.run, made.upkeep.run],
        prewarm=partial(prewarm, happened),
        providers=lambda: (ProviderStatus(name="fake", state="ready"),),
        recovery=made.recovery,
        reconfigure=process.reconfigure,
    )
    return Boot(daemon, parts, made.api, NoSocket(happened), process, happened)


async def serve(happened: list[str], *, task_status: Any) -> None:
    task_status.started()
    try:
        await trio.sleep_forever()
    finally:
        happened.append("service ended")


async def prewarm(happened: list[str]) -> None:
    happened.append("prewarmed")


@asynccontextmanager
async def running(boot: Boot, *, kill: bool = False) -> AsyncIterator[Boot]:
    """The daemon at work; at the end it is asked to stop, or killed."""
    ready = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(boot.daemon.run, boot.parts, boot.listener, ready.set)
            await ready.wait()
            yield boot
            if kill:
                nursery.cancel_scope.cancel()
            elif not boot.daemon._stop_asked.is_set():
                boot.daemon.stop()
    except* StoreError:  # turns that are killed find the log dead
        if not kill:
            raise
    boot.parts.store._writer.db.close()


async def crash(home: Path, *moments: float) -> None:
    """Boots that did not end, each begun that many seconds before now."""
    store = open_inline(index_change, TrioClock(), str(home / "agentd.db"))
    for moment in moments:
        store._writer.start_boot(f"crashed-{moment}", TrioClock().now() - moment)
    store._writer.db.close()


async def left_open(home: Path) -> str:
    """A session whose turn was cut off by a kill."""
    boot = build(home, FakeModels(lambda prompt: Say(["..."], gate=trio.Event())))
    async with running(boot, kill=True):
        live = await boot.create()
        await boot.prompt(live, "go")
        await trio.testing.wait_all_tasks_blocked()
        boot.parts.store._writer.db.execute("DELETE FROM boot")  # each test counts its crashes itself
    return live.state.id


def unclean(boot: Boot) -> int:
    return int(boot.parts.store._writer.db.execute("SELECT count(*) FROM boot WHERE ended_at IS NULL").get)
