"""What the tests of chosen restarts have in common: tools that can be held, a model that asks for them, the end of a turn."""

from __future__ import annotations

from typing import Any

import trio

from tests.fakes.history import valid
from tests.fakes.real import Home, Peer, call, rule, say

TOOLS = """
import os
from agentd.tool import tool

HOME = os.path.expanduser("~")

def line(name="effects"):
    with open(HOME + "/" + name, "a") as file:
        file.write(os.environ["AGENTD_CALL_ID"] + "\\n")

@tool(effect="read", policy="allow")
def look(n: int) -> str:
    "May be repeated."
    return f"saw {n}"

@tool(policy="ask")
def pay(amount: int) -> str:
    "Must be asked for."
    line()
    return "paid"

@tool(policy="allow")
def hold() -> str:
    "Does it, and ends when it is let go."
    line()
    with open(HOME + "/gate") as gate:
        gate.read()
    return "done"

@tool(effect="read", policy="allow")
def peek() -> str:
    "Changes nothing, and ends when it is let go."
    line("looks")
    with open(HOME + "/gate") as gate:
        gate.read()
    return "seen"
"""
SLOWLY = {"verb": "tokens", "count": 200, "delay": 0.01}
RULES = [
    rule("two tools", say("Let me see. "), call("look", n=1), call("look", n=2), after_tools=0),
    rule("two tools", say("One more. "), call("look", n=3), after_tools=2),
    rule("two tools", say("All three seen."), after_tools=3),
    rule("pay", call("pay", amount=5), after_tools=0),
    rule("pay", say("Paid."), after_tools=1),
    rule("hold", call("hold"), after_tools=0),
    rule("hold", say("Held."), after_tools=1),
    rule("peek", call("peek"), after_tools=0),
    rule("peek", say("Peeked."), after_tools=1),
    rule("slowly", SLOWLY),
    rule("", say("Yes.")),
]
SLOW_TEXT = "".join(f"w{number} " for number in range(200))


async def let_go(home: Home) -> None:
    """The tool that waits goes on."""
    async with await trio.open_file(home.path / "gate", "w") as gate:
        await gate.write("go")


async def finished(peer: Peer, session: str, turn: int = 1) -> list[dict[str, Any]]:
    """The session's log once a turn has ended."""
    await peer.call("session/watch", session=session, after=0)
    await peer.until("turn_finished", turn=turn)
    log = await peer.log(session)
    valid(log)
    return log
