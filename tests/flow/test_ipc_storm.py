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
from tests.fakes.real import Daemon, Home, Models, Peer, call, ends, gap_free, iterate, outcomes, rule, say

pytestmark = pytest.mark.slow

TOOLS = """
import os
from agentd.tool import tool

def line():
    with open(os.path.expanduser("~/effects"), "a") as file:
        file.write(os.environ["AGENTD_CALL_ID"] + "\\n")

@tool(policy="allow")
def note(text: str) -> str:
    "Once."
    line()
    return "noted"

@tool(policy="ask")
def pay(amount: int) -> str:
    "Must be asked for."
    line()
    return "paid"
"""
RULES = [
    rule("tools", {"verb": "tokens", "count": 20, "delay": 0.003}, call("note", text="a"), call("pay", amount=1), after_tools=0),
    rule("cut", say("half "), {"verb": "cut"}, say("and half")),
    rule("", {"verb": "tokens", "count": 60, "delay": 0.003}),
]


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


@pytest.mark.parametrize("seed", range(3))
async def test_nonsense_is_refused_with_reasons_and_never_a_bug(daemon: Daemon, seed: int) -> None:
    """Two thousand requests with parameters near and far from right: each gets one answer, none of them `internal_error`."""
    random = Random(seed)
    methods = [method for method in METHODS if method != "daemon/stop"]
    async with daemon.connect() as peer:
        session = await peer.create()
        for _ in range(2000):
            method = random.choice(methods)
            params = almost(random, session, method) if random.random() < 0.8 else {"params": nonsense(random)}
            await peer.send(encode({"jsonrpc": "2.0", "id": method, "method": method, "params": params}))
            code = await _code(peer, method)
            assert code != "internal_error", (method, params, daemon.home.log[-3000:])
            if code == "version_mismatch":
                return  # it hung up, as it should
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


async def _do_something(peer: Peer, random: Random, sessions: list[str]) -> None:
    session = random.choice(sessions)
    match random.choice(["prompt"] * 5 + ["cancel", "rename", "watch", "unwatch", "answer", "answer", "list", "delete"]):
        case "prompt":
            delivery = random.choice(["queue", "queue", "steer", "interrupt"])
            key = random.choice(["", str(random.randrange(50))])
            text = random.choice(["tools", "cut", "talk"]) + key
            await peer.prompt(
                session, text, delivery=delivery, interactive=random.random() < 0.7, key=key and f"{session}{key}{delivery}"
            )
        case "answer":
            view = (await peer.call("session/watch", session=session))["view"]
            for question in view["approvals"]:
                decision = random.choice(["allow", "deny"])
                answer = {"call": question["call"], "arguments_hash": question["arguments_hash"], "decision": decision}
                await peer.call("approval/answer", session=session, **answer)
        case "watch":
            await peer.call("session/watch", session=session, after=random.choice([None, 0, 3]))
        case "rename":
            await peer.call("session/rename", session=session, title=f"t{random.random()}")
        case "list":
            await peer.call("event/list", session=session, after=random.randrange(20))
        case "delete" if random.random() < 0.15:
            await peer.call("session/delete", session=session, force=True)
        case "delete":
            sessions.append((await peer.call("session/create", cwd="/"))["id"])
        case other:
            await peer.call(f"session/{other}", session=session)


async def _client(daemon: Daemon, seed: int, sessions: list[str], codes: Counter[str]) -> None:
    random = Random(seed)
    async with daemon.connect() as peer:
        for _ in range(60):
            code = "ok"
            try:
                await _do_something(peer, random, sessions)
            except AgentError as error:
                code = error.code
            codes[code] += 1
            peer.events.clear()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(3))
async def test_a_crowd_on_the_same_sessions(daemon: Daemon, seed: int) -> None:
    """Eight clients prompt, steer, interrupt, cancel, answer and delete: afterwards every session is idle and its log valid."""
    codes: Counter[str] = Counter()
    async with daemon.connect() as peer:
        sessions = [(await peer.call("session/create", cwd="/"))["id"] for _ in range(3)]
        async with trio.open_nursery() as nursery:
            for client in range(8):
                nursery.start_soon(_client, daemon, 100 * seed + client, sessions, codes)
        assert codes["ok"] > 200
        assert set(codes) <= {"ok", "not_found", "conflict"}, daemon.home.log[-3000:]
        there = {row["id"] for row in (await peer.call("session/list", limit=1000))["sessions"]}
        for session in there & set(sessions):
            await _calm(peer, session)
            log = await peer.log(session)
            _valid(log, Counter(words[0] for words in iterate(daemon.home.path / "effects")))
        assert (await peer.call("daemon/status"))["running"] == 0
    assert daemon.process.poll() is None


async def _calm(peer: Peer, session: str) -> None:
    """Deny what is asked, until nothing runs or waits."""
    await peer.call("session/watch", session=session)
    with trio.fail_after(60):
        while True:
            view = (await peer.call("session/watch", session=session))["view"]
            if view["info"]["status"] == "idle" and not view["queue"]:
                return
            for question in view["approvals"]:
                answer = {"call": question["call"], "arguments_hash": question["arguments_hash"], "decision": "deny"}
                await peer.call("approval/answer", session=session, **answer)
            peer.events.clear()
            if not view["approvals"]:
                await peer.event()


def _valid(log: list[dict[str, Any]], lines: Counter[str]) -> None:
    """Gap-free, every turn with one beginning and one end, every input taken once, every call with one outcome, effects once."""
    gap_free(log)
    kinds = [event["kind"] for event in log]
    started = [event["data"]["turn"] for event in log if event["kind"] == "turn_started"]
    assert started == list(range(1, len(started) + 1))
    assert sorted(ends(log)) == started
    taken = [event["data"]["input"] for event in log if event["kind"] in ("turn_started", "input_steered")]
    assert sorted(taken) == sorted(event["data"]["input"] for event in log if event["kind"] == "input_accepted")
    assert kinds.count("tool_planned") == len(outcomes(log))
    for number, outcome in outcomes(log).items():
        assert lines[number] <= 1
        assert lines[number] == 1 or outcome != "ok"
        assert lines[number] == 0 or outcome in ("ok", "unknown")
