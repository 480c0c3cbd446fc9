"""Circuits: what each error says about whom, for how long, and how it is forgotten. The time is a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.health import ACTIONS, Attempt, Endpoint, Health
from agentd.core.routes import Candidate
from agentwire.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    OutOfCredit,
    ProviderDown,
    ProviderError,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
    Refused,
)

X1, X2 = Endpoint(Candidate("a", "x"), 0), Endpoint(Candidate("a", "x"), 1)
Y1, Y2 = Endpoint(Candidate("a", "y"), 0), Endpoint(Candidate("a", "y"), 1)
B1 = Endpoint(Candidate("b", "x"), 0)
ALL = (X1, X2, Y1, Y2, B1)


def fail(health: Health, error: ProviderError, now: float, endpoint: Endpoint = X1) -> str:
    """An attempt that fails at once; the circuit that it opened."""
    attempt = health.begin(endpoint, now)
    target = health.failed(attempt, error, now)
    health.end(attempt)
    return str(target or "")


def answer(health: Health, now: float, endpoint: Endpoint = X1) -> None:
    """An attempt with a whole reply."""
    attempt = health.begin(endpoint, now)
    health.answered(attempt)
    health.completed(attempt)
    health.end(attempt)


def ready(health: Health, now: float) -> list[str]:
    return [str(endpoint.target("endpoint")) for endpoint in ALL if health.ready(endpoint, now)]


@pytest.mark.parametrize(
    ("error", "target", "left", "seconds"),
    [
        (RateLimited("no"), "a/x#1", ["a/x#2", "a/y#1", "a/y#2", "b/x#1"], 1),
        (RateLimited("no", retry_after=42), "a/x#1", ["a/x#2", "a/y#1", "a/y#2", "b/x#1"], 42),
        (ProviderOverloaded("no"), "a/x", ["a/y#1", "a/y#2", "b/x#1"], 1),
        (ProviderDown("no"), "a", ["b/x#1"], 1),
        (ProviderDown("no", scope="model"), "a/x", ["a/y#1", "a/y#2", "b/x#1"], 1),
        (ProviderTimeout("no"), "a", ["b/x#1"], 1),
        (AuthFailed("no"), "a#1", ["a/x#2", "a/y#2", "b/x#1"], 300),
        (OutOfCredit("no"), "a#1", ["a/x#2", "a/y#2", "b/x#1"], 600),
        (BadRequest("no", status=404), "a/x", ["a/y#1", "a/y#2", "b/x#1"], 60),
    ],
)
def test_who_is_left_alone_for_how_long(error: ProviderError, target: str, left: list[str], seconds: float) -> None:
    """Just those that the error says something about; then half-open."""
    health = Health()
    assert fail(health, error, 1000) == target
    assert ready(health, 1000) == ready(health, 999 + seconds) == left
    assert len(ready(health, 1000 + seconds)) == len(ALL)
    (status,) = health.circuits(1000)
    assert (status.target, status.state, status.seconds) == (target, "open", seconds)
    assert status.code == ("not_found" if error.details.get("status") == 404 else error.code)
    (status,) = health.circuits(1000 + seconds)
    assert (status.state, status.seconds) == ("half-open", 0)


@pytest.mark.parametrize(
    "error", [ContextTooLong("no"), Refused("no"), BadRequest("no"), ProviderError("no"), ProviderDown("no", retry_after=0)]
)
def test_what_is_nobodys_fault(error: ProviderError) -> None:
    """The request's own, or that of a connection that was just closing."""
    health = Health()
    assert fail(health, error, 0) == ""
    assert len(ready(health, 0)) == len(ALL) and health.circuits(0) == ()


def test_cooldowns_grow_and_end() -> None:
    """Doubled with each failure in a row, up to a minute; a whole reply makes them short again."""
    health, now, seen = Health(), 0.0, []
    for _ in range(8):
        fail(health, ProviderDown("no"), now)
        seen.append(health.cooldown(X1, now))
        now += health.cooldown(X1, now)
    assert seen == [1, 2, 4, 8, 16, 32, 60, 60]
    answer(health, now)
    assert health.circuits(now) == ()
    fail(health, ProviderDown("no"), now)
    assert health.cooldown(X1, now) == 1


def test_a_host_that_cuts_every_reply_is_left_alone_for_longer_and_longer() -> None:
    """First words close its circuit; what it did before is remembered until a reply was whole."""
    health, now = Health(), 0.0
    for seconds in (1, 2, 4):
        attempt = health.begin(X1, now)
        health.answered(attempt)
        assert health.circuits(now) == () and len(ready(health, now)) == len(ALL)
        health.failed(attempt, ProviderDown("cut"), now)
        health.end(attempt)
        assert health.cooldown(X1, now) == seconds
        now += seconds


def test_those_that_were_under_way_together_fail_together() -> None:
    """Fifty streams that break at the same time are one failure."""
    health = Health()
    attempts = [health.begin(X1, 0) for _ in range(50)]
    for attempt in attempts:
        health.failed(attempt, ProviderDown("no"), 1)
        health.end(attempt)
    assert health.cooldown(X1, 1) == 1
    assert health.circuits(1)[0].failures == 1


def test_an_answer_to_an_older_request_closes_nothing() -> None:
    """It says nothing about what happened since."""
    health = Health()
    older = health.begin(X1, 0)
    fail(health, RateLimited("no", retry_after=30), 0)
    health.answered(older)
    health.completed(older)
    assert not health.ready(X1, 1)


def test_only_what_a_host_asked_for_binds() -> None:
    """Up to a minute; what is longer is not waited for, but steers for as long as an hour."""
    health = Health()
    fail(health, ProviderDown("no"), 0)
    assert (health.bound(X1, 0), health.cooldown(X1, 0)) == (0, 1)
    fail(health, RateLimited("no", retry_after=60), 0)
    assert health.bound(X1, 10) == 50
    fail(health, RateLimited("no", retry_after=61), 0, Y1)
    assert (health.bound(Y1, 0), health.cooldown(Y1, 0)) == (0, 61)
    fail(health, RateLimited("no", retry_after=1e9), 0, B1)
    assert health.cooldown(B1, 0) == 3600


def test_one_probe() -> None:
    """Half-open for one; whoever asks nevertheless is no probe, and gives back none."""
    health = Health()
    fail(health, ProviderDown("no"), 0)
    probe = health.begin(X1, 2)
    assert not health.ready(X1, 2) and not health.ready(Y1, 2)
    other = health.begin(X1, 2)
    health.end(other)
    assert not health.ready(X1, 2)
    health.end(probe)
    health.end(probe)
    assert health.ready(X1, 2)


def test_an_early_attempt_is_no_probe() -> None:
    """Nothing else was there, so it was asked before its time; its success counts."""
    health = Health()
    fail(health, AuthFailed("no"), 0)
    attempt = health.begin(X1, 1)
    assert not attempt.probes
    health.answered(attempt)
    assert health.ready(X1, 1)


def test_what_nobody_asks_for_is_forgotten() -> None:
    """Ten minutes after its cooldown; a status lists what matters now."""
    health = Health()
    fail(health, BadRequest("no", status=404), 0)
    assert len(health.circuits(659)) == 1
    assert health.circuits(661) == ()


def test_reasons_are_short() -> None:
    """A status is for a terminal."""
    health = Health()
    fail(health, ProviderDown("x" * 5000), 0)
    assert len(health.circuits(0)[0].reason) == 200


def test_every_error_has_its_action() -> None:
    """A new class of errors cannot be forgotten. One that an adapter keeps to itself is what it derives from."""
    classes: set[type[ProviderError]] = {ProviderError, *ProviderError.__subclasses__(), *ProviderDown.__subclasses__()}
    assert {cls for cls in classes if not cls.__name__.startswith("_")} == set(ACTIONS)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "answered", "completed", "failed", "end"]),
        st.integers(0, 4),
        st.sampled_from([*ACTIONS]),
        st.sampled_from([None, 0.0, 3.0, 100.0]),
        st.floats(0, 100),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_every_probe_is_given_back(steps: list[tuple[str, int, type[ProviderError], float | None, float]]) -> None:
    """Once all attempts are over and the longest cooldown has passed everything may be asked again."""
    health, now, attempts = Health(), 0.0, list[Attempt]()
    for kind, number, error, retry_after, passed in steps:
        now += passed
        if kind == "begin" or not attempts:
            attempts.append(health.begin(ALL[number], now))
            continue
        attempt = attempts[number % len(attempts)]
        if kind == "failed":
            health.failed(attempt, error("no", retry_after=retry_after), now)
        else:
            getattr(health, kind)(attempt)
        assert all(health.bound(endpoint, now) <= 60 for endpoint in ALL)
    for attempt in attempts:
        health.end(attempt)
    assert len(ready(health, now + 3601)) == len(ALL)


def test_a_provider_that_is_another_one_now_begins_anew() -> None:
    """What failed had another key, or was another host; others' circuits stay."""
    health = Health()
    fail(health, AuthFailed("no"), 1000)
    fail(health, ProviderDown("no"), 1000, B1)
    health.renewed("a")
    assert ready(health, 1000) == ["a/x#1", "a/x#2", "a/y#1", "a/y#2"]
    assert [circuit.target for circuit in health.circuits(1000)] == ["b"]
