"""The real daemon's socket under hostile bytes: one clear error each, the connection lives where it can, nobody else notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from agentwire.codec import MAX_FRAME, encode
from agentwire.errors import AgentError, InvalidParams, Unreachable
from tests.fakes.real import Daemon, Home, eventually


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Home() as home:
        yield home.start()


def frame(**fields: Any) -> bytes:
    return encode({"jsonrpc": "2.0", "id": 7, "method": "daemon/status", "params": {}, **fields})


def nested(depth: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":7,"method":"session/get","params":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}\n"


BAD_FRAMES = {
    "no JSON": (b"GET / HTTP/1.1\r\n", "parse_error", None),
    "not UTF-8": (b'{"jsonrpc": "\xff"}\n', "parse_error", None),
    "lone surrogate": (b'{"jsonrpc":"2.0","id":"\\ud800","method":"daemon/status"}\n', "parse_error", None),
    "cut in the middle": (b'{"jsonrpc":"2.0","id":7,"meth\n', "parse_error", None),
    "no object": (b'[{"jsonrpc":"2.0","id":7,"method":"daemon/status"}]\n', "protocol_error", None),
    "over the cap": (b"x" * (MAX_FRAME + 1) + b"\n", "protocol_error", None),
    "a number of 100,000 digits": (b'{"jsonrpc":"2.0","id":' + b"9" * 100_000 + b"}\n", "parse_error", None),
    "deeper than 64": (nested(65), "protocol_error", 7),
    "deeper than Python's stack": (nested(400_000), "parse_error", None),
    "other JSON-RPC": (frame(jsonrpc="1.0"), "protocol_error", 7),
    "fractional id": (frame(id=1.5), "protocol_error", None),
    "method that is none": (frame(method=3), "protocol_error", 7),
    "positional params": (frame(params=[1]), "protocol_error", 7),
    "unknown method": (frame(method="no/such"), "unknown_method", 7),
    "unknown field": (frame(params={"a": 1}), "invalid_params", 7),
    "missing field": (frame(method="session/get"), "invalid_params", 7),
    "wrong type": (frame(method="session/get", params={"session": 1}), "invalid_params", 7),
    "number too large": (frame(method="event/list", params={"session": "ab", "after": 2**80}), "invalid_params", 7),
    "watch too far": (frame(method="session/watch", params={"session": "ab", "after": 2**80}), "invalid_params", 7),
    "a million wrong items": (
        frame(method="session/prompt", params={"session": "ab", "parts": [1] * 1_000_000}),
        "invalid_params",
        7,
    ),
    "200,000 unknown fields": (frame(params={f"k{number}": 1 for number in range(200_000)}), "invalid_params", 7),
    "200,000 wrong values": (
        frame(method="session/create", params={"cwd": "/", "environment": {f"k{number}": 1 for number in range(200_000)}}),
        "invalid_params",
        7,
    ),
    "input over 1 MiB": (frame(method="session/create", params={"cwd": "/" + "x" * 2**20}), "invalid_params", 7),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_a_bad_frame_gets_one_clear_error_and_its_connection_lives(daemon: Daemon, name: str) -> None:
    """The error names its class and, where it can be read, the request's id; the next request on the same connection works."""
    data, code, identity = BAD_FRAMES[name]
    async with daemon.connect() as peer:
        await peer.send(data)
        answer = await peer.frame()
        assert answer["error"]["data"]["code"] == code
        assert answer["id"] == identity
        assert 10 < len(answer["error"]["message"]) < 1000
        status = await peer.call("daemon/status")
        assert status["pid"] == daemon.pid


async def test_while_one_sends_nonsense_others_are_served_at_once(daemon: Daemon) -> None:
    """What takes the daemon's only thread takes it from everybody: no bad frame may cost more than a moment."""
    async with daemon.connect() as other, trio.open_nursery() as nursery:
        for name, (data, *_) in BAD_FRAMES.items():
            nursery.start_soon(_send_and_leave, daemon, data, name)
        with trio.fail_after(10):  # one of the million errors took 20 s before they were bounded
            for _ in range(len(BAD_FRAMES)):
                await other.call("daemon/status")


async def _send_and_leave(daemon: Daemon, data: bytes, name: str) -> None:
    async with daemon.connect() as peer:
        await peer.send(data)
        assert "error" in await peer.frame(), name


async def test_a_client_of_another_version_is_told_both_versions_and_let_go(daemon: Daemon) -> None:
    """The error names what each side speaks and what to do; then the daemon hangs up."""
    async with daemon.open() as peer:
        with pytest.raises(AgentError, match="daemon restart") as caught:
            await peer.call("initialize", protocol=99)
        assert caught.value.code == "version_mismatch"
        assert {"client": 99, "daemon": 1}.items() <= caught.value.details.items()
        with pytest.raises(Unreachable):
            await peer.frame()


async def test_nothing_is_answered_before_the_handshake(daemon: Daemon) -> None:
    """A request before `initialize` is an error; the handshake may still follow."""
    async with daemon.open() as peer:
        with pytest.raises(AgentError, match="initialize"):
            await peer.call("daemon/status")
        with pytest.raises(InvalidParams, match="protocol"):
            await peer.call("initialize", protocol="1")
        assert (await peer.call("initialize", protocol=1))["pid"] == daemon.pid


async def test_a_frame_may_come_byte_by_byte_and_many_at_once(daemon: Daemon) -> None:
    """How a stream is cut means nothing: the answers are the same, in order."""
    async with daemon.connect() as peer:
        for byte in frame(id="slow"):
            await peer.send(bytes([byte]))
        assert (await peer.frame())["id"] == "slow"
        await peer.send(b"\n\n" + b"".join(frame(id=number) for number in range(500)))
        assert [(await peer.frame())["id"] for _ in range(500)] == list(range(500))


async def test_a_notification_gets_no_answer(daemon: Daemon) -> None:
    """A request without id is obeyed or ignored in silence, also a wrong one."""
    async with daemon.connect() as peer:
        await peer.send(json.dumps({"jsonrpc": "2.0", "method": "no/such"}).encode() + b"\n")
        await peer.send(json.dumps({"jsonrpc": "2.0", "method": "daemon/status"}).encode() + b"\n")
        await peer.send(frame(id="asked"))
        assert (await peer.frame())["id"] == "asked"


async def test_whoever_hangs_up_inside_a_frame_leaves_nothing_behind(daemon: Daemon) -> None:
    """A hundred truncated conversations: the daemon counts its clients down again."""
    async with daemon.connect() as watcher:
        for _ in range(100):
            async with daemon.open() as peer:
                await peer.send(frame(method="initialize", params={"protocol": 1}) + frame()[:-5])
        status: dict[str, Any] = {}

        async def alone() -> bool:
            status.update(await watcher.call("daemon/status"))
            return bool(status["clients"] == 1)

        with trio.fail_after(10):
            while not await alone():
                await trio.lowlevel.checkpoint()
    await eventually(lambda: daemon.process.poll() is None)


async def test_deletion_ends_a_watch_under_replay(daemon: Daemon) -> None:
    """`watch_closed` is the last frame of a watch: not one event comes after it, however the replay stood."""
    async with daemon.connect() as peer:
        session = (await peer.call("session/create", cwd="/"))["id"]
        for number in range(300):
            await peer.ask("session/rename", session=session, title=f"title {number}")
        await peer.call("daemon/status")
        await peer.ask("session/watch", session=session, after=0)
        gone = await peer.ask("session/delete", session=session)
        await peer.answer(gone)
        await peer.until("watch_closed", reason="deleted")
        await peer.call("daemon/status")
        assert not peer.events


async def test_a_watch_that_is_renewed_starts_anew(daemon: Daemon) -> None:
    """Watching again replaces the watch: after the second answer every event comes once, in order, whatever was under way."""
    async with daemon.connect() as peer:
        session = (await peer.call("session/create", cwd="/"))["id"]
        for number in range(450):
            await peer.ask("session/rename", session=session, title=f"title {number}")
        await peer.call("daemon/status")
        for _ in range(5):
            await peer.ask("session/watch", session=session, after=0)
            await peer.call("session/unwatch", session=session)
            peer.events.clear()
            assert (await peer.call("session/watch", session=session, after=0))["seq"] == 451
            peer.events.clear()
            assert [(await peer.event())["seq"] for _ in range(451)] == list(range(1, 452))
