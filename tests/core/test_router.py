"""The router: names, limits, lists, and how requests are spread over models and keys."""

from __future__ import annotations

from collections import Counter

import pytest
import trio
import trio.testing

from agentd.core.routes import Alias
from agentwire.errors import AuthFailed, ConfigError, InvalidParams
from tests.fakes.hosts import ANSWER, Bench, Host, Play

FAST = {"fast": Alias(models=("a/x", "b/y"), strategy="round_robin", weights=(3, 1))}


def test_unknown_provider() -> None:
    """The user reads which ones there are, before anything is sent."""
    router = Bench(Host("a"), Host("b")).router
    for ask in (router.limits, router.request, router.full_name):
        with pytest.raises(InvalidParams, match=r"'meta-llama'.*the providers are a, b"):
            ask("meta-llama/x")


def test_limits_are_the_first_candidates() -> None:
    router = Bench(Host("a"), Host("b"), aliases=FAST).router
    assert router.limits("b/four").context == 4
    assert router.limits("a/three,b/four").context == 5
    assert router.limits("fast").context == 1


async def test_prompt_gets_the_providers_own_name() -> None:
    bench = Bench(Host("a"))
    assert await bench.ask() == list(ANSWER)
    assert bench.hosts["a"].asked == [("one", 0)]


async def test_an_alias_that_vanished_fails_with_one_clear_sentence() -> None:
    """A session outlives its configuration."""
    bench = Bench(Host("a"), Host("b"), aliases=FAST)
    assert bench.router.full_name("fast") == "fast"
    bench.router.reconfigure("a/one", {})
    with pytest.raises(InvalidParams, match="no model alias 'fast': there are no aliases"):
        await bench.ask("fast")


def test_a_wrong_configuration_changes_nothing() -> None:
    bench = Bench(Host("a"), Host("b"), aliases=FAST)
    with pytest.raises(ConfigError, match="leads to itself"):
        bench.router.reconfigure("b/two", {"x": Alias(models=("x",))})
    assert bench.router.default == "a/one"
    assert bench.router.full_name("fast") == "fast"


@pytest.mark.parametrize(
    ("alias", "asked"),
    [
        (Alias(models=("a/x", "b/y")), {"a": 1000}),
        (Alias(models=("a/x", "b/y"), strategy="round_robin"), {"a": 500, "b": 500}),
        (Alias(models=("a/x", "b/y"), strategy="round_robin", weights=(3, 1)), {"a": 750, "b": 250}),
        (Alias(models=("a/x", "b/y"), strategy="least_busy"), {"a": 1000}),
    ],
)
async def test_a_thousand_requests_one_by_one(alias: Alias, asked: dict[str, int]) -> None:
    """Split exactly by the weights; without streams at the same time nobody is busy."""
    bench = Bench(Host("a"), Host("b"), aliases={"all": alias})
    for _ in range(1000):
        await bench.ask("all")
    assert {name: len(host.asked) for name, host in bench.hosts.items() if host.asked} == asked


@pytest.mark.parametrize(("weights", "asked"), [((), (20, 20)), ((3, 1), (30, 10))])
async def test_streams_at_the_same_time_go_to_the_least_busy(weights: tuple[int, ...], asked: tuple[int, int]) -> None:
    """In proportion to the weights; when they end, the load is gone."""
    gate = trio.Event()
    hosts = [Host(name, Play(*ANSWER, gate=gate)) for name in "ab"]
    bench = Bench(*hosts, aliases={"all": Alias(models=("a/x", "b/y"), strategy="least_busy", weights=weights)})
    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(bench.ask, "all")
        await trio.testing.wait_all_tasks_blocked()
        assert tuple(host.open for host in hosts) == asked
        gate.set()
    assert bench.router.balance.busy.total() == 0


async def test_keys_take_turns() -> None:
    """Each request with the next one."""
    bench = Bench(Host("a", keys=3))
    for _ in range(7):
        await bench.ask()
    assert [key for _, key in bench.hosts["a"].asked] == [0, 1, 2, 0, 1, 2, 0]


async def test_a_revoked_key_is_left_alone(autojump_clock: trio.testing.MockClock) -> None:
    """For five minutes; then one request tries it again."""
    host = Host("a", Play(entering=AuthFailed("revoked")), Play(*ANSWER), keys=3)
    bench = Bench(host)
    for _ in range(60):
        await bench.ask()
    assert Counter(key for _, key in host.asked) == {0: 1, 1: 30, 2: 30}
    assert [(circuit.target, circuit.state, circuit.code) for circuit in bench.router.circuits()] == [
        ("a#1", "open", "auth_failed")
    ]
    await trio.sleep(301)
    assert [circuit.state for circuit in bench.router.circuits()] == ["half-open"]
    for _ in range(3):
        await bench.ask()
    assert Counter(key for _, key in host.asked) == {0: 2, 1: 31, 2: 31}
    assert bench.router.circuits() == ()


async def test_prewarming_is_for_the_default() -> None:
    """Only the library that the next request most likely needs is loaded."""
    bench = Bench(Host("a"), Host("b"))
    await bench.router.prewarm()
    assert (bench.hosts["a"].warm, bench.hosts["b"].warm) == (True, False)
