"""The scripted server itself: rules, resumed replies, and the stand-alone process that other suites start."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from agentd.ports import Message
from agentwire.errors import BadRequest, ProviderDown
from agentwire.types import Text, ToolCall, ToolResult
from tests.conformance.providers import CASES
from tests.fakes.model_rules import Rule, by_rules, load_rules
from tests.fakes.model_script import Call, Cut, Drop, Fail, Reply, Say, Spend, Tokens, error, text
from tests.providers.scenes import HELLO, ask, wired

CALL = Message("assistant", (ToolCall(id="c", name="look", arguments_json="{}"),))
RESULT = Message("tool", (ToolResult(call="c", parts=(Text(text="found"),)),))


async def test_rules_go_by_what_was_said_and_done() -> None:
    """The same history gets the same reply, whatever came before."""
    rules = [
        Rule(text("found it"), match="look", after_tools=1),
        Rule(Reply([Call("look")]), match="look", after_tools=0),
        Rule(text("hello"), match="^hel+o$"),
    ]
    looking = evolve(HELLO, messages=[*HELLO.messages, Message("user", (Text(text="look!"),))])
    looked = evolve(looking, messages=[*looking.messages, CALL, RESULT])
    async with wired(by_rules(rules)) as (_, provider):
        for _ in range(2):
            assert (await ask(provider, looked)).text == "found it"
            assert (await ask(provider)).text == "hello"
            assert (await ask(provider, looking)).stop == "tool_calls"
        with pytest.raises(BadRequest, match="no rule"):
            await ask(provider, evolve(HELLO, messages=[Message("user", (Text(text="?"),))]))


async def test_rules_that_wear_out() -> None:
    """A server that fails once and recovers."""
    async with wired(by_rules([Rule(error(503), times=1), Rule(text("back"))])) as (_, provider):
        with pytest.raises(ProviderDown):
            await ask(provider)
        assert (await ask(provider)).text == "back"


@pytest.mark.parametrize("said", ["one two three", "one tw", "one two three four"])
async def test_a_cut_reply_is_continued(said: str) -> None:
    """Who asks to go on gets the rest, and not the cut again."""
    reply = Reply([Say("one two "), Say("three four"), Cut(), Call("look")])
    half = evolve(HELLO, messages=[*HELLO.messages, Message("assistant", (Text(text=said),))], continuing=True)
    async with wired(by_rules([Rule(reply)])) as (_, provider):
        rest = await ask(provider, half)
        assert said + rest.text == "one two three four"
        assert rest.stop == "tool_calls"


@pytest.mark.parametrize("name", ["chat", "responses", "messages", "ollama"])
async def test_rules_hold_in_every_dialect(name: str) -> None:
    """What was said, how many results followed, and what there is of a cut reply, is seen whatever the words for it are."""
    case = next(case for case in CASES if case.name == name)
    rules = [
        Rule(Reply([Say("found "), Say("it"), Cut()]), match="^look!$", after_tools=1),
        Rule(Reply([Call("look")]), match="^look!$", after_tools=0),
    ]
    looking = evolve(HELLO, model=case.model, messages=[*HELLO.messages, Message("user", (Text(text="look!"),))])
    looked = evolve(looking, messages=[*looking.messages, CALL, RESULT])
    half = evolve(looked, messages=[*looked.messages, Message("assistant", (Text(text="found "),))], continuing=True)
    async with case.wired(by_rules(rules)) as (server, provider):
        assert (await ask(provider, looking)).stop == "tool_calls"
        with pytest.raises(ProviderDown):
            await ask(provider, looked)
        assert (await ask(provider, half)).text == "it"
        with pytest.raises(BadRequest, match="no rule"):
            await ask(provider, evolve(HELLO, model=case.model))
        assert [seen.after_tools for seen in server.seen] == [0, 1, 1, 0]
        assert [seen.partial.rstrip() for seen in server.seen] == ["", "", "found", ""]  # Anthropic takes no space at its end


def test_rules_from_json() -> None:
    rules = [
        {"match": "a", "reply": {"steps": [{"verb": "say", "text": "hi", "delay": 0.1}, {"verb": "cut"}], "usage": {"input": 1}}},
        {"after_tools": 0, "times": 2, "reply": {"fail": {"status": 500}}},
        {"reply": {"drop": {"reset": True}}},
        {"reply": {"steps": [{"verb": "tokens", "count": 3}], "finish": "length", "done": False}},
    ]
    assert load_rules(json.dumps(rules)) == [
        Rule(Reply([Say("hi", 0.1), Cut()], usage=Spend(input=1)), match="a"),
        Rule(Fail(500), after_tools=0, times=2),
        Rule(Drop(reset=True)),
        Rule(Reply([Tokens(3)], finish="length", done=False)),
    ]


@pytest.mark.slow
def test_as_a_process(tmp_path: Path) -> None:
    """It prints its port, answers by its script, and tells what it was asked."""
    script = tmp_path / "rules.json"
    script.write_text(json.dumps([{"match": "hi", "reply": {"steps": [{"verb": "say", "text": "hello there"}]}}]))
    command = [sys.executable, "-m", "tests.fakes.model_server", "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base = f"http://127.0.0.1:{int(process.stdout.readline())}"
        said = _fetch(f"{base}/v1/chat/completions", json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode())
        asked: list[dict[str, Any]] = json.loads(_fetch(f"{base}/requests"))
        process.terminate()
    assert b"hello " in said
    assert [request["body"]["messages"][0]["content"] for request in asked] == ["hi"]


def _fetch(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, body) as answer:
        content: bytes = answer.read()
    return content
