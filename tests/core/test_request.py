"""One request over many attempts: whom it asks, how long it waits, when it gives up. Virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Delta, ModelLimits, PartStart, PartText, Prompt, Spent, Stop, Waits
from agentwire.errors import (
    AgentError,
    AuthFailed,
    BadRequest,
    BudgetExceeded,
    ContextTooLong,
    InvalidParams,
    OutOfCredit,
    ProviderDown,
    ProviderError,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
    Refused,
)
from agentwire.types import Usage
from tests.fakes.hosts import ANSWER, PROMPT, Bench, Host, Play, down, going_on, words

Clock = trio.testing.MockClock
OK = Play(*ANSWER)
CLASSES = [
    RateLimited,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderDown,
    AuthFailed,
    OutOfCredit,
    Refused,
    BadRequest,
    ProviderError,
]


def failing(error: type[ProviderError], **options: Any) -> Play:
    return Play(entering=error("no", **options))


def build(_model: str, _limits: ModelLimits) -> Prompt:
    return PROMPT


# --- one endpoint ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [Play(entering=down()), Play(after=down()), failing(RateLimited), failing(ProviderOverloaded)])
async def test_failure_before_the_first_delta_is_tried_again(fails: Play, autojump_clock: Clock) -> None:
    """Whether it shows before the answer or while the first event is waited for."""
    bench = Bench(Host("a", fails, fails, OK))
    assert await bench.ask() == list(ANSWER)
    assert bench.asked == ["a3"]


@pytest.mark.parametrize(("chance", "waits"), [(0.0, [0.25, 0.5]), (0.5, [0.375, 0.75])])
async def test_three_attempts_at_most(chance: float, waits: list[float], autojump_clock: Clock) -> None:
    """The error is the caller's, and says when to come back; the waits between grow, and are spread."""
    bench = Bench(Host("a", Play(entering=down())), chance=chance)
    with pytest.raises(ProviderDown, match=r"^down$") as caught:
        await bench.ask()
    assert (bench.asked, bench.waits, caught.value.retry_after) == (["a3"], waits, 4.0)


@pytest.mark.parametrize("error", CLASSES)
async def test_each_error_has_its_number_of_attempts(error: type[ProviderError], autojump_clock: Clock) -> None:
    """What would fail again is not repeated; a host that lets everybody wait gets one more chance only."""
    bench = Bench(Host("a", failing(error)))
    with pytest.raises(error, match=r"^no$"):
        await bench.ask()
    wanted = 2 if error is ProviderTimeout else 3 if issubclass(error, (ProviderDown, RateLimited)) else 1
    assert bench.asked == [f"a{wanted}"]
    assert len(bench.waits) == wanted - 1


async def test_retry_after_is_honoured(autojump_clock: Clock) -> None:
    """Never sooner than asked, and not everybody at the same moment."""
    bench = Bench(Host("a", failing(RateLimited, retry_after=7), OK), chance=0.5)
    await bench.ask()
    assert bench.waits == [8.0]


async def test_a_long_wait_is_told(autojump_clock: Clock) -> None:
    """To whoever looks at the empty line: for how long, for whom and why; a short one is not worth a word."""
    bench = Bench(Host("a", failing(RateLimited, retry_after=7), OK))
    assert await bench.ask() == [Waits(7.0, "a/one", "no"), *ANSWER]
    assert await Bench(Host("a", Play(entering=down()), OK)).ask() == list(ANSWER)


async def test_retry_after_binds_everybody(autojump_clock: Clock) -> None:
    """Another session's first request waits too."""
    bench = Bench(Host("a", failing(RateLimited, retry_after=7), OK))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.ask)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2)
        await bench.ask()
    assert sorted(bench.waits) == pytest.approx([5, 7], abs=0.1)
    assert [at - bench.hosts["a"].at[0] for at in bench.hosts["a"].at] == pytest.approx([0, 7, 7], abs=0.1)


async def test_what_cannot_be_asked_is_not_waited_for(autojump_clock: Clock) -> None:
    """A budget that refuses the request refuses it now, not when the host is ready again."""
    bench = Bench(Host("a", failing(RateLimited, retry_after=7), OK))
    with trio.move_on_after(1):
        await bench.ask()

    def refuse(_model: str, _limits: ModelLimits) -> Prompt:
        raise BudgetExceeded("no")

    bench.waits.clear()
    with pytest.raises(BudgetExceeded):
        await bench.router.request("a/one").drain(refuse, lambda _: None)
    assert bench.waits == []


async def test_a_host_that_asks_for_too_long_is_left_alone(autojump_clock: Clock) -> None:
    """Over a minute: the error with its time goes to the user at once. Who comes again may ask again."""
    bench = Bench(Host("a", failing(RateLimited, retry_after=61), OK))
    with pytest.raises(RateLimited) as caught:
        await bench.ask()
    assert (caught.value.retry_after, bench.waits, bench.asked) == (61, [], ["a1"])
    assert await bench.ask() == list(ANSWER)


async def test_what_others_have_seen_failing_is_asked_once_at_least(autojump_clock: Clock) -> None:
    """The key may have been mended meanwhile: a cooldown steers, it does not forbid."""
    bench = Bench(Host("a", failing(AuthFailed), OK))
    with pytest.raises(AuthFailed):
        await bench.ask()
    assert await bench.ask() == list(ANSWER)
    assert bench.waits == []


async def test_a_connection_that_was_closing_is_nobodys_fault(autojump_clock: Clock) -> None:
    """It is asked again at once, with the same key; the attempt counts."""
    bench = Bench(Host("a", Play(entering=down(retry_after=0)), OK, keys=2), Host("b"))
    assert await bench.ask("a/x,b/y") == list(ANSWER)
    assert bench.hosts["a"].asked == [("x", 0), ("x", 0)]
    assert (bench.waits, bench.router.circuits()) == ([], ())
    bench = Bench(Host("a", Play(entering=down(retry_after=0))))
    with pytest.raises(ProviderDown) as caught:
        await bench.ask()
    assert (bench.asked, caught.value.retry_after) == (["a3"], None)


# --- several candidates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", CLASSES)
async def test_the_next_candidate_is_asked_at_once(error: type[ProviderError], autojump_clock: Clock) -> None:
    """Whatever went wrong; and the one after the first is asked for as long as the first is left alone."""
    bench = Bench(Host("a", failing(error)), Host("b"))
    assert await bench.ask("a/x,b/y") == list(ANSWER)
    assert (bench.asked, bench.waits) == (["a1", "b1"], [])


async def test_a_candidate_that_is_left_alone_comes_last(autojump_clock: Clock) -> None:
    """Other sessions go straight to the next; after the cooldown one request tries, and closes the circuit."""
    bench = Bench(Host("a", Play(entering=down()), OK), Host("b"))
    await bench.ask("a/x,b/y")
    await bench.ask("a/z,b/y")
    assert bench.asked == ["a1", "b2"]
    await trio.sleep(1.1)
    await bench.ask("a/x,b/y")
    assert bench.asked == ["a2", "b2"]
    assert bench.router.circuits() == ()


async def test_one_probe_at_a_time(autojump_clock: Clock) -> None:
    """While one request tries a host that was down, the others do not; until its first words come."""
    gate = trio.Event()
    bench = Bench(Host("a", Play(entering=down()), Play(gate=gate), OK), Host("b"))
    await bench.ask("a/x,b/y")
    await trio.sleep(1.1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.ask, "a/x,b/y")
        await trio.testing.wait_all_tasks_blocked()
        await bench.ask("a/x,b/y")
        assert bench.asked == ["a2", "b2"]
        await bench.ask("a/x")  # nothing else is there: no deadlock
        gate.set()
    await bench.ask("a/x,b/y")
    assert bench.asked == ["a4", "b2"]


async def test_a_cancelled_probe_is_given_back(autojump_clock: Clock) -> None:
    bench = Bench(Host("a", Play(entering=down()), Play(gate=trio.Event()), OK), Host("b"))
    await bench.ask("a/x,b/y")
    await trio.sleep(1.1)
    with trio.move_on_after(1):
        await bench.ask("a/x,b/y")
    assert bench.hosts["a"].open == 0 and bench.router.balance.busy.total() == 0
    await bench.ask("a/x,b/y")
    assert bench.asked == ["a3", "b1"]


async def test_keys_before_the_next_candidate(autojump_clock: Clock) -> None:
    """A rate limit is a key's, a refused key is one key's."""
    bench = Bench(Host("a", failing(RateLimited), failing(AuthFailed), OK, keys=3), Host("b"))
    assert await bench.ask("a/x,b/y") == list(ANSWER)
    assert (bench.hosts["a"].asked, bench.asked) == ([("x", 0), ("x", 1), ("x", 2)], ["a3", "b0"])


async def test_what_the_vendor_refuses_goes_to_another_vendor(autojump_clock: Clock) -> None:
    bench = Bench(Host("a", failing(Refused)), Host("b"))
    await bench.ask("a/x,a/y,b/y")
    assert bench.asked == ["a1", "b1"]


async def test_a_refusal_without_a_word_is_one(autojump_clock: Clock) -> None:
    """Some vendors end their reply like that; what was said before it is an answer."""
    nothing = Play(Spent(Usage(input=3)), Stop("refused"))
    bench = Bench(Host("a", nothing), Host("b"))
    assert (await bench.ask("a/x,b/y"))[-3:] == list(ANSWER)
    with pytest.raises(Refused, match="a/x refused to answer this"):
        await bench.ask("a/x")
    assert (bench.asked, bench.router.circuits()) == (["a2", "b1"], ())
    words_first = Bench(Host("a", Play(*words("No."), Stop("refused"))), Host("b"))
    assert await words_first.ask("a/x,b/y") == [*words("No."), Stop("refused")]


async def test_a_wrong_request_goes_to_another_model(autojump_clock: Clock) -> None:
    """With whatever key, it would be as wrong."""
    bench = Bench(Host("a", failing(BadRequest), OK, keys=2))
    await bench.ask("a/x,a/y")
    assert [model for model, _ in bench.hosts["a"].asked] == ["x", "y"]


async def test_a_prompt_that_is_too_long_goes_to_a_larger_model(autojump_clock: Clock) -> None:
    bench = Bench(Host("a", failing(ContextTooLong), context=10), Host("b", context=10), Host("c", context=11))
    await bench.ask("a/x,b/y,c/z")
    assert (bench.asked, bench.router.circuits()) == (["a1", "b0", "c1"], ())


async def test_a_prompt_that_is_too_long_for_all(autojump_clock: Clock) -> None:
    """That is the error, whatever else went wrong: with less to send the same request may be asked again."""
    bench = Bench(Host("a", failing(ContextTooLong), OK, context=10), Host("b", Play(entering=down()), context=11))
    request = bench.router.request("a/x,b/y")
    with pytest.raises(ContextTooLong, match=r"none of 2 models could answer. a/x: no \| b/y: down"):
        await request.drain(build, lambda _: None)
    await request.drain(build, lambda _: None)
    assert bench.asked == ["a2", "b3"]


@pytest.mark.parametrize("error", [ContextTooLong("own"), BudgetExceeded("own")])
async def test_what_cannot_be_asked_is_skipped(error: AgentError, autojump_clock: Clock) -> None:
    """No attempt is made; the error is raised if nobody else answers either."""
    bench = Bench(Host("a"), Host("b"))

    def fitting(model: str, _limits: ModelLimits) -> Prompt:
        if model == "a/x":
            raise error
        return PROMPT

    request = bench.router.request("a/x,b/y")
    await request.drain(fitting, lambda _: None)
    assert (bench.asked, request.model) == (["a0", "b1"], "b/y")
    with pytest.raises(type(error), match=r"^own$"):
        await bench.router.request("a/x").drain(fitting, lambda _: None)


async def test_other_errors_pass(autojump_clock: Clock) -> None:
    def wrong(_model: str, _limits: ModelLimits) -> Prompt:
        raise InvalidParams("wrong")

    with pytest.raises(InvalidParams):
        await Bench(Host("a"), Host("b")).router.request("a/x,b/y").drain(wrong, lambda _: None)


async def test_six_attempts_at_most(autojump_clock: Clock) -> None:
    """In turns, without a wait while one is ready; then one error that has all in it, and when to come back."""
    bench = Bench(*[Host(name, Play(entering=down())) for name in "abc"])
    with pytest.raises(ProviderDown, match=r"none of 3 models could answer. a/x: down \| b/y: down \| c/z: down") as caught:
        await bench.ask("a/x,b/y,c/z")
    assert (bench.asked, bench.waits) == (["a2", "b2", "c2"], [0.25])
    assert caught.value.retry_after == 2.0


async def test_the_error_counts_all_that_were_named(autojump_clock: Clock) -> None:
    """Also those that were not asked: of a provider that refuses the content no other model is."""
    bench = Bench(Host("a", failing(Refused)), Host("b", failing(BadRequest)))
    with pytest.raises(ProviderError, match=r"none of 3 models could answer. a/x: no \| a/y: not asked any more \| b/z: no"):
        await bench.ask("a/x,a/y,b/z")
    assert bench.asked == ["a1", "b1"]


async def test_the_error_says_what_helps(autojump_clock: Clock) -> None:
    """That a server may be back tells more than that a key is wrong."""
    bench = Bench(Host("a", failing(ProviderOverloaded)), Host("b", failing(AuthFailed)))
    with pytest.raises(ProviderOverloaded, match=r"b/y: no") as caught:
        await bench.ask("a/x,b/y")
    assert caught.value.retryable and caught.value.retry_after


# --- after the first delta -------------------------------------------------------------------------------------------------------


async def test_after_the_first_delta_a_failure_is_the_callers(autojump_clock: Clock) -> None:
    """Who comes back for more gets the next candidate at once, and the attempts count on."""
    bench = Bench(Host("a", Play(*words("half "), after=down()), OK), Host("b", Play(*words("a half "), after=down())))
    request = bench.router.request("a/x,b/y")
    got: list[Delta] = []
    for model in ("a/x", "b/y"):
        with pytest.raises(ProviderDown):
            await request.drain(build, got.extend)
        assert (request.model, request.over) == (model, False)
    await request.drain(build, got.extend)
    assert got == [*words("half "), *words("a half "), *ANSWER]
    assert (bench.asked, bench.waits) == (["a2", "b1"], [])


async def test_seams_count_as_attempts(autojump_clock: Clock) -> None:
    """A host that cuts every reply gets three; then the request is over."""
    bench = Bench(Host("a", Play(*words("x"), after=down())))
    request = bench.router.request("a/x")
    for over in (False, False, True):
        with pytest.raises(ProviderDown):
            await request.drain(build, lambda _: None)
        assert request.over is over
    with pytest.raises(ProviderDown):
        await request.drain(build, lambda _: None)
    assert (bench.asked, bench.waits) == (["a3"], [])


async def test_what_is_repeated_of_the_text_is_taken_out(autojump_clock: Clock) -> None:
    """Also where nothing but a repetition had come before the next cut: nothing was given, so it is asked again."""
    again = Play(*words("One two "), after=down())
    bench = Bench(Host("a", again, Play(PartStart(0, "text"), PartText(0, "two thr"), PartText(0, "ee"), Stop("end"))))
    assert await bench.ask(prompt=going_on("One two ")) == [
        PartStart(0, "text"),
        PartText(0, "thr"),
        PartText(0, "ee"),
        Stop("end"),
    ]
    assert bench.asked == ["a2"]


async def test_usage_is_nothing_that_was_given(autojump_clock: Clock) -> None:
    """Vendors tell it before the first word."""
    bench = Bench(Host("a", Play(Spent(Usage(input=3)), after=down()), OK))
    assert (await bench.ask())[1:] == list(ANSWER)


async def test_no_exchange_is_open_outside_of_drain(autojump_clock: Clock) -> None:
    """Making a request asks for nothing; when drain has returned or failed, everything is closed."""
    bench = Bench(Host("a"))
    request = bench.router.request("")
    assert bench.asked == ["a0"]
    await request.drain(build, lambda _: None)
    assert bench.hosts["a"].open == 0


async def test_cancelling_the_wait(autojump_clock: Clock) -> None:
    """Between two attempts, too."""
    bench = Bench(Host("a", Play(entering=down())))
    with trio.move_on_after(0.1) as scope:
        await bench.ask()
    assert scope.cancelled_caught
    assert (bench.asked, bench.router.balance.busy.total()) == (["a1"], 0)


async def test_exception_of_the_sink_is_not_a_failed_attempt(autojump_clock: Clock) -> None:
    bench = Bench(Host("a"))

    def full(deltas: Sequence[Delta]) -> None:
        if deltas:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        await bench.router.request("").drain(build, full)
    assert (bench.asked, bench.router.circuits(), bench.router.balance.busy.total()) == (["a1"], (), 0)


# --- whatever happens ------------------------------------------------------------------------------------------------------------

PLAYS = st.one_of(
    st.just(OK),
    st.sampled_from([*CLASSES, ContextTooLong]).map(failing),
    st.sampled_from([0, 5, 90]).map(lambda seconds: failing(ProviderDown, retry_after=seconds)),
    st.sampled_from([RateLimited, ProviderTimeout, Refused]).map(lambda error: Play(*words("x"), after=error("cut"))),
)
SCRIPTS = st.lists(PLAYS, min_size=1, max_size=8)


@given(st.lists(SCRIPTS, min_size=1, max_size=3), st.integers(1, 3))
def test_whatever_happens(scripts: list[list[Play]], keys: int) -> None:
    """At most three attempts for an endpoint and six for a request, over all its seams; it ends; nothing stays taken."""

    async def main() -> None:
        bench = Bench(*[Host(name, *script, keys=keys) for name, script in zip("abc", scripts, strict=False)])
        request = bench.router.request(",".join(f"{name}/x" for name in bench.hosts))
        for stretch in range(8):
            assert stretch < 7, "a request must come to its end"
            try:
                await request.drain(build, lambda _: None)
                break
            except ProviderError:
                if request.over:
                    break
        attempts = [Counter(host.asked) for host in bench.hosts.values()]
        assert sum(count.total() for count in attempts) <= 6
        assert all(count <= 3 for counter in attempts for count in counter.values())
        assert all(wait <= 62 for wait in bench.waits)
        assert bench.router.balance.busy.total() == 0
        await trio.sleep(3700)
        router = bench.router
        assert all(
            router.health.ready(endpoint, trio.current_time())
            for candidate in router.route(",".join(f"{name}/x" for name in bench.hosts)).candidates
            for endpoint in router.endpoints(candidate)
        )

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
