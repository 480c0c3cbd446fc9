"""What is made of the configuration of models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from agentd.core.routes import Alias
from agentd.ports import Message, Prompt, ToolSpec
from agentd.providers.catalog import ModelData
from agentd.providers.chat_dialect import ChatDialect
from agentd.providers.ollama_dialect import OllamaDialect
from agentd.providers.responses_dialect import ResponsesDialect
from agentd.wiring_models import aliases_of, catalog_of, dialect_of
from agentwire.config import Config, load
from agentwire.config_checks import FILLED
from agentwire.config_models import spoken
from agentwire.types import Price, Text


def configure(toml: str) -> Config:
    return load({"AGENTD_HOME": "/h"}, read={"/h/config/config.toml": toml}.get)


@pytest.mark.parametrize(
    ("toml", "dialect"),
    [
        ("", ResponsesDialect),
        ('base_url = "https://api.openai.com/v1/"', ResponsesDialect),
        ('dialect = "openai"', ChatDialect),
        ('base_url = "http://proxy/v1"', ChatDialect),
        ('base_url = "http://proxy/v1"\ndialect = "responses"', ResponsesDialect),
    ],
)
def test_openai_itself_speaks_responses(toml: str, dialect: type[object]) -> None:
    """Unless it is told otherwise, or is somebody else."""
    assert isinstance(dialect_of("openai", configure(f"[providers.openai]\n{toml}").providers), dialect)


@pytest.mark.parametrize(
    ("name", "toml", "free"),
    [
        ("lab", 'base_url = "http://h"', {"stream_options", "temperature"}),
        ("openai", "", {"store", "prompt_cache_key", "text", "temperature", "reasoning"}),
        ("anthropic", "", {"temperature"}),
        ("ollama", "", {"options", "think"}),
    ],
)
def test_what_is_filled_here_is_not_the_users_to_fill(name: str, toml: str, free: set[str]) -> None:
    """Of all fields of a request with everything in it, but for those that say how the model is to answer."""
    providers = configure(f"[providers.{name}]\n{toml}").providers
    prompt = Prompt(
        model="m",
        system="s",
        messages=[Message("user", (Text(text="hi"),))],
        tools=[ToolSpec(name="t", description="d", parameters={"type": "object"})],
        schema={"type": "object"},
        max_output=999,
        session="s",
    )
    data = ModelData(temperature=0.5, thinking=name != "anthropic", known=True)
    dialect: Any = OllamaDialect() if name == "ollama" else dialect_of(name, providers)
    bodies = [b"".join(dialect.encode(one, data)) for one in (prompt, evolve(prompt, tools=()))]
    sent = {field for body in bodies for field in json.loads(body)}
    assert "model" in sent and sent - free <= FILLED[spoken(name, providers)].keys()


def test_catalog() -> None:
    """A provider's context is that of all its models, parameters count before it; prices hold at the vendor's own address."""
    catalog = catalog_of(
        configure(
            """
            max_context = 60000
            providers.openai.base_url = "http://proxy/v1"
            providers.anthropic.base_url = "https://api.anthropic.com/"
            providers.mine = {base_url = "http://h", context = 50000}
            parameters."mine/large".context = 90000
            parameters."mine/*".temperature = 0
            """
        )
    )
    mine = catalog.find("mine", "small")
    assert (mine.context, mine.temperature, mine.known) == (50_000, 0.0, True)
    assert catalog.find("mine", "large").context == 60_000
    assert catalog.find("openai", "gpt-4o").price is None
    assert catalog.find("anthropic", "claude-opus-5").price == Price(input=5.0, output=25.0, cached=0.5, written=6.25)


def test_aliases() -> None:
    """As the router takes them."""
    config = configure(
        'models.a = "qwen/y"\nmodels.b = {candidates = [{model = "a", weight = 3}, "qwen/z"], strategy = "least_busy"}'
    )
    assert aliases_of(config) == {
        "a": Alias(models=("qwen/y",), weights=(1,), strategy="failover"),
        "b": Alias(models=("a", "qwen/z"), weights=(3, 1), strategy="least_busy"),
    }
