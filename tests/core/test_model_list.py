"""All models as one list: each once, with what its host says of it, and why it is there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from agentd.core.model_list import ModelList, health, merged
from agentd.core.routes import Alias
from agentwire.errors import AuthFailed, BadRequest, ProviderError
from agentwire.types import CircuitStatus, ModelInfo
from tests.fakes.hosts import ANSWER, Bench, Host, Play, down

FAST = {"fast": Alias(models=("a/x", "b/y"), strategy="round_robin")}


class Known:
    """What would be known without asking: the context tells where an entry is from."""

    def __init__(self, *built_in: str, named: Sequence[str] = (), unknown: Sequence[str] = ()) -> None:
        self._built_in, self._named, self._unknown = built_in, named, unknown

    def described(self, provider: str, model: str) -> ModelInfo:
        able = ("tools", "images") if model == "x" else ("tools",)
        known = model not in self._unknown
        return ModelInfo(id=f"{provider}/{model}", context=len(model) * 1000, max_output=10, capabilities=able, known=known)

    def built_in(self) -> Sequence[ModelInfo]:
        return [self.described(*name.split("/")) for name in self._built_in]

    def named(self) -> Sequence[str]:
        return self._named

    def names(self, provider: str) -> Sequence[str]:
        return [name.removeprefix(f"{provider}/") for name in self._built_in if name.startswith(f"{provider}/")]


def listing(bench: Bench, *built_in: str, named: Sequence[str] = ()) -> ModelList:
    return ModelList(bench.router, Known(*built_in, named=named))


async def brief(models: ModelList, *, refresh: bool = False) -> list[tuple[str, str]]:
    return [(info.id, info.source) for info in await models.models(refresh)]


def test_each_model_once() -> None:
    """Where it comes first gives it its place; what its host says of it counts."""

    def found(*names: str, note: str = "") -> dict[str, ModelInfo]:
        return {name: ModelInfo(id=name, note=note) for name in names}

    models = merged(found("p/a", "p/b"), found("p/b", "p/c"), found("p/d", "p/c", "p/a", note="listed"))
    assert [(info.id, info.source, info.note) for info in models] == [
        ("p/a", "configured", "listed"),
        ("p/b", "configured", ""),
        ("p/c", "built-in", "listed"),
        ("p/d", "discovered", "listed"),
    ]


async def test_where_models_come_from() -> None:
    """Aliases, then what the configuration names (the default first), what is known of the vendors, what hosts list."""
    bench = Bench(Host("a", models=["two", "one"]), Host("b", models=["x"]), aliases=FAST)
    models = listing(bench, "a/one", "a/known", named=["b/z", "gone/w"])
    assert await brief(models) == [
        ("fast", "configured"),
        ("a/one", "configured"),
        ("a/x", "configured"),
        ("b/y", "configured"),
        ("b/z", "configured"),
        ("a/known", "built-in"),
        ("a/two", "discovered"),
        ("b/x", "discovered"),
    ]
    assert [info.id for info in await models.models(False) if info.default] == ["a/one"]


async def test_an_alias_takes_what_all_of_its_candidates_take() -> None:
    found = await listing(Bench(Host("a"), Host("b"), aliases=FAST)).models(False)
    assert found[0] == ModelInfo(
        id="fast",
        context=1000,
        max_output=10,
        capabilities=("tools",),
        candidates=("a/x", "b/y"),
        source="configured",
        note="round robin",
    )


async def test_an_alias_may_be_the_default() -> None:
    bench = Bench(Host("a"), Host("b"), aliases=FAST)
    bench.router.reconfigure("fast", FAST)
    assert [(info.id, info.default) for info in await listing(bench).models(False)][:2] == [("fast", True), ("a/x", False)]


async def test_hosts_are_asked_once() -> None:
    """Until somebody wants it anew; a provider that is another one now is asked again."""
    host = Host("a", models=["one"])
    bench = Bench(host)
    models = listing(bench)
    await models.models(False)
    host.listed = ["new"]
    assert await brief(models) == [("a/one", "configured")]
    assert await brief(models, refresh=True) == [("a/one", "configured"), ("a/new", "discovered")]
    bench.hosts["a"] = Host("a", models=["other"])
    assert await brief(models) == [("a/one", "configured"), ("a/other", "discovered")]


@pytest.mark.parametrize("error", [down(), AuthFailed("no key")])
async def test_a_provider_that_fails(error: ProviderError) -> None:
    """Says why, and what is known of its models is not available; the others are listed; it is asked again the next time."""
    broken = Host("a", models=error)
    models = listing(Bench(broken, Host("b", models=["x"])), "a/known")
    assert [(info.id, info.available, info.note) for info in await models.models(False)] == [
        ("a/one", False, ""),
        ("a/known", False, ""),
        ("b/x", True, ""),
        ("a/", False, error.message),
    ]
    broken.listed = ["one"]
    assert all(info.available for info in await models.models(False))


async def test_a_provider_without_a_list() -> None:
    """Many compatible hosts have none: their models may well work."""
    found = await listing(Bench(Host("a", models=BadRequest("no such path")))).models(False)
    assert [(info.id, info.available, info.note) for info in found] == [("a/one", True, ""), ("a/", False, "no such path")]


async def test_a_provider_that_does_not_answer(autojump_clock: trio.testing.MockClock) -> None:
    """Keeps nobody waiting for ever."""

    class Silent(Host):
        async def models(self) -> Sequence[ModelInfo]:
            await trio.Event().wait()
            return ()

    found = await listing(Bench(Silent("a"), Host("b", models=["x"]))).models(False)
    assert trio.current_time() == pytest.approx(15, abs=0.1)
    assert [(info.id, info.note) for info in found] == [("a/one", ""), ("b/x", ""), ("a/", "did not answer in time")]


async def test_models_that_fail_say_so(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(Host("a", Play(entering=BadRequest("no such model", status=404)), Play(*ANSWER), models=["one", "two"]))
    with pytest.raises(BadRequest):
        await bench.ask("a/two")
    assert [(info.id, info.health) for info in await listing(bench).models(False)] == [
        ("a/one", ""),
        ("a/two", "open: not_found"),
    ]


def test_health() -> None:
    """A model's own circuit, else its provider's; one of a key says nothing about it."""

    def circuit(target: str, code: str) -> CircuitStatus:
        return CircuitStatus(target=target, state="open", seconds=1, failures=1, code=code, reason="")

    circuits = [circuit("a", "down"), circuit("a/x", "overloaded"), circuit("b#1", "auth"), circuit("b/y#1", "rate")]
    assert [health(name, circuits) for name in ("a/x", "a/y", "b/y")] == ["open: overloaded", "open: down", ""]
