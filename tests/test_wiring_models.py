"""What is made of the configuration of models."""

from __future__ import annotations

import pytest

from agentd.core.routes import Alias
from agentd.providers.chat_dialect import ChatDialect
from agentd.providers.responses_dialect import ResponsesDialect
from agentd.wiring_models import aliases_of, catalog_of, dialect_of
from agentwire.config import Config, load
from agentwire.types import Price


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
    assert isinstance(dialect_of("openai", configure(f"[providers.openai]\n{toml}").providers.openai), dialect)


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
    config = configure('models.a = "x/y"\nmodels.b = {candidates = [{model = "a", weight = 3}, "x/z"], strategy = "least_busy"}')
    assert aliases_of(config) == {
        "a": Alias(models=("x/y",), weights=(1,), strategy="failover"),
        "b": Alias(models=("a", "x/z"), weights=(3, 1), strategy="least_busy"),
    }
