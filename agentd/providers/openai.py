"""OpenAI's Chat Completions over HTTP: OpenAI itself, or any server that speaks its dialect at another base URL.

Theory of operation: the SDK's client says where a request goes and with which headers, once for all (`_rehearse`), and its HTTP
client has the proxies and the connections; the request's and the reply's bytes are ours (chat_dialect.py), for its typed stream
costs twenty times as much per token. The body comes as one chunk per token even when many arrived together, so `_before_waiting`
hands on what was gathered at the moment when the next read has to wait: one decode and one call of the sink per read. One cancel
scope watches over the whole reply. The SDK takes a second to import and to do anything for the first time: a worker thread does
that, on first use or by `prewarm`.
"""

from __future__ import annotations

import ssl
import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
import trio
from attrs import evolve

from agentd.ports import Delta, ModelLimits, Prompt, Stream
from agentd.providers.chat_dialect import ChatDecoder, encode_request
from agentd.providers.chat_errors import classify, retry_after
from agentwire.config import OpenAIConfig, Timeouts
from agentwire.errors import AuthFailed, BadRequest, ProviderDown, ProviderError
from agentwire.types import ModelInfo

if TYPE_CHECKING:
    import httpx2
    import openai

T = TypeVar("T")

OFFICIAL = "https://api.openai.com/v1"
_NO_KEY = "none"  # what a server that asks for no key gets: the SDK insists on one
_LIST_TIMEOUT = 10.0  # seconds for GET /models
_TAIL = 0.1  # seconds for the last bytes of a body after its last event; without them the connection cannot be used again
_EXPLAINED = 64 * 1024  # bytes of a wrong body that are read to say what it is

_CONNECTIONS = 1000  # at once: as many as there may be streams
_KEPT = 100  # idle connections, for 60 s

_HEADERS: Final = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
_TRANSPORT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
"""Environment variables that the HTTP library reads by itself."""
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


class _Sdk(NamedTuple):
    """What the worker thread brings. `request`: a body as the SDK would send it, for `http`. `slow`: raised if no connection
    is accepted in time; `broken`: what a body may raise while it is read."""

    openai: types.ModuleType
    response: type[httpx2.Response]
    client: openai.AsyncOpenAI
    http: httpx2.AsyncClient
    request: Callable[[bytes], httpx2.Request]
    slow: tuple[type[Exception], ...]
    broken: tuple[type[Exception], ...]


class _ModelEntry(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_ModelEntry]


_models = msgspec.json.Decoder(_ModelList)


class OpenAIProvider:
    """A `ports.Provider`. Holds one HTTP client with its pool of connections; `aclose` closes them."""

    name = "openai"

    def __init__(self, config: OpenAIConfig, timeouts: Timeouts) -> None:
        self._config = config
        self._timeouts = timeouts
        self._base = config.base_url or OFFICIAL
        self._official = urlsplit(self._base).hostname == urlsplit(OFFICIAL).hostname
        self._who = urlsplit(self._base).netloc.rpartition("@")[2] or self._base
        self._loading = trio.Lock()
        self._sdk: _Sdk | None = None
        self._first = ""  # the model an empty name stands for

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
            await self._sdk.client.close()

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
        body = encode_request(prompt, official=self._official, reasoning="deepseek" in self._who)
        began = trio.current_time()
        response = await self._post(sdk, body, began)
        try:
            async with aclosing(response.aiter_raw()) as chunks:
                yield _Reply(chunks, self._who, self._timeouts, began, sdk.broken, self._masked)
        finally:
            await response.aclose()  # shielded inside the HTTP library

    async def models(self) -> Sequence[ModelInfo]:
        """Everything the host lists. Raises ProviderError, after 10 s at the latest; without key and base URL there is nothing."""
        if not (self._config.api_key or self._config.base_url):
            return ()
        return [
            ModelInfo(id=f"{self.name}/{name}", context=self.limits(name).context) for name in await self._list(await self._ready())
        ]

    # --- the SDK --------------------------------------------------------------------------------------------------------------

    async def _ready(self) -> _Sdk:
        if not (self._config.api_key or self._config.base_url):
            raise AuthFailed(f"There is no API key for {self._who}. Set OPENAI_API_KEY.")
        if self._sdk is None:
            await self.prewarm()
        assert self._sdk is not None
        return self._sdk

    def _load(self) -> _Sdk:
        """Runs in a worker thread."""
        import anyio
        import httpx2
        import openai

        timeout = httpx2.Timeout(None, connect=self._timeouts.connect)  # all other waits are our watchdog's
        limits = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_KEPT, keepalive_expiry=60)
        try:
            http = httpx2.AsyncClient(verify=httpx2.create_ssl_context(), timeout=timeout, limits=limits, follow_redirects=False)
        except (OSError, ValueError, httpx2.InvalidURL) as error:
            raise ProviderError(f"no connection to {self._who} can be made: {error}. Check {', '.join(_TRANSPORT)}.") from None
        client = openai.AsyncOpenAI(
            api_key=self._config.api_key or _NO_KEY, base_url=self._base, max_retries=0, timeout=timeout, http_client=http
        )
        head = trio.run(_rehearse, client)
        headers = [field for field in head.headers.raw if field[0].lower() != b"content-length"]

        def request(body: bytes) -> httpx2.Request:
            return httpx2.Request("POST", head.url, headers=headers, content=body, extensions=head.extensions)

        slow, broken = (openai.APITimeoutError, httpx2.ConnectTimeout), (httpx2.HTTPError, ssl.SSLError, anyio.EndOfStream)
        return _Sdk(openai, httpx2.Response, client, http, request, slow, broken)

    # --- exchanges ------------------------------------------------------------------------------------------------------------

    async def _post(self, sdk: _Sdk, body: bytes, began: float) -> httpx2.Response:
        """The response whose body is the stream. Raises the ProviderError for anything else."""
        with trio.move_on_at(began + min(self._timeouts.first_event, self._timeouts.step)):
            try:
                response = await sdk.http.send(sdk.request(body), stream=True)
                if not response.is_success:
                    await response.aread()
                    raise self._refused(response)
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind in _STREAMS:
                    return response
                raise self._masked(await self._no_stream(response, kind))
            except (sdk.openai.OpenAIError, *sdk.broken) as error:
                raise self._translated(sdk, error) from None
        raise ProviderDown(f"{self._who} did not answer within {self._timeouts.first_event:g} s")

    async def _no_stream(self, response: httpx2.Response, kind: str) -> ProviderError:
        """What to say of a good status with a wrong body: an error that forgot its status, or no model server at all."""
        body = bytearray()
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _EXPLAINED:
                    break
        value = _json(bytes(body))
        if isinstance(value, dict) and value.get("error"):
            return classify(self._who, None, value)
        return ProviderDown(f"{self._who} answered with {kind} instead of an event stream. Check the base URL {self._base}.")

    async def _list(self, sdk: _Sdk) -> list[str]:
        limit = min(_LIST_TIMEOUT, self._timeouts.first_event)
        with trio.move_on_after(limit):
            try:
                response = await sdk.client.get("/models", cast_to=sdk.response)
                return [entry.id for entry in _models.decode(response.content).data]
            except msgspec.MsgspecError:
                raise ProviderDown(f"{self._who} answered GET /models with something that is no list of models") from None
            except (sdk.openai.OpenAIError, *sdk.broken) as error:
                raise self._translated(sdk, error) from None
        raise ProviderDown(f"{self._who} did not list its models within {limit:g} s")

    async def _first_model(self, sdk: _Sdk) -> str:
        if not self._first:
            names = await self._list(sdk)
            if not names:
                raise BadRequest(f"{self._who} lists no models. Name one: {self.name}/NAME.")
            self._first = names[0]
        return self._first

    def _translated(self, sdk: _Sdk, error: Exception) -> ProviderError:
        """The SDK's exceptions end here."""
        if isinstance(error, sdk.openai.APIStatusError):
            return self._refused(error.response)
        if isinstance(error, sdk.slow):
            return ProviderDown(f"{self._who} did not accept a connection within {self._timeouts.connect:g} s")
        return self._masked(ProviderDown(f"cannot reach {self._who}: {_reason(error)}"))

    def _refused(self, response: httpx2.Response) -> ProviderError:
        """What an error status means."""
        if response.is_redirect:  # following it would show the key to another address
            to = response.headers.get("location", "elsewhere")
            return self._masked(BadRequest(f"{self._who} redirects to {to}. If you trust it, make it the base URL."))
        wait = retry_after(response.headers)
        return self._masked(classify(self._who, response.status_code, _json(response.content), retry_after=wait))

    def _masked(self, error: ProviderError) -> ProviderError:
        """Hosts like to quote the key they refuse."""
        key = self._config.api_key
        if not key or key not in error.message:
            return error
        return type(error)(error.message.replace(key, "***"), retry_after=error.retry_after, **error.details)


class _Reply:
    """A `ports.Stream`. `began`: when the request was sent, on trio's clock."""

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        who: str,
        timeouts: Timeouts,
        began: float,
        broken: tuple[type[Exception], ...],
        masked: Callable[[ProviderError], ProviderError],
    ) -> None:
        self._chunks, self._who, self._timeouts, self._broken, self._masked = chunks, who, timeouts, broken, masked
        self._decoder = ChatDecoder(who)
        self._end = began + timeouts.step
        self._watch = trio.CancelScope(deadline=min(began + timeouts.first_event, self._end))
        self._moved = float("-inf")
        self._gathered: list[bytes] = []
        self._failure: Exception | None = None
        self._sink: Callable[[Sequence[Delta]], None] = _nowhere

    async def drain(self, sink: Callable[[Sequence[Delta]], None]) -> None:
        """See `ports.Stream.drain`. An exception of `sink` ends the exchange and is raised from here."""
        self._sink = sink
        try:
            with self._watch:
                while chunk := await _before_waiting(anext(self._chunks, b""), self._hand_on):
                    self._gathered.append(chunk)
        except self._broken:
            pass  # what it means is the decoder's to say
        self._hand_on()
        try:
            self._conclude()
        except ProviderError as error:
            raise self._masked(error) from None

    def _conclude(self) -> None:
        decoder = self._decoder
        if self._failure is not None:
            raise self._failure
        if self._watch.cancelled_caught and not decoder.complete:
            raise self._too_slow()
        if deltas := decoder.finish():
            self._sink(deltas)

    def _too_slow(self) -> ProviderDown:
        limits = self._timeouts
        if trio.current_time() >= self._end:
            return ProviderDown(f"{self._who} did not finish its reply within {limits.step:g} s")
        if not self._decoder.events:
            return ProviderDown(f"{self._who} sent no event within {limits.first_event:g} s")
        return ProviderDown(f"{self._who} fell silent for {limits.between_events:g} s in the middle of its reply")

    def _hand_on(self) -> None:
        """Give the sink what was gathered. Must not raise: inside `_before_waiting` trio has already arranged for the wake-up."""
        if not self._gathered or self._failure is not None:
            return
        decoder, before = self._decoder, self._decoder.events
        try:
            deltas = decoder.feed(b"".join(self._gathered))
            if deltas:
                self._sink(deltas)
            self._failure = decoder.failed
        except Exception as error:  # noqa: BLE001 - kept, and raised by drain
            self._failure = error
        self._gathered.clear()
        if self._failure is not None:
            self._watch.cancel()
        elif decoder.finished:
            self._watch.deadline = trio.current_time() + _TAIL
        elif decoder.events > before:  # a ping is no event
            self._stay_awake()

    def _stay_awake(self) -> None:
        """Put the deadline off, but not at every token: it is not free. The silence allowed is 1 to 1.1 intervals."""
        now, interval = trio.current_time(), self._timeouts.between_events
        if now >= self._moved + interval / 10:
            self._moved = now
            self._watch.deadline = min(self._end, now + interval * 1.1)


@types.coroutine
def _before_waiting(awaitable: Awaitable[T], act: Callable[[], None]) -> Generator[Any, Any, T]:
    """Await; just before the first suspension, if there is one, `act`. It must not raise."""
    steps = awaitable.__await__()
    try:
        trap = next(steps)
        act()
        while True:
            trap = steps.send((yield trap))
    except StopIteration as done:
        result: T = done.value
        return result


def _nowhere(deltas: Sequence[Delta]) -> None:
    """The sink before `drain` has one."""


def _reason(error: BaseException) -> str:
    """The words of the first cause that has any: the libraries wrap what the system said four times over."""
    said, cause = str(error), error.__cause__
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):  # one for each address that was tried
            cause = cause.exceptions[-1]
        said, cause = str(cause) or said, cause.__cause__ or cause.__context__
    return said or type(error).__name__


def _json(body: bytes) -> object:
    """JSON as a value, anything else as text."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body[:2000].decode("utf-8", "replace")


async def _rehearse(client: openai.AsyncOpenAI) -> httpx2.Request:
    """The request as the SDK makes it, sent nowhere: its address and headers are those of all that follow.

    What the SDK does for the first time costs 50 ms, and building each request anew 0.3 ms, which nobody should wait for.
    """
    import httpx2

    asked: list[httpx2.Request] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"data: [DONE]\n\n")

    async with client.with_options(http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(answer))) as rehearsing:
        response = await rehearsing.post(
            "/chat/completions", content=b"{}", cast_to=httpx2.Response, stream=True, options={"headers": _HEADERS}
        )
        await response.aclose()
    return asked[0]
