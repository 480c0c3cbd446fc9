from __future__ import annotations

import json

import pytest

from agentd.ports import Message, Prompt
from agentd.providers.catalog import Catalog, ModelData
from agentd.providers.chat_dialect import VENDORS, ChatDialect
from agentd.providers.dialect import Listed
from agentwire.errors import RateLimited
from agentwire.types import Text

PROMPT = Prompt(model="m", system="", messages=[Message("user", (Text(text="hi"),))], max_output=5)


@pytest.mark.parametrize(
    ("provider", "url", "official"),
    [
        ("openai", "", True),
        ("openai", "https://eu.api.openai.com/v1", True),
        ("mine", "https://api.openai.com/v1", True),
        ("openai", "https://notapi.openai.com.example/v1", False),
        ("openai", "http://localhost:8000/v1", False),
        ("deepseek", "", False),
        ("qwen", "", False),
    ],
)
def test_whose_host_it_is(provider: str, url: str, official: bool) -> None:
    """By its address, not by what somebody called the provider."""
    body = json.loads(b"".join(ChatDialect(provider, url).encode(PROMPT, ModelData())))
    assert ("max_completion_tokens" in body) == official
    assert ("max_tokens" in body) != official


def test_addresses() -> None:
    """The vendor's own; for other names there is one in the configuration, and OpenAI's is as good as any."""
    assert [ChatDialect(name).base for name in (*VENDORS, "mine")] == [*VENDORS.values(), VENDORS["openai"]]


def test_reasoning_is_sealed_where_it_is_wanted_back() -> None:
    """And nowhere else: it would be kept for nothing."""
    thought = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
    dialect = ChatDialect("deepseek")
    for model, sealed in (("deepseek-v4-pro", True), ("deepseek-chat", False)):
        deltas = dialect.decoder("h", PROMPT, Catalog().find("deepseek", model)).feed(thought)
        assert [getattr(delta, "vendor", None) for delta in deltas[2:]] == ([{"provider": "deepseek"}] if sealed else [])


def test_errors_are_its_hosts() -> None:
    assert type(ChatDialect("openai").refused("h", 429, {"error": {"message": "slow down"}}, retry_after=3)) is RateLimited


def test_list() -> None:
    """With the context where a host tells it: OpenRouter and vLLM do, each by a name of its own."""
    data = [{"id": "a"}, {"id": "b", "context_length": 4096}, {"id": "c", "max_model_len": 8192, "more": 1}]
    assert ChatDialect("openai").listed(json.dumps({"data": data}).encode()) == [
        Listed(name="a"),
        Listed(name="b", context=4096),
        Listed(name="c", context=8192),
    ]
    with pytest.raises(ValueError, match="data"):
        ChatDialect("openai").listed(b"{}")
