"""One reply that is wanted, over all the attempts that it takes: the turn is not given up while any endpoint might save it.

Theory of operation: every attempt goes to the first endpoint that is ready, in the order of the route; nobody waits while one is.
If none is, the one that may be asked soonest is waited for: as long as its host asked (a minute at most), or, if this request has
failed there before, for a back-off. An endpoint that only others have seen failing is asked at once: its cooldown steers, it does
not forbid. An endpoint gets three attempts and a request six, seams included: after the first delta a failure is the caller's, who
keeps what was shown and comes back with a prompt that goes on from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog
from attrs import define, evolve, frozen

from agentd.core.balance import Balance
from agentd.core.health import LONGEST_WAIT, Attempt, Endpoint, Health, Target, action_for, at_once
from agentd.core.routes import Candidate, Route
from agentd.core.seam import Seam, kept_text
from agentd.ports import Build, Delta, ModelLimits, Prompt, Provider, Sleeper, Spent, Stop, Waits
from agentwire.errors import AgentError, BudgetExceeded, ContextTooLong, ProviderError, Refused

log = structlog.get_logger()

ATTEMPTS = 6
"""Of one request, over all endpoints; what one endpoint gets of them is in health.ACTIONS."""
_FIRST_WAIT = 0.25  # seconds, doubled with each failure; twice as long at most, by chance
_SPREAD = 2.0  # seconds at most, so that not all sessions come back to a host at the same moment

_TOLD = 1.0  # seconds of waiting from which on somebody wants to know why
_REFUSED = Stop("refused")
"""A reply that is nothing but this is no answer: another vendor may give one."""

Sink = Callable[[Sequence[Delta]], None]


class Knowledge(Protocol):
    """What all requests share: the router."""

    providers: Mapping[str, Provider]
    health: Health
    balance: Balance
    now: Callable[[], float]
    sleep: Sleeper
    chance: Callable[[], float]

    def order(self, route: Route, now: float) -> Sequence[Candidate]: ...

    def endpoints(self, candidate: Candidate) -> Sequence[Endpoint]: ...

    def asks(self, endpoint: Endpoint) -> None: ...

    def limits_of(self, candidate: Candidate) -> ModelLimits: ...


@frozen
class _Failure:
    """What was said by, or about, a candidate. `asked`: it came from there; else the prompt could not be made for it."""

    candidate: Candidate
    error: AgentError
    asked: bool = True


@define(eq=False)
class _Reply:
    """What one attempt gives, on its way to `sink`. `given`: some of it went there; `refused`: it was nothing but a refusal."""

    sink: Sink
    seam: Seam
    health: Health
    attempt: Attempt
    given: bool = False
    refused: bool = False

    def give(self, deltas: Sequence[Delta]) -> None:
        if self.seam.open:
            deltas = self.seam.feed(deltas)
        if not self.given and (first := next((delta for delta in deltas if not isinstance(delta, Spent)), None)):
            self.health.answered(self.attempt)
            self.health.end(self.attempt)
            self.given, self.refused = first != _REFUSED, first == _REFUSED
        if not self.refused:
            self.sink(deltas)


class Request:
    """A `ports.ModelRequest`. Holds nothing open outside of `drain`."""

    def __init__(self, router: Knowledge, route: Route) -> None:
        self._router, self._route = router, route
        self._candidate = route.candidates[0]
        self._order: Sequence[Candidate] = ()
        self._attempts: Counter[Endpoint] = Counter()
        self._allowed: dict[Endpoint, int] = {}
        self._spent: set[Target] = set()
        self._opened: Counter[Target] = Counter()  # failures of this request that opened a circuit
        self._patient: dict[Target, float] = {}  # until when it waits for that, unless something else is ready
        self._failures: dict[Candidate, _Failure] = {}
        self._unfit: set[Candidate] = set()  # for the prompt of this stretch
        self._stale: Endpoint | None = None  # asked in vain over a connection that was closing: asked again first

    @property
    def model(self) -> str:
        return str(self._candidate)

    @property
    def limits(self) -> ModelLimits:
        return self._router.limits_of(self._candidate)

    @property
    def over(self) -> bool:
        """See `ports.ModelRequest.over`."""
        return not self._usable(unfit=frozenset())

    async def drain(self, build: Build, sink: Sink) -> None:
        """See `ports.ModelRequest.drain`."""
        self._unfit.clear()
        if not self._order:
            self._order = self._router.order(self._route, self._router.now())
        prompts: dict[Candidate, Prompt] = {}
        waited = False
        while True:
            endpoint, pause = self._choose()
            candidate = endpoint.candidate
            if candidate not in prompts and not self._fits(candidate, build, prompts):
                waited = False
            elif pause > 0 and not waited:  # once: another may have come back meanwhile, or it is asked all the same
                log.info("model_request_waits", model=str(candidate), seconds=round(pause, 3))
                if pause >= _TOLD:
                    sink([Waits(round(pause, 1), str(candidate), self._reason(endpoint))])
                await self._router.sleep(pause)
                waited = True
            else:
                self._candidate, waited = candidate, False
                if await self._attempt(endpoint, prompts[candidate], sink):
                    return

    def _fits(self, candidate: Candidate, build: Build, prompts: dict[Candidate, Prompt]) -> bool:
        """Whether it can be asked this, which is known before anybody waits for it; then its prompt is among `prompts`."""
        try:
            prompts[candidate] = build(str(candidate), self._router.limits_of(candidate))
        except (ContextTooLong, BudgetExceeded) as error:
            self._unfit.add(candidate)
            self._remember(_Failure(candidate, error, asked=False))
            return False
        return True

    # --- who is asked ------------------------------------------------------------------------------------------------------

    def _choose(self) -> tuple[Endpoint, float]:
        """Whom to ask, and the seconds to wait before. Raises what there is to say when there is nobody."""
        now, health = self._router.now(), self._router.health
        usable = self._usable(self._unfit)
        if not usable:
            raise self._conclusion(now)
        if self._stale in usable:
            return self._stale, 0.0
        for endpoint in usable:
            if health.ready(endpoint, now):
                return endpoint, 0.0
        waits = {endpoint: self._wait(endpoint, now) for endpoint in usable}
        soonest = min(usable, key=lambda endpoint: (waits[endpoint], health.cooldown(endpoint, now)))
        return soonest, waits[soonest]

    def _reason(self, endpoint: Endpoint) -> str:
        """Why it is not asked at once."""
        targets = {str(target) for target in endpoint.targets}
        known = [circuit.reason for circuit in self._router.health.circuits(self._router.now()) if circuit.target in targets]
        failure = self._failures.get(endpoint.candidate)
        return known[-1] if known else failure.error.message if failure else ""

    def _usable(self, unfit: set[Candidate] | frozenset[Candidate]) -> list[Endpoint]:
        order = self._order or self._route.candidates
        every = [endpoint for candidate in order if candidate not in unfit for endpoint in self._router.endpoints(candidate)]
        if not (self._attempts or self._spent):  # the first time, as nearly always
            return every
        if self._attempts.total() >= ATTEMPTS:
            return []
        return [endpoint for endpoint in every if self._may_ask(endpoint)]

    def _may_ask(self, endpoint: Endpoint) -> bool:
        if self._attempts[endpoint] >= self._allowed.get(endpoint, ATTEMPTS):
            return False
        return not self._spent or self._spent.isdisjoint(endpoint.targets)

    def _wait(self, endpoint: Endpoint, now: float) -> float:
        """Seconds that are polite."""
        bound = self._router.health.bound(endpoint, now)
        if bound > 0:
            return bound + self._router.chance() * min(bound, _SPREAD)
        return max([0.0, *[self._patient[target] - now for target in endpoint.targets if target in self._patient]])

    # --- an attempt --------------------------------------------------------------------------------------------------------

    async def _attempt(self, endpoint: Endpoint, prompt: Prompt, sink: Sink) -> bool:
        """True if the reply was whole; False if it failed before it gave anything. What fails later is raised.

        Resource handling: the exchange, the probe and the place among the open streams are given back however it ends.
        """
        router, candidate = self._router, endpoint.candidate
        provider, asked = router.providers[candidate.provider], evolve(prompt, model=candidate.model, key=endpoint.key)
        seam = Seam(kept_text(prompt), prefill=router.limits_of(candidate).prefill)
        self._attempts[endpoint] += 1
        router.asks(endpoint)
        attempt = router.health.begin(endpoint, router.now())
        router.balance.busy[candidate] += 1
        reply = _Reply(sink, seam, router.health, attempt)
        try:
            async with provider.stream(asked) as stream:
                await stream.drain(reply.give)
            router.health.completed(attempt)
            if reply.refused:
                raise Refused(f"{candidate} refused to answer this")
            return True
        except ProviderError as error:
            self._learn(endpoint, error, router.health.failed(attempt, error, router.now()), given=reply.given)
            if reply.given and self.over:
                raise self._conclusion(router.now()) from error
            if reply.given:
                raise
            return False
        finally:
            router.health.end(attempt)
            router.balance.busy[candidate] -= 1

    def _learn(self, endpoint: Endpoint, error: ProviderError, opened: Target | None, *, given: bool) -> None:
        """What this request does differently from now on."""
        action = action_for(error)
        log.info(
            "model_attempt_failed", endpoint=str(endpoint.target("endpoint")), given=given, code=error.code, reason=error.message
        )
        self._remember(_Failure(endpoint.candidate, error))
        self._stale = endpoint if at_once(error) else None
        self._allowed[endpoint] = min(self._allowed.get(endpoint, action.attempts), action.attempts)
        if action.spent is not None:
            self._spent.add(endpoint.target(action.spent))
        if (error.retry_after or 0.0) > LONGEST_WAIT:
            self._spent.add(opened or endpoint.target("endpoint"))
        if opened is not None and not given:  # a host that had begun to answer is there: it may go on at once
            self._opened[opened] += 1
            pause = _FIRST_WAIT * 2 ** (self._opened[opened] - 1) * (1 + self._router.chance())
            self._patient[opened] = self._router.now() + pause
        if isinstance(error, ContextTooLong):
            self._outgrow(endpoint.candidate)

    def _remember(self, failure: _Failure) -> None:
        """The last that was said of its candidate; the newest is last."""
        self._failures.pop(failure.candidate, None)
        self._failures[failure.candidate] = failure

    def _outgrow(self, candidate: Candidate) -> None:
        """The prompt is too long for `candidate`, so for all that do not take more."""
        context = self._router.limits_of(candidate).context
        self._unfit |= {other for other in self._route.candidates if self._router.limits_of(other).context <= context}

    # --- the end -----------------------------------------------------------------------------------------------------------

    def _conclusion(self, now: float) -> AgentError:
        """The one error that says what to do: less to send, if that would help; when to come back, if that would; else the last."""
        failures = list(self._failures.values())
        main = failures[-1]
        for failure in failures:
            if failure.error.retryable and not main.error.retryable:
                main = failure
        for failure in failures:
            if failure.asked and isinstance(failure.error, ContextTooLong):
                main = failure
        error = main.error
        if len(failures) == 1 and (error.retry_after or not error.retryable):
            return error
        said = error.message if len(failures) == 1 else _all_said(self._order, self._failures)
        again = self._comes_back(now) if error.retryable else None
        return type(error)(said, retry_after=again, **error.details)

    def _comes_back(self, now: float) -> float | None:
        """Seconds until one of the endpoints that were asked is expected to work."""
        waits = [self._router.health.cooldown(endpoint, now) for endpoint in self._attempts]
        return round(min(waits), 1) or None if waits else None


def _all_said(order: Sequence[Candidate], failures: Mapping[Candidate, _Failure]) -> str:
    """Of each model that was named; some are not worth asking after what the others said."""
    said = " | ".join(f"{one}: {failures[one].error.message if one in failures else 'not asked any more'}" for one in order)
    return f"none of {len(order)} models could answer. {said}"
