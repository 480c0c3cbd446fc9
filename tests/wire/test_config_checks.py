"""What no single value can be checked for: the error has file, line, key, what was expected and what was found."""

from __future__ import annotations

import re

import pytest

from agentwire.config import Config, load
from agentwire.config_checks import FILLED
from agentwire.config_models import spoken
from agentwire.errors import ConfigError

FILE = "/h/config/config.toml"
KNOWN = "a model of a provider that there is (anthropic, deepseek, local, ollama, openai, qwen)"
FURTHER = "only fields that agentd does not fill itself"


def configure(toml: str, *overrides: str) -> Config:
    return load({"AGENTD_HOME": "/h"}, overrides, read={FILE: toml}.get)


def complaint(toml: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        configure(toml, *overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("toml", "where", "said"),
    [
        ("[models]\na = 'openai/x'\nb = ['a', 'nope/x']", "3: models.b (models.b.candidates)", f"{KNOWN}, got 'nope/x'"),
        (
            "[models]\nfast = 'openai/x'\nb = 'fsat'",
            "3: models.b (models.b.candidates)",
            "provider/model or an alias of [models], got 'fsat'; did you mean fast?",
        ),
        (
            "[models]\na = ['openai/x', 'b']\nb = 'c'\n[models.c]\nstrategy = 'failover'\ncandidates = ['a']",
            "2: models.a (models.a.candidates)",
            "models that do not lead back to the alias, got a -> b -> c -> a",
        ),
        ("models.a = 'a'", "1: models.a (models.a.candidates)", "models that do not lead back to the alias, got a -> a"),
        ("\nmodel = 'nope/x'", "2: model", f"{KNOWN}, got 'nope/x'"),
        ("model = 'openai/x, fsat'\nmodels.fast = 'openai/x'", "1: model", "an alias of [models], got 'fsat'; did you mean fast?"),
    ],
)
def test_names_lead_somewhere(toml: str, where: str, said: str) -> None:
    """To a provider that there is, in the end, and nowhere in a circle."""
    text = complaint(toml)
    assert text.startswith(f"{FILE}:{where}: expected ")
    assert text.endswith(said)


def test_a_way_into_a_circle_is_told_where_it_is() -> None:
    """The alias that only leads there is none of it."""
    assert complaint("models.x = 'a'\nmodels.a = 'b'\nmodels.b = 'a'").startswith(f"{FILE}:2: models.a")


@pytest.mark.parametrize(
    ("candidates", "got"),
    [
        ("[{model = 'openai/x', weight = 0}]", "the weight 0 of 'openai/x'"),
        ("['openai/y', {model = 'openai/x', weight = '2'}]", "the weight '2' of 'openai/x'"),
        ("[{model = 'openai/x', weight = 1_000_001}]", "the weight 1000001 of 'openai/x'"),
        ("['openai/x', 'a b']", "the model 'a b'"),
        ("[{model = 'openai/', weight = 2}]", "the model 'openai/'"),
        ("[{model = 'openai/x', wieght = 2}]", "{'model': 'openai/x', 'wieght': 2}"),
        ("['openai/x', 3]", "3"),
        ("7", "7"),
    ],
)
def test_what_is_wrong_with_a_candidate(candidates: str, got: str) -> None:
    """Just that one of the list, and just what of it."""
    text = complaint(f"\nmodels.a = {candidates}")
    assert text.startswith(f"{FILE}:2: models.a (models.a.candidates): expected provider/model, ")
    assert text.endswith(f"with weights from 1 to 1000000, got {got}")


def test_what_is_wrong_with_an_option() -> None:
    """As in a file, only without one."""
    assert complaint("", "models.a=openai/x, nope/y").startswith(
        "-c models.a (models.a.candidates): expected a model of a provider"
    )


@pytest.mark.parametrize(
    ("pattern", "extra", "got"),
    [
        ("openai/x", "{model = 'y'}", "'model': the model's own name stands there"),
        ("openai/*", "{input = []}", "'input': the conversation stands there"),
        ("openai/x", "{text = {verbosity = 'low', format = {}}}", "'text.format': an answer's JSON schema goes there"),
        ("anthropic/x", "{messages = []}", "'messages': the conversation stands there"),
        ("lab/x", "{max_tokens = 9}", "'max_tokens': set max_output instead, which budgets go by"),
        ("local/*", "{stream = false}", "'stream': replies are read as they come"),
        ("ollama/x", "{options = {num_ctx = 9}}", "'options.num_ctx': set context instead: each request gets what it needs of it"),
        ("*", "{seed = 1, tools = []}", "'tools': the tools of the session stand there"),
        ("la*/x", "{n = 2}", "'n': one reply is read"),
    ],
)
def test_fields_that_are_filled_here(pattern: str, extra: str, got: str) -> None:
    """By the names that they have where the model is."""
    text = complaint(f"providers.lab.base_url = 'http://h'\n[parameters.'{pattern}']\nextra = {extra}")
    key = f'parameters."{pattern}".extra'
    assert text == f"{FILE}:3: {key}: expected {FURTHER}, got {got}"


@pytest.mark.parametrize(
    ("pattern", "extra"),
    [
        ("openai/x", "{messages = [], text = {verbosity = 'low'}, service_tier = 'flex', reasoning = {summary = 'detailed'}}"),
        ("anthropic/x", "{input = 1, thinking = {type = 'enabled', budget_tokens = 2000}}"),
        ("ollama/x", "{keep_alive = '1h', options = {num_gpu = 40, temperature = 0}, max_tokens = 1}"),
        ("own/x", "{messages = []}"),
        ("nobody/x", "{messages = []}"),
    ],
)
def test_other_fields_are_free(pattern: str, extra: str) -> None:
    """Those of other dialects, too, and whatever code of the user's makes of them."""
    toml = f"providers.own.path = 'my.code:Models'\n[parameters.'{pattern}']\nextra = {extra}"
    assert configure(toml).parameters[pattern].extra


@pytest.mark.parametrize(
    ("name", "toml", "dialect"),
    [
        ("local", "", "openai"),
        ("openai", "", "responses"),
        ("openai", "base_url = 'http://proxy/v1'", "openai"),
        ("qwen", "dialect = 'anthropic'", "anthropic"),
        ("deepseek", "", "openai"),
        ("ollama", "", "ollama"),
        ("mine", "path = 'my.code:Models'", ""),
    ],
)
def test_what_is_spoken(name: str, toml: str, dialect: str) -> None:
    """As told, else as its vendor does."""
    assert spoken(name, configure(f"[providers.{name}]\n{toml}").providers) == dialect
    assert re.fullmatch("|".join(FILLED) + "|", dialect)
