"""One streamed reply: what was received goes to its dialect's decoder, what that made of it to the sink, within the time limits.

All that one read brought is one decode and one call of the sink. One cancel scope watches over the whole reply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import trio

from agentd.ports import Delta
from agentd.providers.dialect import Decoder
from agentd.providers.http1 import HttpError
from agentwire.config import Timeouts
from agentwire.errors import ProviderError, ProviderTimeout

if TYPE_CHECKING:
    from agentd.providers.connections import Answer

_TAIL = 0.1  # seconds for the last bytes of a body after its last event; without them the connection cannot be used again


class Reply:
    """A `ports.Stream`. `who`: the host, for error messages; `began`: when the request was sent, on trio's clock; `masked`: takes
    the API keys out of an error."""

    def __init__(
        self,
        answer: Answer,
        decoder: Decoder,
        who: str,
        timeouts: Timeouts,
        began: float,
        masked: Callable[[ProviderError], ProviderError],
    ) -> None:
        self._answer, self._decoder, self._who, self._timeouts, self._masked = answer, decoder, who, timeouts, masked
        self._end = began + timeouts.step
        self._watch = trio.CancelScope(deadline=min(began + timeouts.first_event, self._end))
        self._moved = float("-inf")

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        """See `ports.Stream.drain`. An exception of `sink` ends the exchange and is raised from here."""
        try:
            with self._watch:
                await self._read(sink)
        except HttpError:
            pass  # what it means is the decoder's to say
        try:
            if self._watch.cancelled_caught and not self._decoder.complete:
                raise self._too_slow()
            if deltas := self._decoder.finish():
                sink(deltas)
        except ProviderError as error:
            raise self._masked(error) from None

    async def _read(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        decoder = self._decoder

        def take(data: bytes) -> bool:
            before = decoder.events
            if deltas := decoder.feed(data):
                sink(deltas)
            if decoder.finished:
                self._watch.deadline = trio.current_time() + _TAIL
            elif decoder.events > before:  # a ping is no event
                self._stay_awake()
            return decoder.failed is not None

        await self._answer.give(take)

    def _stay_awake(self) -> None:
        """Put the deadline off, but not at every token: it is not free. The silence allowed is 1 to 1.1 intervals."""
        now, interval = trio.current_time(), self._timeouts.between_events
        if now >= self._moved + interval / 10:
            self._moved = now
            self._watch.deadline = min(self._end, now + interval * 1.1)

    def _too_slow(self) -> ProviderTimeout:
        limits, who = self._timeouts, self._who
        if trio.current_time() >= self._end:
            return ProviderTimeout(f"{who} did not finish its reply within {limits.step:g} s (timeouts.step)")
        if not self._decoder.events:
            return ProviderTimeout(f"{who} sent no event within {limits.first_event:g} s (timeouts.first_event)")
        silence = f"fell silent for {limits.between_events:g} s in the middle of its reply"
        return ProviderTimeout(f"{who} {silence} (timeouts.between_events)")
