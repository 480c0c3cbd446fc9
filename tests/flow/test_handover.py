"""A daemon that executes itself anew: same process, same socket; nobody is refused and nothing is lost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from agentwire.errors import ConfigError, Conflict, Unreachable
from tests.fakes.history import at_rest, ends, text_of
from tests.fakes.real import Daemon, Home, Models, Peer, eventually, rule, say

WORDS = 400
RULES = [rule("", {"verb": "tokens", "count": WORDS, "delay": 0.01})]
PROCESS_START = 19
"""The field of /proc/PID/stat after the name: when the process began."""


@pytest.fixture
def home() -> Iterator[Home]:
    with Home(AGENTD_DAEMON_SHUTDOWN_GRACE="0.1") as home:
        yield home


def born(daemon: Daemon) -> str:
    return Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()[PROCESS_START]


def environment(daemon: Daemon) -> dict[str, str]:
    pairs = Path(f"/proc/{daemon.pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


async def restart(daemon: Daemon, **params: object) -> str:
    """The boot that follows. The old one answers before it goes."""
    async with daemon.connect() as peer:
        before = peer.initialized["boot"]
        await peer.call("daemon/restart", **params)
    while (after := await boot(daemon)) in ("", before):
        pass
    return after


async def boot(daemon: Daemon) -> str:
    """Of whoever serves now; "" if it hung up, which may happen to whom the old one had accepted."""
    try:
        async with daemon.connect() as peer:
            return str(peer.initialized["boot"])
    except Unreachable:
        return ""


async def test_the_process_and_its_socket_go_on(home: Home) -> None:
    """Same pid, another boot, no more descriptors; the lock is held; the socket's name goes with the last of them."""
    daemon = home.start()
    began, descriptors, inode = born(daemon), os.listdir(f"/proc/{daemon.pid}/fd"), os.stat(home.socket).st_ino
    boots = [await boot(daemon)] + [await restart(daemon) for _ in range(3)]
    assert len(set(boots)) == 4 and born(daemon) == began and os.stat(home.socket).st_ino == inode
    # At most: among the first may be what a daemon that has just started is about to close.
    await eventually(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= len(descriptors), "the last connection's end")
    refused = home.refuse()
    assert refused.returncode == 1 and f"pid {daemon.pid}" in refused.stderr
    assert await daemon.stop() == 0 and not home.listens


async def test_environment_and_configuration_are_read_anew(home: Home) -> None:
    """`export KEY=...; agentctl daemon restart`; without an environment the daemon keeps its own."""
    daemon = home.start()
    await restart(daemon, environment={**home.environ, "AGENTD_MODEL": "openai/exported", "NOTIFY_SOCKET": "/somebody/elses"})
    for _ in range(2):
        environ = environment(daemon)
        assert environ["AGENTD_MODEL"] == "openai/exported" and "NOTIFY_SOCKET" not in environ
        async with daemon.connect() as peer:
            assert (await peer.call("daemon/status"))["model"] == "openai/exported"
        await restart(daemon)


async def test_what_could_not_start_is_refused_before_anything_stops(home: Home) -> None:
    """A wrong file, a wrong variable, an unknown provider, another home: the daemon runs on, with its clients."""
    daemon = home.start()
    async with daemon.connect() as peer:
        home.write("config/config.toml", "model = 3\n")
        with pytest.raises(ConfigError, match=r"config\.toml:1"):
            await peer.call("daemon/restart")
        home.write("config/config.toml", 'model = "nobody/knows"\n')
        with pytest.raises(ConfigError, match="nobody"):
            await peer.call("daemon/restart")
        (home.path / "config/config.toml").unlink()
        with pytest.raises(ConfigError, match="LOG_LEVEL"):
            await peer.call("daemon/restart", environment={**home.environ, "LOG_LEVEL": "loud"})
        with pytest.raises(Conflict, match="/elsewhere"):
            await peer.call("daemon/restart", environment={**home.environ, "AGENTD_HOME": "/elsewhere"})
        assert (await peer.call("daemon/status"))["boot"] == peer.initialized["boot"]


async def test_those_who_wait_for_a_daemon_that_cannot_start_hear_why(home: Home) -> None:
    """The configuration went wrong after it was looked at: who waits at the socket gets the error; it leaves no name behind."""
    home.environ["AGENTD_DAEMON_SHUTDOWN_GRACE"] = "10"
    with Models([rule("", say("I wait "), {"verb": "hang"})]) as models:
        daemon = home.start(models)
        async with daemon.connect() as peer:
            await peer.prompt(await peer.create(), "wait")
            await peer.until("delta")  # else it pauses before its request, and nothing is waited for
            await peer.call("daemon/restart")
            home.write("config/config.toml", "model = 3\n")
            await peer.call("daemon/status")  # during the grace everybody is served
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hears_why, daemon)
            async with daemon.connect() as peer:
                session = (await peer.call("session/list"))["sessions"][0]["id"]
                await peer.call("session/cancel", session=session)
        assert await daemon.ended() == 78 and not home.listens


async def _hears_why(daemon: Daemon) -> None:
    """Asks until the answer is the error."""
    while True:
        with suppress(Unreachable):
            async with daemon.open() as peer:
                await peer.ask("initialize", protocol=1)
                answer = await peer.frame()
                if "error" in answer:
                    assert (answer["id"], answer["error"]["data"]["code"]) == (None, "config_error")
                    assert "config.toml:1" in answer["error"]["message"]
                    return


async def test_open_turn_goes_on_in_the_next_run(home: Home) -> None:
    """It is no crash: the turn counts no resume, its text is whole, and the daemon's ends are clean ones."""
    with Models(RULES) as models:
        daemon = home.start(models)
        async with daemon.connect() as peer:
            session = await peer.create()
            await peer.prompt(session, "count")
            await peer.until("delta")
        for _ in range(4):
            await restart(daemon)
        async with daemon.connect() as peer:
            log = await finished(peer, session)
            assert not (await peer.call("daemon/status"))["resumes_suspended"]
        assert text_of(log, 1).split() == [f"w{number}" for number in range(WORDS)] and ends(log) == {1: "done"}
        resumed = [event["data"]["resumes"] for event in log if event["kind"] == "turn_resumed"]
        assert resumed and set(resumed) == {0}


async def finished(peer: Peer, session: str) -> list[dict[str, Any]]:
    await peer.call("session/watch", session=session, after=0)
    await peer.until("turn_finished")
    return await peer.log(session)


@pytest.mark.slow
async def test_eight_clients_over_five_restarts(home: Home) -> None:
    """They connect and ask without pause while turns stream: no connection is refused, every session is whole in the end."""
    seen: Counter[str] = Counter()
    with Models(RULES) as models:
        daemon = home.start(models)
        async with daemon.connect() as peer:
            sessions = [await peer.create() for _ in range(3)]
            for session in sessions:
                await peer.prompt(session, "count")
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(_ask_without_pause, daemon, seen)
            for _ in range(5):
                answered = seen["answered"]
                await eventually(lambda before=answered: seen["answered"] > before + 50, "the clients' answers")  # type: ignore[misc]
                await restart(daemon)
            nursery.cancel_scope.cancel()
        async with daemon.connect() as peer:
            for session in sessions:
                log = await finished(peer, session)
                at_rest(log)
                assert text_of(log, 1).split() == [f"w{number}" for number in range(WORDS)]
    assert len([key for key in seen if key.startswith("boot ")]) >= 5


async def _ask_without_pause(daemon: Daemon, seen: Counter[str]) -> None:
    while True:
        try:
            async with daemon.connect() as peer:  # refused: an OSError, which fails the test
                await peer.call("daemon/status")
                seen["answered"] += 1
                seen[f"boot {peer.initialized['boot']}"] += 1
        except Unreachable:
            seen["hung up"] += 1
