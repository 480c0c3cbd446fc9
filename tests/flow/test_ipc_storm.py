"""Random requests, from one client that makes no sense and from many that do: no bug answers, and every history is valid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import trio

from agentwire.codec import encode
from agentwire.errors import AgentError
from agentwire.methods import METHODS
from tests.fakes.crowd import RULES, TOOLS, calm, client
from tests.fakes.history import at_rest
from tests.fakes.real import SEEDS, Daemon, Home, Models, Peer
from tests.fakes.verdict import judge
from tests.fakes.witness import Witness

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Home(AGENTD_TURN_MAX_STEPS="6") as home, Models(RULES) as models:
        home.write("config/tools/tools.py", TOOLS)
        yield home.start(models)


# --- nonsense --------------------------------------------------------------------------------------------------------------------


def nonsense(random: Random, depth: int = 0) -> Any:
    """Any JSON value, with a liking for the edges."""
    leaves = [
        None,
        True,
        False,
        0,
        -1,
        2**53,
        2**63 - 1,
        -(2**63),
        1.5,
        -0.0,
        1e300,
        "",
        "a",
        "\0",
        "é\u202e",
        "x" * 5000,
        "/",
        "*",
        "a%",
        "'--",
    ]
    if depth > 3 or random.random() < 0.6:
        return random.choice(leaves)
    items = [nonsense(random, depth + 1) for _ in range(random.randrange(4))]
    return items if random.random() < 0.5 else {f"{random.choice('abk')}{number}": item for number, item in enumerate(items)}


def almost(random: Random, session: str, method: str) -> dict[str, Any]:
    """Parameters that could be meant, some of them wrong."""
    good: dict[str, Any] = {
        "session": session, "cwd": "/", "title": "t", "parts": [{"kind": "text", "text": "hi"}], "delivery": "queue", "after": 0,
        "limit": 10, "before": 5, "call": "c", "arguments_hash": "0", "decision": "allow", "blob": "0" * 64, "key": "k",
        "offset": 0, "protocol": 1, "salt": "s", "environment": {"LOG_LEVEL": "x"},
    }  # fmt: skip
    fields = [field.name for field in METHODS[method].params.__attrs_attrs__]
    chosen = {name: good.get(name, "") for name in fields if random.random() < 0.8}
    if fields and random.random() < 0.6:
        chosen[random.choice(fields)] = nonsense(random)
    if random.random() < 0.1:
        chosen[random.choice(["", "self", "__class__", "jsonrpc"])] = nonsense(random)
    return chosen


@pytest.mark.parametrize("seed", SEEDS)
async def test_nonsense_is_refused_with_reasons_and_never_a_bug(daemon: Daemon, seed: int) -> None:
    """Two thousand requests with parameters near and far from right: each gets one answer, none of them `internal_error`."""
    random = Random(seed)
    methods = sorted(name for name, method in METHODS.items() if method.scope != "admin" and name != "initialize")
    async with daemon.connect() as peer:
        session = await peer.create()
        for _ in range(2000):
            method = random.choice(methods)
            params = almost(random, session, method) if random.random() < 0.8 else {"params": nonsense(random)}
            await peer.send(encode({"jsonrpc": "2.0", "id": method, "method": method, "params": params}))
            code = await _code(peer, method)
            assert code != "internal_error", (method, params, daemon.home.log[-3000:])
            if code == "not_found":
                session = (await peer.call("session/create", cwd="/"))["id"]
    assert daemon.process.poll() is None


async def _code(peer: Peer, number: str) -> str:
    try:
        await peer.answer(number)
    except AgentError as error:
        return error.code
    return "ok"


# --- a crowd ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_crowd_on_the_same_sessions(daemon: Daemon, seed: int) -> None:
    """Eight clients prompt, steer, interrupt, cancel, answer and delete: afterwards every session is idle, and its log has what
    they were promised and saw."""
    codes, witnesses = Counter[str](), [Witness() for _ in range(8)]
    async with daemon.connect() as peer:
        sessions = [(await peer.call("session/create", cwd="/"))["id"] for _ in range(3)]
        async with trio.open_nursery() as nursery:
            for number, witness in enumerate(witnesses):
                nursery.start_soon(client, daemon, 100 * seed + number, sessions, codes, witness)
        assert codes["ok"] > 200
        assert set(codes) <= {"ok", "not_found", "conflict"}, daemon.home.log[-3000:]
        there = {row["id"] for row in (await peer.call("session/list", limit=1000))["sessions"]}
        for session in there & set(sessions):
            await calm(peer, session)
        for log in (await judge(peer, witnesses, daemon.home.path / "effects", "note", "pay")).values():
            at_rest(log)
        assert (await peer.call("daemon/status"))["running"] == 0
    assert daemon.process.poll() is None
