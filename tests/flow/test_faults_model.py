"""The real daemon and a model server that fails in every way: what the turn does, and that nothing shown is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import Factory, frozen

from tests.fakes.history import at_rest, ends, outcomes, text_of
from tests.fakes.real import Daemon, Home, Models, call, rule, say
from tests.fakes.verdict import judge
from tests.fakes.witness import Witness

TOOLS = """
import os
from agentd.tool import tool

@tool(policy="allow")
def note(text: str) -> str:
    "Writes a line."
    with open(os.path.expanduser("~/notes"), "a") as file:
        file.write(f"{os.environ['AGENTD_CALL_ID']} {text}\\n")
    return "noted"
"""

HALF, REST = "The first half, ", "and the second."
WHOLE = HALF + REST
CUT, RESET, HANG, PINGS = {"verb": "cut"}, {"verb": "cut", "reset": True}, {"verb": "hang"}, {"verb": "pings"}
NOTED = rule("", say("It is noted."), after_tools=1)


def fail(status: int, **fields: Any) -> dict[str, Any]:
    return {"reply": {"fail": {"status": status, **fields}}}


@frozen(kw_only=True)
class Case:
    """`rules`: tried in order. `text`: all that the model has said in the end. `seams`: times its reply was gone on with."""

    rules: list[dict[str, Any]]
    text: str = WHOLE
    outcome: str = "done"
    error: str = ""
    seams: int = 0
    requests: int = 1
    calls: list[str] = Factory(list)


CASES: dict[str, Case] = {
    "goes before the answer": Case(rules=[{"reply": {"drop": {}}, "times": 1}, rule("", say(WHOLE))], requests=2),
    "goes before the answer for ever": Case(
        rules=[{"reply": {"drop": {"reset": True}}}], text="", outcome="failed", error="provider_down", requests=3
    ),
    "cuts before the first token": Case(rules=[rule("", CUT, times=1), rule("", say(WHOLE))], requests=2),
    "cuts after the first tokens": Case(rules=[rule("", say(HALF), CUT, say(REST))], seams=1, requests=2),
    "resets after the first tokens": Case(rules=[rule("", say(HALF), RESET, say(REST))], seams=1, requests=2),
    "cuts inside a call": Case(
        rules=[
            rule("", {**call("note", text="a"), "cut": 1}, CUT, times=1),
            rule("", call("note", text="a"), after_tools=0),
            NOTED,
        ],
        text="It is noted.",
        seams=1,
        requests=3,
        calls=["ok"],
    ),
    "cuts inside a call after words": Case(
        rules=[
            rule("", say("I note. "), {**call("note", text="b"), "cut": 1}, CUT, times=1),
            rule("", say("I note. "), call("note", text="b"), after_tools=0),
            NOTED,
        ],
        text="I note. It is noted.",
        seams=1,
        requests=3,
        calls=["ok"],
    ),
    "hangs without an answer": Case(
        rules=[{"reply": {"silent": {}}}], text="", outcome="failed", error="provider_timeout", requests=2
    ),
    "hangs after the first tokens": Case(rules=[rule("", say(HALF), HANG, say(REST))], seams=1, requests=2),
    "sends pings and no answer": Case(rules=[rule("", PINGS, times=1), rule("", say(WHOLE))], requests=2),
    "sends nothing but pings in the middle": Case(rules=[rule("", say(HALF), PINGS, say(REST))], seams=1, requests=2),
    "drips": Case(rules=[rule("", {"verb": "tokens", "count": 10, "delay": 0.1})], text="".join(f"w{i} " for i in range(10))),
    "says what is no stream": Case(
        rules=[fail(200, body="<html>Welcome!</html>", content_type="text/html")],
        text="",
        outcome="failed",
        error="provider_down",
        requests=3,
    ),
    "says garbage": Case(
        rules=[fail(200, body="data: {not json\n\ndata: \x00\n\n", content_type="text/event-stream")],
        text="",
        outcome="failed",
        error="provider_down",
        requests=3,
    ),
    "says garbage in the middle": Case(
        rules=[rule("", say(HALF), {"verb": "event", "value": {"choices": "none"}}, times=1), rule("", say(WHOLE))],
        seams=1,
        requests=2,
    ),
    "sends a line without an end": Case(
        rules=[rule("", say(HALF), {"verb": "huge"}, times=1), rule("", say(WHOLE))], seams=1, requests=2
    ),
    "never ends": Case(rules=[rule("", say("x" * 1_500_000 + " " + WHOLE))], text=""),
    "is busy once": Case(rules=[{**fail(429, headers={"retry-after": "1"}), "times": 1}, rule("", say(WHOLE))], requests=2),
    "is busy for an hour": Case(
        rules=[fail(429, headers={"retry-after": "3600"})], text="", outcome="failed", error="rate_limited"
    ),
    "breaks twice": Case(rules=[{**fail(500), "times": 2}, rule("", say(WHOLE))], requests=3),
    "is broken": Case(rules=[fail(503)], text="", outcome="failed", error="provider_down", requests=3),
    "does not know us": Case(rules=[fail(401)], text="", outcome="failed", error="auth_failed"),
    "does not like the request": Case(rules=[fail(400)], text="", outcome="failed", error="bad_request"),
    "asks for a tool that is not there": Case(
        rules=[rule("", call("nothing"), after_tools=0), NOTED], text="It is noted.", requests=2, calls=["error"]
    ),
    "sends arguments that are no JSON": Case(
        rules=[rule("", {"verb": "call", "name": "note", "arguments": '{"text": "a'}, after_tools=0), NOTED],
        text="It is noted.",
        requests=2,
        calls=["invalid_arguments"],
    ),
}
SLOW = {"hangs without an answer", "is busy once", "goes before the answer for ever", "is broken", "breaks twice", "says garbage"}
SLOW |= {"says what is no stream", "sends a line without an end", "never ends", "drips"}


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    rules = [{**one, "match": f"^{name}$"} for name, case in CASES.items() for one in case.rules]
    with Models([*rules, rule("^and now", say("As usual."))]) as models:
        yield models


@pytest.fixture(scope="module")
def daemon(models: Models) -> Iterator[Daemon]:
    with Home(AGENTD_TIMEOUTS_FIRST_EVENT="0.8", AGENTD_TIMEOUTS_BETWEEN_EVENTS="0.8") as home:
        home.write("config/tools/note.py", TOOLS)
        yield home.start(models)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES])
async def test_a_model_server_that(daemon: Daemon, models: Models, name: str) -> None:
    """The turn ends as it should, the message has all that was shown, once, and the session goes on."""
    case = CASES[name]
    witness = Witness()
    async with daemon.connect(witness) as peer:
        session = await peer.create()
        await peer.prompt(session, name)
        end = (await peer.until("turn_finished"))["data"]
        log = (await judge(peer, [witness], daemon.home.path / "notes", "note"))[session]
        at_rest(log)
        assert (end["outcome"], end["error"] and end["error"]["code"]) == (case.outcome, case.error or None), end
        assert len([1 for event in log if event["kind"] == "reply_restarted"]) == case.seams
        assert list(outcomes(log).values()) == case.calls
        assert witness.sight(session).screen.text(1) == text_of(log, 1)
        if case.text:
            assert text_of(log, 1) == case.text
        elif case.outcome == "done":
            assert [event["data"]["stop"] for event in log if event["kind"] == "assistant_message"] == ["length"]
            assert len(text_of(log, 1)) > 100_000
        assert len(models.requests(f'"{name}"')) == case.requests
        await peer.prompt(session, "and now?")
        assert (await peer.until("turn_finished", turn=2))["data"]["outcome"] == "done"
        assert ends(await peer.log(session)) == {1: case.outcome, 2: "done"}


async def test_a_turn_that_waits_for_a_hanging_server_is_cancelled_at_once(models: Models) -> None:
    """Cancel closes the request; the text that was shown is kept. (With the usual patience: nothing but the cancel ends it.)"""
    with Home() as home:
        async with home.start(models).connect() as peer:
            session = await peer.create()
            await peer.prompt(session, "hangs after the first tokens")
            await peer.until("delta")
            assert (await peer.call("session/cancel", session=session))["turn"] == 1
            assert (await peer.until("turn_finished"))["data"]["outcome"] == "cancelled"
            assert text_of(await peer.log(session), 1) in (HALF, WHOLE)


@pytest.mark.slow
async def test_a_model_server_that_dies_and_comes_back(daemon: Daemon) -> None:
    """Nobody listens there: the turn says so and is over; a session with another daemon's server is not needed."""
    with Home() as home:
        with Models([rule("", say("Hello."))]) as gone:
            environ = gone.environ
        home.environ |= environ
        peerless = home.start()
        async with peerless.connect() as peer:
            session = await peer.create()
            await peer.prompt(session, "hello?")
            end = (await peer.until("turn_finished"))["data"]
            assert (end["outcome"], end["error"]["code"], end["error"]["retryable"]) == ("failed", "provider_down", True)
            assert f"127.0.0.1:{gone.port}" in end["error"]["message"]
