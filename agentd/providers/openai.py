"""OpenAI's Chat Completions over HTTP: OpenAI itself, or any server that speaks its dialect at another base URL.

Theory of operation: the SDK says where a request goes and with which headers (openai_sdk.py); the request's and the reply's bytes
are ours (chat_dialect.py), and so are the connections (http1_pool.py): its typed stream costs a hundred times as much per token.
All that one read brought is one decode and one call of the sink. One cancel scope watches over the whole reply.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import trio
from attrs import evolve

from agentd.ports import Delta, ModelLimits, Prompt, Stream
from agentd.providers.chat_dialect import ChatDecoder
from agentd.providers.chat_errors import classify, retry_after
from agentd.providers.chat_request import ChatRequests
from agentd.providers.http1 import HttpError, Stale
from agentwire.config import OpenAIConfig, Timeouts
from agentwire.errors import AuthFailed, BadRequest, ProviderDown, ProviderError
from agentwire.types import ModelInfo

if TYPE_CHECKING:
    from agentd.providers.openai_sdk import Answer, Sdk

OFFICIAL = "https://api.openai.com/v1"
_NO_KEY = "none"  # what a server that asks for no key gets: the SDK insists on one
_LIST_TIMEOUT = 10.0  # seconds for GET /models
_TAIL = 0.1  # seconds for the last bytes of a body after its last event; without them the connection cannot be used again
_EXPLAINED = 64 * 1024  # bytes of a wrong body that are read to say what it is

_STREAMS = ("text/event-stream", "text/plain", "application/octet-stream", "")
"""Content types a stream may have: some hosts send a vague one, or none."""

_FAMILIES: Mapping[str, tuple[int, int]] = {
    "gpt-5": (400_000, 128_000),
    "gpt-4.1": (1_047_576, 32_768),
    "gpt-4o": (128_000, 16_384),
    "o1": (200_000, 100_000),
    "o3": (200_000, 100_000),
    "o4": (200_000, 100_000),
}
"""Context and longest output in tokens (https://platform.openai.com/docs/models). For other hosts the configuration decides."""
_OUTPUT = 8192  # tokens: what every current model can do, and all but the longest replies need


class _ModelEntry(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_ModelEntry]


_models = msgspec.json.Decoder(_ModelList)


class OpenAIProvider:
    """A `ports.Provider`. Holds connections; `aclose` closes them."""

    name = "openai"
    keys = 1

    def __init__(self, config: OpenAIConfig, timeouts: Timeouts) -> None:
        self._config = config
        self._timeouts = timeouts
        self._base = config.base_url or OFFICIAL
        self._official = urlsplit(self._base).hostname == urlsplit(OFFICIAL).hostname
        self._who = urlsplit(self._base).netloc.rpartition("@")[2] or self._base
        self._requests = ChatRequests(official=self._official, reasoning="deepseek" in self._who)
        self._loading = trio.Lock()
        self._sdk: Sdk | None = None
        self._first = ""  # the model an empty name stands for

    def reconfigure(self, timeouts: Timeouts) -> None:
        """The requests from now on have these, but for the time to connect."""
        self._timeouts = timeouts

    # --- what the Protocol asks ---------------------------------------------------------------------------------------------------

    def limits(self, model: str) -> ModelLimits:
        if self._official:
            for family, (context, output) in _FAMILIES.items():
                if model.startswith(family):
                    return ModelLimits(context=context, max_output=output)
        return ModelLimits(context=self._config.context, max_output=min(_OUTPUT, self._config.context // 4))

    def status(self) -> tuple[str, str]:
        if not (self._config.api_key or self._config.base_url):
            return "unavailable", "no OPENAI_API_KEY"
        return ("idle" if self._sdk is None else "ready"), self._base

    async def run(self, *, task_status: Any) -> None:
        task_status.started()

    async def aclose(self) -> None:
        if self._sdk is not None:
            await self._sdk.aclose()

    async def prewarm(self) -> None:
        """Do now what the first request would have to wait for: import the SDK and build its client. May be called at any time.

        Error handling: ProviderError if this machine's certificates or proxy settings cannot be used.
        """
        async with self._loading:
            if self._sdk is None:
                self._sdk = await trio.to_thread.run_sync(self._load, abandon_on_cancel=True)

    @asynccontextmanager
    async def stream(self, prompt: Prompt) -> AsyncIterator[Stream]:
        """See `ports.Provider.stream`. No cancel scope or nursery is open while the body runs."""
        sdk = await self._ready()
        if not prompt.model:
            prompt = evolve(prompt, model=await self._first_model(sdk))
        body = self._requests.encode(prompt)
        began = trio.current_time()
        answer = await self._post(sdk, body, began)
        try:
            yield _Reply(answer, self._who, self._timeouts, began, self._masked)
        finally:
            await answer.aclose()

    async def models(self) -> Sequence[ModelInfo]:
        """Everything the host lists. Raises ProviderError, after 10 s at the latest; without key and base URL there is nothing."""
        if not (self._config.api_key or self._config.base_url):
            return ()
        return [
            ModelInfo(id=f"{self.name}/{name}", context=self.limits(name).context) for name in await self._list(await self._ready())
        ]

    # --- the SDK --------------------------------------------------------------------------------------------------------------

    async def _ready(self) -> Sdk:
        if not (self._config.api_key or self._config.base_url):
            raise AuthFailed(f"There is no API key for {self._who}. Set OPENAI_API_KEY.")
        if self._sdk is None:
            await self.prewarm()
        assert self._sdk is not None
        return self._sdk

    def _load(self) -> Sdk:
        """Runs in a worker thread."""
        from agentd.providers.openai_sdk import ENVIRONMENT, Sdk

        try:
            sdk = Sdk(self._base, self._config.api_key or _NO_KEY, self._timeouts.connect)
        except (ImportError, OSError, ValueError, HttpError) as error:
            raise ProviderError(f"no connection to {self._who} can be made: {error}. Check {', '.join(ENVIRONMENT)}.") from None
        gc.freeze()  # the library stays: a full collection would look through its 60,000 objects, 50 ms each time
        return sdk

    # --- exchanges ------------------------------------------------------------------------------------------------------------

    async def _post(self, sdk: Sdk, body: Sequence[bytes], began: float) -> Answer:
        """The answer whose body is the stream. Raises the ProviderError for anything else."""
        with trio.move_on_at(began + min(self._timeouts.first_event, self._timeouts.step)):
            try:
                answer = await sdk.post(body)
            except HttpError as error:
                raise self._unreachable(error) from None
            if _good(answer.status) and _kind(answer.headers) in _STREAMS:
                return answer
            try:
                raise self._refusal(answer.status, answer.headers, await _beginning(answer))
            finally:
                await answer.aclose()
        raise ProviderDown(f"{self._who} did not answer within {self._timeouts.first_event:g} s")

    async def _list(self, sdk: Sdk) -> list[str]:
        limit = min(_LIST_TIMEOUT, self._timeouts.first_event)
        with trio.move_on_after(limit):
            try:
                status, headers, body = await sdk.get("/models")
                if not _good(status):
                    raise self._refusal(status, headers, body)
                return [entry.id for entry in _models.decode(body).data]
            except msgspec.MsgspecError:
                raise ProviderDown(f"{self._who} answered GET /models with something that is no list of models") from None
            except HttpError as error:
                raise self._unreachable(error) from None
        raise ProviderDown(f"{self._who} did not list its models within {limit:g} s")

    async def _first_model(self, sdk: Sdk) -> str:
        if not self._first:
            names = await self._list(sdk)
            if not names:
                raise BadRequest(f"{self._who} lists no models. Name one: {self.name}/NAME.")
            self._first = names[0]
        return self._first

    def _unreachable(self, error: HttpError) -> ProviderError:
        at_once = 0.0 if isinstance(error, Stale) else None
        return self._masked(ProviderDown(f"cannot reach {self._who}: {error}", retry_after=at_once))

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """What an answer means that is not what was asked for."""
        value = _json(body)
        if not _good(status):
            error = self._refused(status, headers, value)
        elif isinstance(value, dict) and value.get("error"):  # an error that forgot its status
            error = classify(self._who, None, value)
        else:  # no model server at all
            said = f"{self._who} answered with {_kind(headers)} instead of an event stream"
            error = ProviderDown(f"{said}. Check the base URL {self._base}.")
        return self._masked(error)

    def _refused(self, status: int, headers: Mapping[str, str], value: object) -> ProviderError:
        if 300 <= status < 400 and "location" in headers:  # following it would show the key to another address
            return BadRequest(f"{self._who} redirects to {headers['location']}. If you trust it, make it the base URL.")
        return classify(self._who, status, value, retry_after=retry_after(headers) or None)

    def _masked(self, error: ProviderError) -> ProviderError:
        """Hosts like to quote the key they refuse."""
        key = self._config.api_key
        if not key or key not in error.message:
            return error
        return type(error)(error.message.replace(key, "***"), retry_after=error.retry_after, **error.details)


class _Reply:
    """A `ports.Stream`. `began`: when the request was sent, on trio's clock."""

    def __init__(
        self, answer: Answer, who: str, timeouts: Timeouts, began: float, masked: Callable[[ProviderError], ProviderError]
    ) -> None:
        self._answer, self._who, self._timeouts, self._masked = answer, who, timeouts, masked
        self._decoder = ChatDecoder(who)
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
        receive, decoder = self._answer.receive, self._decoder
        while decoder.failed is None and (data := await receive()):
            before = decoder.events
            if deltas := decoder.feed(data):
                sink(deltas)
            if decoder.finished:
                self._watch.deadline = trio.current_time() + _TAIL
            elif decoder.events > before:  # a ping is no event
                self._stay_awake()

    def _stay_awake(self) -> None:
        """Put the deadline off, but not at every token: it is not free. The silence allowed is 1 to 1.1 intervals."""
        now, interval = trio.current_time(), self._timeouts.between_events
        if now >= self._moved + interval / 10:
            self._moved = now
            self._watch.deadline = min(self._end, now + interval * 1.1)

    def _too_slow(self) -> ProviderDown:
        limits = self._timeouts
        if trio.current_time() >= self._end:
            return ProviderDown(f"{self._who} did not finish its reply within {limits.step:g} s")
        if not self._decoder.events:
            return ProviderDown(f"{self._who} sent no event within {limits.first_event:g} s")
        return ProviderDown(f"{self._who} fell silent for {limits.between_events:g} s in the middle of its reply")


def _good(status: int) -> bool:
    return 200 <= status < 300


def _kind(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _beginning(answer: Answer) -> bytes:
    """As much of the body as explains it; also of one that breaks off."""
    body = bytearray()
    with suppress(HttpError):
        while len(body) <= _EXPLAINED and (data := await answer.receive()):
            body += data
    return bytes(body)


def _json(body: bytes) -> object:
    """JSON as a value, anything else as text."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body[:2000].decode("utf-8", "replace")
