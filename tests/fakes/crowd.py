"""Clients that all work on the same sessions at once, as they like, and how such a session comes to rest."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from random import Random

import trio

from agentwire.errors import AgentError, Conflict, NotFound
from tests.fakes.real import Daemon, Peer, call, rule, say
from tests.fakes.witness import Witness

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
    rule("", {"verb": "tokens", "count": 30, "delay": 0.002}),
]


async def do_something(peer: Peer, random: Random, sessions: list[str]) -> None:
    """One random request that makes sense."""
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
            await peer.call("session/watch", session=session, after=random.choice([None, 0, 1]))
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


async def client(daemon: Daemon, seed: int, sessions: list[str], codes: Counter[str], witness: Witness) -> None:
    """Sixty random requests; `codes` counts how they ended."""
    random = Random(seed)
    async with daemon.connect(witness) as peer:
        for _ in range(60):
            code = "ok"
            try:
                await do_something(peer, random, sessions)
            except AgentError as error:
                code = error.code
            codes[code] += 1
            peer.events.clear()


async def calm(peer: Peer, session: str) -> None:
    """Deny what is asked, until nothing runs or waits."""
    await peer.call("session/watch", session=session)
    with trio.fail_after(60):
        while True:
            view = (await peer.call("session/watch", session=session))["view"]
            if view["info"]["status"] == "idle" and not view["queue"]:
                return
            for question in view["approvals"]:
                answer = {"call": question["call"], "arguments_hash": question["arguments_hash"], "decision": "deny"}
                with suppress(Conflict, NotFound):  # a steer or an interrupt was quicker
                    await peer.call("approval/answer", session=session, **answer)
            peer.events.clear()
            if not view["approvals"]:
                await peer.event()
