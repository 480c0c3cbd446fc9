"""What is kept of costs while the daemon runs: what each user has used today, what is reserved, and how models count tokens.

Theory of operation: a request is reserved at its worst when it is built, in the same synchronous stretch in which the budgets are
looked at; the reservation goes when its reply's event is applied, which counts what it really cost, or when its turn ends without
one. A session has one request on its way at most, so its name is the reservation's, and none is forgotten. What was used today is
read from the store before the first turn, and from then on followed from the events.

A day is one of UTC, by the time of the event that ends the request.
"""

from __future__ import annotations

import structlog
from attrs import define, evolve, field, frozen

from agentd.core.budget import Budgets, Used, allowed_output, states, worst
from agentd.core.calibration import Calibration
from agentd.core.costs import Asked
from agentd.core.settings import Current
from agentd.core.state import SessionState
from agentd.ports import Clock, ModelLimits, Models, Prompt, Store, UsageFilter, day_of, size_of
from agentwire import events as ev
from agentwire.errors import AgentError, InternalError
from agentwire.types import BudgetState, Usage

log = structlog.get_logger()

_USERS = 100_000
_NO_BUDGETS = Budgets()


@frozen
class _Reserved:
    user: str
    used: Used


@define
class _Today:
    day: int = 0
    used: dict[str, Used] = field(factory=dict)  # by user


class Accounts:
    """One for all sessions."""

    def __init__(self, store: Store, models: Models, clock: Clock, settings: Current) -> None:
        self._store, self._models, self._clock, self._settings = store, models, clock, settings
        self._calibration = Calibration()
        self._limits: dict[str, tuple[ModelLimits, ModelLimits]] = {}  # by model: as given, and as learnt
        self._today = _Today()
        self._reserved: dict[str, _Reserved] = {}  # by session
        self._unread = ""

    async def load(self) -> None:
        """Read what was used today. Before the first event that this boot writes of a reply."""
        self._today.day = day_of(self._clock.now())
        try:
            rows = await self._store.usage("user", UsageFilter(since=self._today.day), limit=_USERS)
        except InternalError as error:  # a damaged page: without budgets nobody needs it, and the next start repairs it
            log.error("usage_unreadable", reason=str(error))
            self._unread = str(error)
            return
        self._today.used = {row.key: Used.of(row.usage, row.cost) for row in rows}

    def apply(self, event: ev.Event) -> None:
        """Follow a committed event."""
        match event.body:
            case ev.AssistantMessage(usage=usage, cost=cost):
                self.release(event.stream)
                self._turn_page(day_of(event.at))
                self._today.used[event.user] = self._used(event.user) + Used.of(usage, cost)
            case ev.TurnFinished():
                self.release(event.stream)

    def _turn_page(self, day: int) -> None:
        """A clock that was set back begins no new day: the log's times do not go back either."""
        if day > self._today.day:
            self._today = _Today(day)

    def _used(self, user: str) -> Used:
        return self._today.used.get(user, Used())

    # --- a request ---------------------------------------------------------------------------------------------------------

    def calibrated(self, model: str, limits: ModelLimits) -> ModelLimits:
        """With the characters a token that were learnt."""
        ratio = self._calibration.ratio(model, limits.chars_per_token)
        if ratio == limits.chars_per_token:
            return limits
        given, made = self._limits.get(model, (None, limits))
        if given is not limits or made.chars_per_token != ratio:
            made = evolve(limits, chars_per_token=ratio)
            self._limits[model] = limits, made
        return made

    def admit(self, state: SessionState, model: str, limits: ModelLimits, prompt: Prompt) -> tuple[Prompt, Asked]:
        """The prompt with the output that all budgets allow, which is reserved from now on.

        Error handling: BudgetExceeded; then nothing more is reserved than before.
        """
        asked = Asked.of(prompt, limits)
        output = allowed_output(
            self.budgets(state.user, state, besides=state.id), model, asked.price, asked.tokens, prompt.max_output
        )
        wanted = worst(asked.price, asked.tokens, output)
        if earlier := self._reserved.get(state.id):  # for another candidate, which may be asked once more with its own prompt
            wanted = Used(max(wanted.tokens, earlier.used.tokens), max(wanted.cost, earlier.used.cost))
        self._reserved[state.id] = _Reserved(state.user, wanted)
        return prompt if output == prompt.max_output else evolve(prompt, max_output=output), asked

    def recalled(self, state: SessionState, model: str) -> Asked | None:
        """A request of the boot before this one, as far as the log knows what was sent. None if its model is not known any more."""
        try:
            limits = self._models.limits(model)
        except AgentError:
            return None
        characters = sum(map(size_of, state.messages))
        return Asked(characters=characters, ratio=limits.chars_per_token, price=limits.price)

    def learn(self, model: str, asked: Asked, reported: Usage) -> None:
        """From a reply whose host said how many tokens its input had."""
        if asked.plain:
            self._calibration.learn(model, asked.characters, reported.input)

    def release(self, session: str) -> None:
        """Nothing of the session is on its way any more."""
        self._reserved.pop(session, None)

    def budgets(self, user: str, state: SessionState | None = None, *, besides: str = "") -> tuple[BudgetState, ...]:
        """The budgets that are set, and what this user, this session and its open turn have used of them. Reserved is what the
        user has on the way, but for what session `besides` has.

        Error handling: InternalError if there is one for the day, and what was used today could not be read.
        """
        self._turn_page(day_of(self._clock.now()))
        turn, budgets = state.turn if state else None, self._settings().budgets
        if budgets == _NO_BUDGETS and not (turn and turn.max_cost):
            return ()
        found = states(
            budgets,
            turn=Used.of(turn.usage, turn.cost) if turn else Used(),
            session=Used.of(state.usage, state.cost) if state else Used(),
            day=self._used(user),
            reserved=self._held(user, besides),
            max_cost=turn.max_cost if turn else 0.0,
        )
        if self._unread and any(budget.scope == "day" for budget in found):
            raise InternalError(f"what was used today cannot be read, so today's budget cannot be kept: {self._unread}")
        return found

    def _held(self, user: str, besides: str) -> Used:
        mine = (held.used for session, held in self._reserved.items() if held.user == user and session != besides)
        return sum(mine, Used())
