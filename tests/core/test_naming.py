"""Names of models as people write them: what is probably mistyped is refused before a session keeps it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agentd.core.model_list import ModelList
from agentd.core.naming import Naming
from agentd.core.routes import Alias
from agentwire import methods as m
from agentwire.errors import InvalidParams
from tests.core.test_model_list import Known
from tests.fakes.hosts import Bench, Host, down
from tests.fakes.house import OWNER

ALIASES = {"fast": Alias(models=("a/x", "b/y")), "best": Alias(models=("b/y",))}


def naming(*hosts: Host, built_in: Sequence[str] = (), unknown: Sequence[str] = ()) -> Naming:
    bench = Bench(*(hosts or (Host("a", models=["listed-one"]), Host("b"))), aliases=ALIASES)
    return Naming(bench.router, ModelList(bench.router, Known(*built_in, named=["a/tuned"], unknown=unknown)))


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("fsat", "fast"), ("bset", "best"), ("listed-oen", "listed-one"), ("bilt-in", "built-in"), ("tund", "tuned")],
)
async def test_what_is_probably_mistyped(wrong: str, near: str) -> None:
    """Near to an alias, or to a model that its provider is known to have; in a list, too. What to write is said, either way."""
    names = naming(built_in=["a/built-in"])
    for written in (wrong, f"a/x, {wrong}"):
        with pytest.raises(InvalidParams, match=rf"'{wrong}' is no model alias, and no model that a is known to have") as caught:
            await names.full_name(written)
        assert f"did you mean {near}?" in caught.value.message
        assert caught.value.message.endswith(f"write a/{wrong}")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("fast", "fast"),
        ("a/fsat", "a/fsat"),
        ("b/bset,fast", "b/bset,fast"),
        ("listed-one", "a/listed-one"),
        ("built-in", "a/built-in"),
        ("tuned.gguf", "a/tuned.gguf"),
        ("one", "a/one"),
        ("quite-another", "a/quite-another"),
        ("", "a/one"),
    ],
)
async def test_what_is_taken_as_it_is_written(written: str, kept: str) -> None:
    """With a provider whatever it is; without one what is known, and what is like nothing that is."""
    assert await naming(built_in=["a/built-in"]).full_name(written) == kept


async def test_tags_are_added_by_the_host() -> None:
    """Ollama lists them, and takes names without."""
    assert await naming(Host("a", models=["llama3.2:latest"]), Host("b")).full_name("llama3.2") == "a/llama3.2"


async def test_a_host_that_does_not_say_what_it_has() -> None:
    """Then data about the model, or about those of its kind, will do."""
    silent = [Host("a", models=down()), Host("b")]
    assert await naming(*silent, built_in=["a/mini"]).full_name("minis") == "a/minis"
    with pytest.raises(InvalidParams, match="did you mean mini"):
        await naming(*silent, built_in=["a/mini"], unknown=["minis"]).full_name("minis")


async def test_what_a_name_stands_for() -> None:
    """As a session keeps it, with what is known of each model that may be asked."""
    handler = naming().handlers["model/resolve"]
    found = await handler(OWNER, m.ResolveModel(model="new, fast"))
    assert isinstance(found, m.ModelResolved)
    assert found.model == "a/new,fast"
    assert [(info.id, "images" in info.capabilities) for info in found.models] == [("a/new", False), ("a/x", True), ("b/y", False)]
    for wrong in ("fsat", "fast,", "nobody/x"):
        with pytest.raises(InvalidParams):
            await handler(OWNER, m.ResolveModel(model=wrong))
