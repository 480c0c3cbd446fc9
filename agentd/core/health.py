"""What is left alone for a while because it failed, and for how long. Pure: the time is passed in.

Theory of operation: a failure opens the circuit of what it says something about, its *target*: a provider that is down, a model
that is overloaded, a key that is refused, a model's rate limit with one key. An endpoint (a model asked with a key) is ready while
no circuit of its four targets is open. When the cooldown is over the circuit is half-open: one attempt may try (the probe), for
everybody else it is still open. An answer's first words close it; how often it failed is forgotten when a reply was whole, so that
a host that cuts every reply is not asked first each time.

Circuits only steer which endpoint is asked first: what is left when nothing is ready is the router's to say. Only a host's own
Retry-After binds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import define, evolve, field, frozen

from agentd.core.routes import Candidate
from agentwire.errors import (
    AuthFailed,
    BadRequest,
    ContextTooLong,
    NotFound,
    OutOfCredit,
    ProviderDown,
    ProviderError,
    ProviderOverloaded,
    ProviderTimeout,
    RateLimited,
    Refused,
)
from agentwire.types import CircuitStatus

LONGEST_WAIT = 60.0
"""Seconds. A host that wants to be left alone for longer is not waited for; the user learns when to come back."""
_LONGEST_COOLDOWN = 3600.0
_FORGOTTEN = 600.0
"""Seconds after a cooldown in which nobody asked: what it was about is not in use any more."""
_REASON = 200  # characters of an error in a status line

Scope = Literal["provider", "model", "key", "endpoint"]


@frozen(kw_only=True)
class Action:
    """What follows from an error. `scope`: of the circuit it opens, for `cooldown` seconds, times `growth` for each failure in a
    row, `longest` at most. `attempts`: how many one endpoint gets from one request that fails like this. `spent`: what that request
    does not ask again at all."""

    scope: Scope | None = None
    cooldown: float = 1.0
    growth: float = 2.0
    longest: float = 60.0
    attempts: int = 3
    spent: Scope | None = None


ACTIONS: Mapping[type[ProviderError], Action] = {
    RateLimited: Action(scope="endpoint"),
    ProviderOverloaded: Action(scope="model"),
    ProviderTimeout: Action(scope="provider", attempts=2),
    ProviderDown: Action(scope="provider"),
    AuthFailed: Action(scope="key", cooldown=300, longest=300, spent="key"),
    OutOfCredit: Action(scope="key", cooldown=600, longest=600, spent="key"),
    ContextTooLong: Action(),  # the same prompt goes to larger models only
    Refused: Action(spent="provider"),
    BadRequest: Action(spent="model"),
    ProviderError: Action(spent="provider"),
}
"""By an error's nearest class."""
_NO_SUCH_MODEL = Action(scope="model", cooldown=60, growth=1, spent="model")


def action_for(error: ProviderError) -> Action:
    """What is done about it. A provider whose models live and die apart says so in the details."""
    if isinstance(error, BadRequest) and error.details.get("status") == 404:
        return _NO_SUCH_MODEL
    action = next(ACTIONS[cls] for cls in type(error).__mro__ if cls in ACTIONS)
    if error.details.get("scope") == "model" and action.scope == "provider":
        return evolve(action, scope="model")
    return action


@frozen
class Target:
    """What a circuit is about; None: any. As text it never has more of a key than its number, from 1."""

    provider: str
    model: str | None = None
    key: int | None = None

    def __str__(self) -> str:
        model = "" if self.model is None else f"/{self.model}"
        return f"{self.provider}{model}" + ("" if self.key is None else f"#{self.key + 1}")


@frozen
class Endpoint:
    """A model, asked with key number `key` of its provider."""

    candidate: Candidate
    key: int

    def target(self, scope: Scope) -> Target:
        provider, model = self.candidate.provider, self.candidate.model
        match scope:
            case "provider":
                return Target(provider)
            case "model":
                return Target(provider, model)
            case "key":
                return Target(provider, None, self.key)
            case "endpoint":
                return Target(provider, model, self.key)

    @property
    def targets(self) -> tuple[Target, ...]:
        return (self.target("provider"), self.target("model"), self.target("key"), self.target("endpoint"))


@define(eq=False)
class _Circuit:
    """`opened`: the newest attempt when it last opened. `closed`: something answered since. `bound`: until when its host asked for
    quiet. `code` and `reason` of the last error."""

    opened: int = 0
    closed: bool = False
    failures: int = 0
    until: float = 0.0
    bound: float = 0.0
    probing: bool = False
    code: str = ""
    reason: str = ""


@define(eq=False)
class Attempt:
    """One attempt under way, from `Health.begin` to `Health.end`. Numbers only grow."""

    endpoint: Endpoint
    number: int
    probes: list[_Circuit] = field(factory=list)


class Health:
    """The circuits of all endpoints, shared by all sessions. Times are seconds on any clock that only goes forward."""

    def __init__(self) -> None:
        self._circuits: dict[Target, _Circuit] = {}
        self._attempts = 0

    # --- before an attempt -------------------------------------------------------------------------------------------------

    def ready(self, endpoint: Endpoint, now: float) -> bool:
        """Nothing speaks against asking it; half-open: nobody else is just trying."""
        return all(circuit.until <= now and not circuit.probing for circuit in self._open(endpoint))

    def bound(self, endpoint: Endpoint, now: float) -> float:
        """Seconds for which its host asked to be left alone."""
        return max([0.0, *[circuit.bound - now for circuit in self._open(endpoint)]])

    def cooldown(self, endpoint: Endpoint, now: float) -> float:
        """Seconds until it is half-open."""
        return max([0.0, *[circuit.until - now for circuit in self._open(endpoint)]])

    def begin(self, endpoint: Endpoint, now: float) -> Attempt:
        """An attempt begins. It is the probe of what is half-open."""
        self._attempts += 1
        attempt = Attempt(endpoint, self._attempts)
        for circuit in self._open(endpoint):
            if circuit.until <= now and not circuit.probing:
                circuit.probing = True
                attempt.probes.append(circuit)
        return attempt

    # --- what came of it ---------------------------------------------------------------------------------------------------

    def answered(self, attempt: Attempt) -> None:
        """Its first words came: what opened before it began is closed."""
        for circuit in self._open(attempt.endpoint):
            if circuit.opened < attempt.number:
                circuit.closed = True

    def completed(self, attempt: Attempt) -> None:
        """The reply was whole: past failures are forgotten."""
        if not self._circuits:
            return
        for target in attempt.endpoint.targets:
            if (circuit := self._circuits.get(target)) and circuit.opened < attempt.number:
                del self._circuits[target]

    def failed(self, attempt: Attempt, error: ProviderError, now: float) -> Target | None:
        """Opens the circuit of what the error is about, which is returned; None if it says nothing about anybody's health.

        Attempts that were under way together fail together: only one that began after the circuit opened makes the cooldown longer.
        """
        action = action_for(error)
        if action.scope is None or at_once(error):
            return None
        self._forget(now)
        target = attempt.endpoint.target(action.scope)
        circuit = self._circuits.setdefault(target, _Circuit())
        if circuit.opened < attempt.number:
            circuit.failures += 1
        cooldown = min(action.longest, action.cooldown * action.growth ** min(circuit.failures - 1, 16))
        asked = min(error.retry_after or 0.0, _LONGEST_COOLDOWN)
        circuit.until = max(circuit.until, now + (asked or cooldown))
        if asked <= LONGEST_WAIT:
            circuit.bound = max(circuit.bound, now + asked)
        circuit.opened, circuit.closed = self._attempts, False
        circuit.code = NotFound.code if action is _NO_SUCH_MODEL else error.code
        circuit.reason = error.message[:_REASON]
        return target

    def renewed(self, provider: str) -> None:
        """It is another one now: other keys, another host."""
        self._circuits = {target: circuit for target, circuit in self._circuits.items() if target.provider != provider}

    def end(self, attempt: Attempt) -> None:
        """It is over, however it ended: another may be the probe. May be called more than once."""
        for circuit in attempt.probes:
            circuit.probing = False
        attempt.probes.clear()

    # --- for people --------------------------------------------------------------------------------------------------------

    def circuits(self, now: float) -> tuple[CircuitStatus, ...]:
        """What is not as it should be."""
        self._forget(now)
        return tuple(
            CircuitStatus(
                target=str(target),
                state="open" if circuit.until > now else "half-open",
                seconds=round(max(0.0, circuit.until - now), 3),
                failures=circuit.failures,
                code=circuit.code,
                reason=circuit.reason,
            )
            for target, circuit in self._circuits.items()
            if not circuit.closed
        )

    def _open(self, endpoint: Endpoint) -> list[_Circuit]:
        if not self._circuits:
            return []
        found = [self._circuits.get(target) for target in endpoint.targets]
        return [circuit for circuit in found if circuit is not None and not circuit.closed]

    def _forget(self, now: float) -> None:
        self._circuits = {
            target: circuit for target, circuit in self._circuits.items() if circuit.probing or circuit.until + _FORGOTTEN > now
        }


def at_once(error: ProviderError) -> bool:
    """The connection was closing when it was used again: an attempt like any other, but nobody's fault."""
    return isinstance(error, ProviderDown) and error.retry_after == 0
