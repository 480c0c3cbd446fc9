"""A thousand malformed frames against the real daemon: one clear error for each, and nobody else notices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
import trio

from agentwire.codec import MAX_FRAME, encode
from agentwire.errors import MAX_MESSAGE
from agentwire.methods import METHODS
from tests.fakes.history import texts
from tests.fakes.real import Daemon, Home, Models, Peer, rule
from tests.fakes.verdict import judge
from tests.fakes.witness import Witness

pytestmark = pytest.mark.slow

FRAMES = 1000
GROWTH = 12 * 2**20
"""Bytes the daemon may have gained after all of them: an allocator's appetite (2 MB), not one big frame kept for each kind."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Home() as home, Models([rule("", {"verb": "tokens", "count": 400, "delay": 0.005})]) as models:
        yield home.start(models)


# --- frames, each wrong in one way -----------------------------------------------------------------------------------------------

Good = dict[str, Any]


def good(random: Random) -> Good:
    """A request that would be answered."""
    method, params = random.choice([("daemon/status", {}), ("session/list", {"limit": 3}), ("session/get", {"session": "é" * 9})])
    return {"jsonrpc": "2.0", "id": random.choice([random.randrange(10**6), "an id", "ü"]), "method": method, "params": params}


def line(random: Random, message: Good) -> bytes:
    return json.dumps(message, ensure_ascii=random.random() < 0.5).encode()


def cut(random: Random, message: Good) -> bytes:
    whole = line(random, message)
    return whole[: random.randrange(1, len(whole))]


def no_utf8(random: Random, message: Good) -> bytes:
    whole = line(random, message)
    at = random.randrange(len(whole) + 1)
    return whole[:at] + random.choice([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\x80", b"\xf5\x80\x80\x80"]) + whole[at:]


def other_encoding(random: Random, message: Good) -> bytes:
    return json.dumps(message).encode(random.choice(["utf-16-le", "utf-32-be", "utf-8-sig"]))


def control(random: Random, message: Good) -> bytes:
    return line(random, message).replace(b'"', random.choice([b'"\0', b'\0"', b'"\x1b']), random.randint(1, 4))


def more_than_one(random: Random, message: Good) -> bytes:
    return line(random, message) + random.choice([b"{}", b"garbage", b"]", b",", line(random, message)])


def no_object(random: Random, message: Good) -> bytes:
    return random.choice([b"null", b"0", b'"text"', b"[]", b"true", b"[" + line(random, message) + b"]", b"[" * 100 + b"]" * 100])


def deep(random: Random, message: Good) -> bytes:
    depth = random.choice([65, 100, 900, 5_000, 100_000])
    opening, closing = random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    nested = opening * depth + b"1" + closing * depth
    return line(random, {**message, "params": {"a": 7}}).replace(b"7", nested) if random.random() < 0.7 else nested


def number(random: Random, message: Good) -> bytes:
    huge = random.choice(
        ["9" * 400, "-" + "9" * 30, "1e999", "-1e400", "18446744073709551616", "0.5", "-1", "00", "+1", "NaN", "1e5"]
    )
    params = json.dumps({"session": "a", "after": 4711}).replace("4711", huge)
    return f'{{"jsonrpc":"2.0","id":1,"method":"event/list","params":{params}}}'.encode()


def envelope(random: Random, message: Good) -> bytes:
    wrong: dict[str, list[Any]] = {
        "jsonrpc": [None, "2", 2.0, "", [], "1.0"],
        "id": [[], {}, 1.5, True, [1]],
        "method": [None, 5, [], {}, "", "no/such", "session", "x" * 1_000_000, "daemon/status\0", "__class__", "Session/Get"],
        "params": [None, [], [1], "text", 5, True],
    }
    name = random.choice(list(wrong))
    return line(random, {**message, name: random.choice(wrong[name])})


def field(random: Random, message: Good) -> bytes:
    """Every field of every method, with a value of no field's type."""
    method = random.choice(sorted(METHODS.keys() - {"initialize"}))
    names = [attribute.name for attribute in METHODS[method].params.__attrs_attrs__]
    wrong = random.choice([{"x": [[]]}, [[{}]], {"": {"": 1.5}}])
    return line(random, {**message, "method": method, "params": {random.choice([*names, "no_such_field", "self", ""]): wrong}})


def oversized(random: Random, message: Good) -> bytes:
    return line(random, {**message, "params": {"a": "x" * MAX_FRAME}})


FAULTS: list[Callable[[Random, Good], bytes]] = [
    cut, no_utf8, other_encoding, control, more_than_one, no_object, deep, number, envelope, envelope, field, field, field,
]  # fmt: skip


async def test_each_gets_one_clear_error_and_nobody_else_notices(daemon: Daemon) -> None:
    """No frame takes its connection along, none is answered twice, none is a bug or stays in memory; another client's stream is
    whole, and a third is served all the time."""
    random, witness = Random(3), Witness()
    async with daemon.connect(witness) as watcher, daemon.connect() as other, daemon.connect() as peer:
        session = await watcher.create()
        await watcher.prompt(session, "what a first turn loads and a first bad frame allocates is kept for the next")
        await _all_of(peer, random, [oversized, *FAULTS], 50)
        await watcher.until("turn_finished")
        before = daemon.rss()
        await watcher.prompt(session, "go")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_asking, other)
            await _all_of(peer, random, [oversized] * 3, 3)
            await _all_of(peer, random, FAULTS, FRAMES)
            nursery.cancel_scope.cancel()
        assert daemon.rss() - before < GROWTH
        await watcher.until("turn_finished", outcome="done")
        log = (await judge(peer, [witness], daemon.home.path / "effects"))[session]
        assert witness.sight(session).screen.shown == texts(log)
        assert (await peer.call("daemon/status"))["clients"] == 3
    assert "_bug" not in daemon.home.log


async def _all_of(peer: Peer, random: Random, faults: list[Callable[[Random, Good], bytes]], count: int) -> None:
    for index in range(count):
        fault = faults[index % len(faults)]
        data = fault(random, good(random))
        assert b"\n" not in data
        await peer.send(data + b"\n" + encode({"jsonrpc": "2.0", "id": f"after {index}", "method": "daemon/status"}))
        answer, following = await peer.frame(), await peer.frame()
        said = f"{fault.__name__}: {data[:300]!r}: {str(answer)[:300]}"
        assert "error" in answer, said
        assert answer["error"]["data"]["code"] in ("parse_error", "protocol_error", "invalid_params", "unknown_method"), said
        assert 10 < len(answer["error"]["message"]) <= MAX_MESSAGE, said
        assert following["id"] == f"after {index}" and "result" in following, said


async def _keep_asking(peer: Peer) -> None:
    while True:
        with trio.fail_after(5):
            await peer.call("session/list")


async def test_every_wrong_first_frame_is_answered_and_the_handshake_may_follow(daemon: Daemon) -> None:
    """Before `initialize` too: one error each, on a connection that goes on."""
    random = Random(4)
    async with daemon.open() as peer:
        for index in range(100):
            await peer.send(FAULTS[index % len(FAULTS)](random, good(random)) + b"\n")
            assert "error" in await peer.frame()
        assert (await peer.call("initialize", protocol=1))["pid"] == daemon.pid


async def test_requests_of_the_same_id_are_all_answered(daemon: Daemon) -> None:
    """What an id means is the client's business: as many answers as requests, in order."""
    async with daemon.connect() as peer:
        methods = ["daemon/status", "session/list", "no/such"] * 50
        await peer.send(b"".join(encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}) for method in methods))
        answers = [await peer.frame() for _ in methods]
        assert {answer["id"] for answer in answers} == {1}
        kinds = ["pid" in answer.get("result", {}) or ("error" in answer and "error") or "list" for answer in answers]
        assert kinds == [True, "list", "error"] * 50


async def test_whoever_hangs_up_in_the_middle_of_anything_leaves_nothing(daemon: Daemon) -> None:
    """Half of a frame, half of an answer unread, resets: the daemon counts its clients down and its log has no bug."""
    random = Random(5)
    async with daemon.connect() as watcher:
        for _ in range(200):
            async with daemon.open() as peer:
                data = b"".join(
                    FAULTS[random.randrange(len(FAULTS))](random, good(random)) + b"\n" for _ in range(random.randrange(5))
                )
                await peer.send(encode({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocol": 1}}) + data)
                await peer.send(line(random, good(random))[: random.randrange(20)])
        with trio.fail_after(10):
            while (await watcher.call("daemon/status"))["clients"] != 1:
                await trio.lowlevel.checkpoint()
    assert "_bug" not in daemon.home.log
