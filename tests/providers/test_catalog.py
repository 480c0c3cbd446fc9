"""What is known of models, and what the configuration makes of it."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest

from agentd.providers.catalog import Catalog, ModelData
from agentd.providers.catalog_data import TABLES, Row
from agentwire.config import LOCAL_MODEL, OPENAI_MODEL
from agentwire.types import LongPrice, Price

OTHERS = ("gpt-4-", "o1-mini", "o1-preview", "computer-use", "gpt-audio")


@pytest.mark.parametrize(("provider", "rows"), TABLES.items())
def test_table_is_sound(provider: str, rows: tuple[Row, ...]) -> None:
    """Every row makes sound data: a reply fits into the context, prices are of a sane size, cached input is never dearer, and what
    is given of long requests rises. No name stands twice, and patterns have no price."""
    names = [row[0] for row in rows]
    assert len(set(names)) == len(names)
    for name in names:
        data = Catalog().find(provider, name)
        assert data.known
        assert 0 < data.max_output < data.context
        assert set(data.efforts) <= {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
        if "*" in name and provider not in ("ollama", "local"):
            assert data.price is None
        if price := data.price:
            assert 0 <= price.cached <= price.input <= price.output <= 1000
            steps = [(price.input, price.output), *((longer.input, longer.output) for longer in price.above)]
            assert all(a <= c and b <= d for (a, b), (c, d) in pairwise(steps))
            assert [longer.tokens for longer in price.above] == sorted(longer.tokens for longer in price.above)


def test_default_models_are_known() -> None:
    """What is asked when nobody chose anything is in the table, with its price."""
    for model in (OPENAI_MODEL, LOCAL_MODEL):
        data = Catalog().find(*model.split("/"))
        assert data.known
        assert data.price is not None


def test_every_model_the_sdks_name_is_known() -> None:
    """The names in the SDKs' own lists have data, except what is gone or no chat model."""
    from anthropic.types.model import Model
    from openai.types.shared.all_models import AllModels

    openai = [name for union in get_args(AllModels) for name in get_args(union)]
    unknown = {name for name in openai if not Catalog().find("openai", name).known}
    assert {
        name for name in unknown if not name.startswith(("gpt-4-", "o1-mini", "o1-preview", "computer-use", "gpt-audio"))
    } == set()
    claude = [name for union in get_args(Model) for name in get_args(union)]
    assert [name for name in claude if not Catalog().find("anthropic", name).known] == []


@pytest.mark.parametrize(
    ("provider", "model", "context", "price"),
    [
        ("openai", "gpt-4o-mini", 128_000, (0.15, 0.6)),
        ("openai", "gpt-4o-mini-2024-07-18", 128_000, (0.15, 0.6)),
        ("openai", "gpt-4o-2024-05-13", 128_000, (5.0, 15.0)),
        ("openai", "gpt-5-mini-2025-08-07", 400_000, (0.25, 2.0)),
        ("anthropic", "claude-haiku-4-5-20251001", 200_000, (1.0, 5.0)),
        ("anthropic", "claude-3-5-haiku-latest", 200_000, (0.8, 4.0)),
        ("deepseek", "deepseek-v4-flash-0731", 1_000_000, (0.3, 1.2)),
        ("qwen", "qwen3-max-2026-01-23", 262_144, (1.2, 6.0)),
        ("ollama", "qwen3:8b", 32_768, (0.0, 0.0)),
    ],
)
def test_snapshots_are_their_model(provider: str, model: str, context: int, price: tuple[float, float]) -> None:
    """A dated snapshot has its model's data, unless it has a row of its own; a tag does not matter."""
    data = Catalog().find(provider, model)
    assert data.price is not None
    assert (data.context, data.price.input, data.price.output) == (context, *price)


def test_a_name_beats_a_pattern_and_the_longest_pattern_wins() -> None:
    """Abilities of the most specific row count."""
    assert Catalog().find("ollama", "llama3.2:3b").images is False
    assert Catalog().find("ollama", "llama3.2-vision:11b").images is True
    assert Catalog().find("qwen", "qwen3-235b-a22b-thinking-2507").thinking is True


def test_a_new_sister_has_no_price() -> None:
    """A model that came after the table has its family's abilities, and nobody pretends to know its price."""
    data = Catalog().find("openai", "gpt-5.9-sol")
    assert (data.known, data.tools, data.thinking, data.price) == (True, "native", True, None)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "deepseek", "qwen", "ollama", "mine"])
def test_unknown_models_are_safe(provider: str) -> None:
    """Of a model nobody knows little is taken for granted, and that is said."""
    data = Catalog().find(provider, "never-heard-of")
    assert not data.known
    assert data.context <= 128_000
    assert data.max_output <= 8192
    assert not data.files
    assert not data.prefill


def test_what_runs_at_home_is_free() -> None:
    """Ollama's and embedded models cost nothing, known or not, but those that only look as if they ran here do."""
    assert Catalog().find("ollama", "anything").price == Price(input=0, output=0, cached=0)
    assert Catalog().find("ollama", "gpt-oss:120b-cloud").price is None


def test_configuration_over_table() -> None:
    """What the configuration says of a model counts, field by field; the most specific pattern wins, wherever it stands."""
    catalog = Catalog(
        {
            "openai/gpt-4o": {"temperature": 0.2, "extra": {"seed": 1}},
            "openai/*": {"temperature": 0.7, "effort": "low", "extra": {"seed": 2, "user": "me"}},
            "*/gpt-4o*": {"images": False},
        }
    )
    data = catalog.find("openai", "gpt-4o")
    assert (data.temperature, data.effort, data.images, dict(data.extra)) == (0.2, "low", False, {"seed": 1, "user": "me"})
    assert catalog.find("openai", "gpt-4o-mini").temperature == 0.7
    assert catalog.find("anthropic", "claude-opus-5").effort == ""


def test_an_override_that_names_a_model_makes_it_known() -> None:
    """Who sets parameters of a model by its name knows it; a pattern says nothing of one, unless it is what it takes."""
    catalog = Catalog({"mine/a": {"effort": "low"}, "mine/*": {"temperature": 0.0}, "*/c*": {"context": 8000}})
    assert catalog.find("mine", "a").known
    assert catalog.find("mine", "c1").known
    assert not catalog.find("mine", "b").known


def test_prices_from_the_configuration() -> None:
    """A price may be set in part where the rest is known; half a price of an unknown model is none."""
    catalog = Catalog(
        {"openai/gpt-4o": {"price_input": 1.0}, "mine/a": {"price_input": 1.0, "price_output": 2.0}, "mine/b": {"price_input": 1.0}}
    )
    assert catalog.find("openai", "gpt-4o").price == Price(input=1.0, output=10.0, cached=1.25)
    assert catalog.find("mine", "a").price == Price(input=1.0, output=2.0, cached=1.0)
    assert catalog.find("mine", "b").price is None


def test_elsewhere_the_vendors_prices_mean_nothing() -> None:
    """At another base URL a model is what its name says, but who serves it sets the price."""
    data = Catalog(elsewhere=["openai"]).find("openai", "gpt-4o")
    assert (data.images, data.price) == (True, None)
    assert Catalog({"openai/gpt-4o": {"price_input": 1, "price_output": 2}}, elsewhere=["openai"]).find("openai", "gpt-4o").price


def test_context_is_capped() -> None:
    """MAX_CONTEXT_LENGTH holds for every model, and a smaller context leaves a smaller reply."""
    data = Catalog({"mine/*": {"context": 1_000_000}}, cap=20_000).find("mine", "a")
    assert (data.context, data.max_output) == (20_000, 5000)
    assert Catalog(cap=20_000).find("local", "smollm2-135m").context == 4096
    chosen = Catalog({"openai/gpt-5": {"context": 20_000, "max_output": 9000}}).find("openai", "gpt-5")
    assert (chosen.context, chosen.max_output) == (20_000, 9000)
    assert Catalog({"openai/gpt-5": {"max_output": 900_000}}).find("openai", "gpt-5").max_output == 200_000


@pytest.mark.parametrize(
    ("effort", "efforts", "asked"),
    [
        ("", ("low", "high"), ""),
        ("max", (), "max"),
        ("low", ("low", "high"), "low"),
        ("none", ("low", "high"), "low"),
        ("minimal", ("none", "low"), "none"),
        ("max", ("low", "high"), "high"),
        ("medium", ("low", "high"), "low"),
    ],
)
def test_effort_as_the_host_takes_it(effort: str, efforts: tuple[str, ...], asked: str) -> None:
    """A host that does not know an effort is asked for the nearest that it knows."""
    assert ModelData(effort=effort, efforts=efforts).asked_effort == asked  # type: ignore[arg-type]


def test_limits_are_what_core_needs() -> None:
    """The part of the data that core asks for."""
    limits = Catalog().find("anthropic", "claude-haiku-5-5").limits
    assert (limits.context, limits.max_output, limits.tools, limits.images, limits.prefill) == (
        1_000_000,
        128_000,
        True,
        True,
        False,
    )
    assert limits.price == Price(
        input=0.1, output=0.5, cached=0.01, written=0.125, above=(LongPrice(tokens=100_000, input=0.5, output=2.5, cached=0.05),)
    )
    assert limits.price.at(100_001).written == 0.625


def test_names_are_no_patterns() -> None:
    """A name with characters that mean something elsewhere is just a name."""
    assert Catalog({"mine/a[1]": {"context": 8000}}).find("mine", "a[1]").context == 8000
    assert Catalog({"mine/a.b": {"context": 8000}}).find("mine", "axb").context == 128_000
