"""One chat with a local model's process: the request sent, the reply as deltas, and what a broken or silent exchange means.

Its life is not decided here: `Child.scope` is what its owner (local_model.py) waits in; one that hangs is ended by cancelling it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from agentd.ports import Delta, Stream
from agentd.providers.chat_decoder import ChatDecoder
from agentd.providers.chat_errors import classify, retry_after
from agentwire.config import Timeouts
from agentwire.errors import ProviderDown, ProviderError, ProviderTimeout

if TYPE_CHECKING:
    import httpx2

ERROR_BODY = 65536  # bytes read of an error answer
TAIL = 1.0  # seconds for the end of the body after the Stop


class Child:
    """A child that is ready. `who`: what it is called in sentences. `ended` is set, with `how`, once it is gone."""

    def __init__(self, pid: int, http: httpx2.AsyncClient, who: str) -> None:
        self.pid = pid
        self.http = http
        self.who = who
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.how = "was stopped"

    async def failure(self, error: Exception) -> ProviderDown:
        """What a broken exchange with it means. If it died, its exit is known a moment after its connections broke."""
        with trio.move_on_after(0.5):
            await self.ended.wait()
            return ProviderDown(
                f"{self.who}'s process {self.how} before the answer was complete. The next request starts a new one."
            )
        return ProviderDown(f"{self.who}'s process broke off the answer: {str(error) or type(error).__name__}")

    def hung(self, seconds: float) -> ProviderTimeout:
        """It is silent for too long: end it, so that the next request finds one that works."""
        self.how = "was stopped because it did not answer"
        self.scope.cancel()
        return ProviderTimeout(f"{self.who} sent nothing for {seconds:g} s and was stopped. The next request starts it again.")


@asynccontextmanager
async def exchange(child: Child, body: bytes, timeouts: Timeouts) -> AsyncIterator[Stream]:
    """Send the request; leaving the scope closes the connection, which frees the slot."""
    import httpx2

    began = trio.current_time()
    request = child.http.build_request("POST", "/v1/chat/completions", content=body)
    response: httpx2.Response | None = None
    with trio.move_on_at(began + timeouts.first_event):
        try:
            response = await child.http.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise await child.failure(error) from error
    if response is None:
        raise child.hung(timeouts.first_event)
    async with aclosing(response):
        if response.status_code != httpx2.codes.OK:
            raise await _refusal(child.who, response)
        yield _Reply(child, response, timeouts, began)


async def _refusal(who: str, response: httpx2.Response) -> ProviderError:
    import httpx2

    said = b""
    try:
        with trio.move_on_after(10):
            async for piece in response.aiter_bytes():
                said = (said + piece)[:ERROR_BODY]
        body = json.loads(said)
    except (httpx2.HTTPError, ValueError):
        body = said.decode(errors="replace")
    return classify(who, response.status_code, body, retry_after=retry_after(response.headers))


class _Reply:
    """A `ports.Stream`."""

    def __init__(self, child: Child, response: httpx2.Response, timeouts: Timeouts, began: float) -> None:
        self._child = child
        self._response = response
        self._timeouts = timeouts
        self._first = began + timeouts.first_event
        self._last = began + timeouts.step
        self._decoder = ChatDecoder(child.who)
        self._failure: Exception | None = None

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        """See `ports.Stream.drain`. An exception of `sink` ends the exchange and is raised from here."""
        import httpx2

        decoder = self._decoder
        with trio.CancelScope(deadline=min(self._first, self._last)) as watchdog:
            try:
                await self._read(sink, watchdog)
            except httpx2.HTTPError as error:
                if not decoder.complete:
                    raise await self._child.failure(error) from error
        if self._failure is not None:
            raise self._failure
        if watchdog.cancelled_caught and not decoder.complete:
            raise self._too_slow()
        if deltas := decoder.finish():
            sink(deltas)

    async def _read(self, sink: Callable[[Sequence[Delta]], None], watchdog: trio.CancelScope) -> None:
        """To the end of the body, also after the Stop: httpx2's generators, left before their end, would be finalised by the
        garbage collector with a warning. A failure therefore ends the reading by cancellation, which passes through them."""
        decoder = self._decoder
        async for piece in self._response.aiter_raw():
            if self._failure is not None:
                continue
            before = decoder.events
            try:
                if deltas := decoder.feed(piece):
                    sink(deltas)
                self._failure = decoder.failed
            except Exception as error:  # noqa: BLE001 - kept, and raised by drain
                self._failure = error
            if self._failure is not None:
                watchdog.cancel()
            elif decoder.finished:
                watchdog.deadline = trio.current_time() + TAIL
            elif decoder.events > before:  # a ping is no event
                watchdog.deadline = min(trio.current_time() + self._timeouts.between_events, self._last)

    def _too_slow(self) -> ProviderTimeout:
        if trio.current_time() >= self._last:
            return ProviderTimeout(f"{self._child.who} was not done after {self._timeouts.step:g} s.")
        return self._child.hung(self._timeouts.between_events if self._decoder.events else self._timeouts.first_event)
