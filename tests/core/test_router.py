from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from agentd.core.router import Router
from agentd.ports import Delta, ModelLimits, PartStart, PartText, Prompt, Stop, Stream
from agentwire.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    InvalidParams,
    OutOfCredit,
    ProviderDown,
    ProviderError,
    RateLimited,
    Refused,
)
from agentwire.types import ModelInfo

def _build(_model: str, _limits: ModelLimits) -> Prompt:
    return PROMPT


ANSWER: tuple[Delta, ...] = (PartStart(0, "text"), PartText(0, "hi"), Stop("end"))
PROMPT = Prompt(model="", system="", messages=())


class Play:
    """What one attempt does: fail when entered, give deltas, fail after them."""

    def __init__(self, *given: Delta, entering: ProviderError | None = None, after: ProviderError | None = None) -> None:
        self.given, self.entering, self.after = given, entering, after

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        sink(())
        if self.given:
            sink(self.given)
        if self.after:
            raise self.after


class Host:
    """A Provider that plays its script; `asked` has the model of each attempt, `open` how many exchanges are."""

    def __init__(self, name: str, *script: Play, models: Sequence[str] | ProviderError = ()) -> None:
        self.name, self.script, self.listed = name, list(script), models
        self.asked: list[str] = []
        self.open = 0
        self.keys = 1
        self.warm = False

    def limits(self, model: str) -> ModelLimits:
        return ModelLimits(context=len(model), max_output=1)

    @asynccontextmanager
    async def stream(self, prompt: Prompt) -> AsyncIterator[Stream]:
        self.asked.append(prompt.model)
        self.open += 1
        try:
            play = self.script.pop(0)
            if play.entering:
                raise play.entering
            yield play
        finally:
            self.open -= 1

    async def models(self) -> Sequence[ModelInfo]:
        if isinstance(self.listed, ProviderError):
            raise self.listed
        return [ModelInfo(id=f"{self.name}/{model}") for model in self.listed]

    def status(self) -> tuple[str, str]:
        return "ready", ""

    async def run(self, *, task_status: Any) -> None:
        task_status.started()

    async def prewarm(self) -> None:
        self.warm = True

    async def aclose(self) -> None: ...


class Bench:
    """A router over hosts `a` (the default's) and `b`; waits are written down instead of waited for."""

    def __init__(self, *script: Play, chance: float = 0.0) -> None:
        self.a, self.b = Host("a", *script), Host("b")
        self.waits: list[float] = []
        self.router = Router({"a": self.a, "b": self.b}, "a/one", sleep=self._sleep, chance=lambda: chance)

    async def _sleep(self, seconds: float) -> None:
        assert self.a.open == 0, "no connection is kept open while nothing is asked"
        self.waits.append(round(seconds, 3))

    async def ask(self) -> list[Delta]:
        got: list[Delta] = []
        await self.router.request("a/one").drain(_build, got.extend)
        return got


def down(**options: Any) -> ProviderDown:
    return ProviderDown("down", **options)


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [("a/x", "a", "x"), ("b/x/y", "b", "x/y"), ("x", "a", "x"), ("", "a", "one"), ("b/", "b", "")],
)
def test_names(model: str, provider: str, name: str) -> None:
    """The first slash ends the provider's name; without one the default's provider is meant, and nothing at all is the default."""
    router = Bench().router
    found, rest = router.resolve(model)
    assert (found.name, rest) == (provider, name)
    assert router.full_name(model) == f"{provider}/{name}"


def test_unknown_provider() -> None:
    """The user reads which ones there are, before anything is sent."""
    router = Bench().router
    for ask in (router.limits, lambda model: router.request(model)):
        with pytest.raises(InvalidParams, match=r"'meta-llama'.*the providers are a, b"):
            ask("meta-llama/x")


def test_limits_are_the_providers() -> None:
    assert Bench().router.limits("b/four").context == 4


async def test_prompt_gets_the_providers_own_name() -> None:
    bench = Bench(Play(*ANSWER))
    assert await bench.ask() == list(ANSWER)
    assert bench.a.asked == ["one"]


@pytest.mark.parametrize("fails", [Play(entering=down()), Play(after=down()), Play(entering=RateLimited("busy"))])
async def test_failure_before_the_first_delta_is_tried_again(fails: Play) -> None:
    """Whether it shows before the answer or while the first event is waited for."""
    bench = Bench(fails, fails, Play(*ANSWER))
    assert await bench.ask() == list(ANSWER)
    assert len(bench.a.asked) == 3


async def test_three_attempts_at_most() -> None:
    """The last error is the caller's, and the waits between grow."""
    bench = Bench(*[Play(entering=down())] * 5)
    with pytest.raises(ProviderDown):
        await bench.ask()
    assert len(bench.a.asked) == 3
    assert bench.waits == [0.25, 0.5]


async def test_waits_are_spread() -> None:
    """At most twice the shortest, by chance."""
    bench = Bench(*[Play(entering=down())] * 3, chance=0.5)
    with pytest.raises(ProviderDown):
        await bench.ask()
    assert bench.waits == [0.375, 0.75]


@pytest.mark.parametrize("final", [AuthFailed, BadRequest, ContextTooLong, OutOfCredit, Refused])
async def test_what_would_fail_again_is_not_repeated(final: type[ProviderError]) -> None:
    bench = Bench(Play(entering=final("no")), Play(*ANSWER))
    with pytest.raises(final):
        await bench.ask()
    assert len(bench.a.asked) == 1
    assert bench.waits == []


@pytest.mark.parametrize(("chance", "waited"), [(0.0, 7.0), (0.5, 7.35)])
async def test_retry_after_is_honoured(chance: float, waited: float) -> None:
    """Never sooner than asked, and not everybody at the same moment."""
    bench = Bench(Play(entering=RateLimited("busy", retry_after=7)), Play(*ANSWER), chance=chance)
    await bench.ask()
    assert bench.waits == [waited]


async def test_a_host_that_asks_for_too_long_is_left_alone() -> None:
    """Over a minute: the error with its time goes to the user."""
    bench = Bench(Play(entering=RateLimited("busy", retry_after=61)), Play(*ANSWER))
    with pytest.raises(RateLimited) as caught:
        await bench.ask()
    assert caught.value.retry_after == 61
    assert bench.waits == []


async def test_after_the_first_delta_nothing_is_repeated() -> None:
    """What was given stays given; the caller decides how to go on."""
    bench = Bench(Play(PartStart(0, "text"), after=down()), Play(*ANSWER))
    with pytest.raises(ProviderDown):
        await bench.ask()
    assert len(bench.a.asked) == 1


async def test_no_exchange_is_open_outside_of_drain() -> None:
    """Entering asks for nothing; when drain has returned or failed, everything is closed."""
    bench = Bench(Play(*ANSWER))
    request = bench.router.request("a/one")
    assert bench.a.asked == []
    await request.drain(_build, lambda _: None)
    assert bench.a.open == 0


async def test_cancelling_the_wait() -> None:
    """Between two attempts, too."""
    host = Host("a", Play(entering=down()))
    with trio.move_on_after(0) as scope:
        await Router({"a": host}, "a/one").request("").drain(_build, lambda _: None)
    assert scope.cancelled_caught


async def test_exception_of_the_sink_is_not_a_failed_attempt() -> None:
    bench = Bench(Play(*ANSWER), Play(*ANSWER))

    def full(_: Sequence[Delta]) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        await bench.router.request("").drain(_build, full)
    assert len(bench.a.asked) == 1


async def test_models_of_all_providers() -> None:
    """The default is marked."""
    hosts = [Host("a", models=["one", "two"]), Host("b", models=["x"])]
    models = await Router({host.name: host for host in hosts}, "a/two").models()
    assert [(model.id, model.default) for model in models] == [("a/one", False), ("a/two", True), ("b/x", False)]


async def test_models_of_a_provider_that_fails() -> None:
    """It says why, and the others are listed; the default is there even if nobody lists it."""
    hosts = [Host("a", models=down()), Host("b", models=["x"]), Host("c", models=BadRequest("no"))]
    models = await Router({host.name: host for host in hosts}, "a/one").models()
    assert models == [
        ModelInfo(id="a/one", default=True, available=False, note="down"),
        ModelInfo(id="b/x"),
        ModelInfo(id="c/", available=False, note="no"),
    ]
    assert [model.id for model in await Router({"b": hosts[1]}, "b/hidden").models()] == ["b/hidden", "b/x"]


async def test_prewarming_is_for_the_default() -> None:
    """Only the library that the next request most likely needs is loaded."""
    bench = Bench()
    await bench.router.prewarm()
    assert (bench.a.warm, bench.b.warm) == (True, False)
