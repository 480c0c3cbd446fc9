"""A model vendor's endpoint over HTTP, in any dialect: connections, keys, time limits, and what a silence or a wrong answer means.

Theory of operation: the vendor's SDK says where a request goes and with which headers (connections.py); the bytes of the request
and of the reply are our dialect's (dialect.py), and so are the connections (http1_pool.py): an SDK's typed stream costs a hundred
times as much per token.
"""

from __future__ import annotations

import gc
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
import trio
from attrs import evolve

from agentd.ports import ModelLimits, Prompt, Stream
from agentd.providers.catalog import Catalog, ModelData, capabilities
from agentd.providers.chat_errors import retry_after
from agentd.providers.dialect import Dialect, Listed
from agentd.providers.http1 import Absent, HttpError, Slow, Stale, Unreachable, Untrusted
from agentd.providers.reply import Reply
from agentwire.config import ProviderConfig, Timeouts
from agentwire.errors import AuthFailed, BadRequest, ProviderDown, ProviderError, ProviderTimeout
from agentwire.types import ModelInfo

if TYPE_CHECKING:
    from agentd.providers.connections import Answer, Connections

ENVIRONMENT: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
"""Variables that decide how a connection is made."""

_TRUST = (
    "If you trust it, name a file with the certificate of its authority, besides the others that you trust, in SSL_CERT_FILE, "
    "then `agentctl daemon restart`."
)

_LIST_TIMEOUT = 10.0  # seconds for the list of models
_EXPLAINED = 64 * 1024  # bytes of a wrong body that are read to say what it is
_SECRET = re.compile(r"auth|key|token|secret|cookie")
"""Names of headers whose values are nobody's business."""


class Endpoint:
    """A `ports.Provider`. Holds connections; `aclose` closes them. `name`: what `catalog` knows its models under."""

    def __init__(self, name: str, dialect: Dialect, config: ProviderConfig, timeouts: Timeouts, catalog: Catalog) -> None:
        self.name = name
        self.keys = max(1, len(config.pool))
        self._dialect, self._config, self._timeouts = dialect, config, timeouts
        self._base = config.base_url or dialect.base
        self._who = urlsplit(self._base).netloc.rpartition("@")[2] or self._base
        self._locked = dialect.keyed and not (config.pool or config.base_url)
        self._secrets = _secrets(config)
        self._data = lru_cache(maxsize=256)(lambda model: _bounded(catalog.find(name, model), config.context))
        self._limits = lru_cache(maxsize=256)(lambda model: self._data(model).limits)
        self._loading = trio.Lock()
        self._connections: Connections | None = None
        self._first = ""  # the model an empty name stands for

    def reconfigure(self, timeouts: Timeouts) -> None:
        """The requests from now on have these."""
        self._timeouts = timeouts
        if self._connections is not None:
            self._connections.reconfigure(timeouts.connect)

    # --- what the Protocol asks -----------------------------------------------------------------------------------------------

    def limits(self, model: str) -> ModelLimits:
        return self._limits(model)

    def status(self) -> tuple[str, str]:
        if self._locked:
            return "unavailable", f"no {self._variable}"
        return ("idle" if self._connections is None else "ready"), _shown(self._base)

    async def run(self, *, task_status: Any) -> None:
        task_status.started()

    async def aclose(self) -> None:
        if self._connections is not None:
            await self._connections.aclose()

    async def prewarm(self) -> None:
        """Do now what the first request would have to wait for: import the SDK and ask it. May be called at any time.

        Error handling: ProviderError if this machine's certificates or proxy settings cannot be used.
        """
        async with self._loading:
            if self._connections is None:
                self._connections = await trio.to_thread.run_sync(self._load, abandon_on_cancel=True)
                self._connections.reconfigure(self._timeouts.connect)  # it may have changed meanwhile

    @asynccontextmanager
    async def stream(self, prompt: Prompt) -> AsyncIterator[Stream]:
        """See `ports.Provider.stream`. No cancel scope or nursery is open while the body runs."""
        connections = await self._ready()
        if not prompt.model:
            prompt = evolve(prompt, model=await self._first_model(connections))
        data = self._data(prompt.model)
        body = self._dialect.encode(prompt, data)
        began = trio.current_time()
        answer = await self._post(connections, body, prompt.key, began)
        try:
            decoder = self._dialect.decoder(self._who, prompt, data)
            yield Reply(answer, decoder, self._who, self._timeouts, began, self._masked)
        finally:
            await answer.aclose()

    async def models(self) -> Sequence[ModelInfo]:
        """Everything the host lists; nothing where it needs a key and there is none. Raises ProviderError, within 10 s."""
        if self._locked:
            return ()
        return [self._info(listed) for listed in await self._list(await self._ready())]

    # --- getting ready --------------------------------------------------------------------------------------------------------

    @property
    def _variable(self) -> str:
        return f"{self.name.upper()}_API_KEY"

    async def _ready(self) -> Connections:
        if self._locked:
            raise AuthFailed(f"There is no API key for {self._who}. Set {self._variable}.")
        if self._connections is None:
            await self.prewarm()
        assert self._connections is not None
        return self._connections

    def _load(self) -> Connections:
        """Runs in a worker thread."""
        try:
            from agentd.providers.connections import Connections

            keys, rehearse = self._config.pool or ("",), self._dialect.rehearse()
            connections = Connections(self._base, keys, self._config.headers, rehearse, self._timeouts.connect)
        except (ImportError, OSError, ValueError, HttpError) as error:
            told = f"no connection to {self._who} can be made: {error}. Check {', '.join(ENVIRONMENT)}."
            raise self._masked(ProviderError(told)) from None
        gc.freeze()  # the library stays: a full collection would look through its 60,000 objects, 50 ms each time
        return connections

    # --- exchanges ------------------------------------------------------------------------------------------------------------

    async def _post(self, connections: Connections, body: Sequence[bytes], key: int, began: float) -> Answer:
        """The answer whose body is the stream. Raises the ProviderError for anything else."""
        with trio.move_on_at(began + min(self._timeouts.first_event, self._timeouts.step)):
            return await self._streaming(connections.post(body, key))
        raise ProviderTimeout(f"{self._who} did not answer within {self._timeouts.first_event:g} s (timeouts.first_event)")

    async def _streaming(self, answering: Awaitable[Answer]) -> Answer:
        """The answer, if its body is a stream. Raises the ProviderError for anything else."""
        try:
            answer = await answering
        except HttpError as error:
            raise self._unreachable(error) from None
        if _good(answer.status) and _kind(answer.headers) in self._dialect.content_types:
            return answer
        try:
            raise self._refusal(answer.status, answer.headers, await _beginning(answer))
        finally:
            await answer.aclose()

    async def _list(self, connections: Connections) -> Sequence[Listed]:
        limit, path = min(_LIST_TIMEOUT, self._timeouts.first_event), self._dialect.models_path
        with trio.move_on_after(limit):
            try:
                status, headers, body = await connections.get(path)
                if not _good(status):
                    raise self._refusal(status, headers, body)
                return self._dialect.listed(body)
            except ValueError:
                raise ProviderDown(f"{self._who} answered GET {path} with something that is no list of models") from None
            except HttpError as error:
                raise self._unreachable(error) from None
        raise ProviderTimeout(f"{self._who} did not list its models within {limit:g} s")

    async def _first_model(self, connections: Connections) -> str:
        if not self._first:
            listed = await self._list(connections)
            if not listed:
                raise BadRequest(f"{self._who} lists no models. Name one: {self.name}/NAME.")
            self._first = listed[0].name
        return self._first

    def _info(self, listed: Listed) -> ModelInfo:
        data = self._data(listed.name)
        return ModelInfo(
            id=f"{self.name}/{listed.name}",
            context=data.context if data.known or self._config.context else listed.context or data.context,
            max_output=data.max_output,
            price=data.price,
            capabilities=capabilities(data),
            known=data.known,
            note=listed.note,
        )

    # --- what an answer means -------------------------------------------------------------------------------------------------

    def _unreachable(self, error: HttpError) -> ProviderError:
        if isinstance(error, Untrusted):  # to try again would not help
            remedy = _TRUST if error.unknown else "Is the base URL right, and this machine's clock?"
            return self._masked(ProviderError(f"the certificate of {self._who} cannot be trusted: {error}. {remedy}"))
        cls = ProviderTimeout if isinstance(error, Slow) else ProviderDown
        at_once = 0.0 if isinstance(error, Stale) else None
        if isinstance(error, Unreachable):
            told = f"cannot connect to {_shown(self._base, '')}: {error}; {self._look(error)}"
        else:
            told = f"cannot reach {self._who}: {error}"
        return self._masked(cls(told, retry_after=at_once))

    def _look(self, error: Unreachable) -> str:
        if isinstance(error, Absent):
            return "is it running?"
        return f"check the network{f' and the base URL {_shown(self._base)}' if self._config.base_url else ''}"

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """What an answer means that is not what was asked for."""
        value = _json(body)
        if not _good(status):
            error = self._refused(status, headers, value)
        elif isinstance(value, dict) and value.get("error"):  # an error that forgot its status
            error = self._dialect.refused(self._who, None, value)
        else:  # no model server at all
            said = f"{self._who} answered with {_kind(headers)} instead of an event stream"
            error = ProviderDown(f"{said}. Check the base URL {_shown(self._base)}.")
        return self._masked(error)

    def _refused(self, status: int, headers: Mapping[str, str], value: object) -> ProviderError:
        if 300 <= status < 400 and "location" in headers:  # following it would show the key to another address
            return BadRequest(f"{self._who} redirects to {headers['location']}. If you trust it, make it the base URL.")
        return self._dialect.refused(self._who, status, value, retry_after=retry_after(headers) or None)

    def _masked(self, error: ProviderError) -> ProviderError:
        """Hosts like to quote the key they refuse."""
        message = error.message
        for secret in self._secrets:
            message = message.replace(secret, "***")
        if message == error.message:
            return error
        return type(error)(message, retry_after=error.retry_after, **error.details)


def _bounded(data: ModelData, context: int) -> ModelData:
    """`context`: what this host serves it with, in tokens; 0 if nobody said."""
    if not context:
        return data
    return evolve(data, context=context, max_output=min(data.max_output, context // 4))


def _secrets(config: ProviderConfig) -> list[str]:
    """The longest first: one may be the beginning of another."""
    told = [value for name, value in config.headers.items() if _SECRET.search(name.lower())]
    words = {*config.pool, *told, *(value.rpartition(" ")[2] for value in told), *_credentials(config.base_url)}
    return sorted(filter(None, words), key=len, reverse=True)


def _credentials(url: str) -> tuple[str, ...]:
    """What of a URL's user and password a host may quote: as they stand there, as they are meant, and as they go over the wire."""
    parts = urlsplit(url)
    given = parts.password or parts.username
    if given is None:
        return ()
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return given, unquote(given), b64encode(f"{user}:{password}".encode()).decode()


def _shown(url: str, path: str | None = None) -> str:
    """Without user and password; with another path, if one is given."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path if path is None else path).geturl()


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
