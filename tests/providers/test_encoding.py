"""The tools' JSON: encoded once for as long as they are the same, and in a request the bytes that it would have afresh."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.catalog import ModelData
from agentd.providers.chat_request import ChatRequests
from agentd.providers.encoding import EncodedTools, as_json
from agentd.providers.messages_request import MessagesRequests
from agentd.providers.ollama_request import OllamaRequests
from agentd.providers.responses_request import ResponsesRequests
from agentwire.types import Text

SCHEMA = {"type": "object", "properties": {"at": {"type": "number", "default": 0.1, "description": 'wo? \u00e4 \U0001f389 \x01 "'}}}
LOOK, ROLL = (ToolSpec(name=name, description="Looks.", parameters=SCHEMA) for name in ("look", "roll"))
REQUESTS: list[Callable[[], Any]] = [
    lambda: ChatRequests("p"),
    lambda: ResponsesRequests("p"),
    lambda: MessagesRequests("p"),
    OllamaRequests,
]


def named(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    return [{"name": tool.name} for tool in tools]


def test_once_for_the_same_tools() -> None:
    tools, encoded = (LOOK, ROLL), EncodedTools(named)
    first = encoded.json(tools)
    assert encoded.json(tools) is first
    assert bytes(encoded.json((ROLL,))) == b'[{"name":"roll"}]'
    assert bytes(encoded.json(tools)) == bytes(first) == b'[{"name":"look"},{"name":"roll"}]'


def test_a_list_may_have_changed() -> None:
    tools, encoded = [LOOK], EncodedTools(named)
    assert bytes(encoded.json(tools)) == b'[{"name":"look"}]'
    tools[0] = ROLL
    assert bytes(encoded.json(tools)) == b'[{"name":"roll"}]'


@pytest.mark.parametrize("requests", REQUESTS)
@pytest.mark.parametrize("system", ["be brief", "be \ud800 brief"])
@pytest.mark.parametrize("description", ["Looks.", "Looks \ud800."])
def test_every_dialect_says_what_it_would_say_afresh(requests: Callable[[], Any], system: str, description: str) -> None:
    """Whatever the tools were before; half a letter is replaced wherever it stands, and changes nothing beside it."""
    kept, odd = requests(), ToolSpec(name="odd", description=description, parameters=SCHEMA)
    for tools in ((LOOK,), (LOOK, odd), (LOOK, odd), (), (LOOK,)):
        prompt = Prompt(model="m", system=system, messages=(Message("user", (Text(text="x"),)),), tools=tools)
        body = b"".join(kept.encode(prompt, ModelData()))
        assert body == b"".join(requests().encode(prompt, ModelData()))
        sent = json.loads(body)
        assert as_json(sent) == body, "nothing in it is written otherwise than the rest"
        assert len(sent.get("tools", ())) == len(tools)
        assert ("Looks ?." in str(sent)) == (odd in tools and "\ud800" in description)
