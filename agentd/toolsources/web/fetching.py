"""One HTTP exchange with a host whose every address was looked at: no cookies, no proxies, bounded in size and time."""

from __future__ import annotations

import socket
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any

import trio
from attrs import frozen

from agentd.toolsources.web.address import Target, inside, target_of
from agentwire import __version__
from agentwire.errors import ToolError

MOST_BYTES = 10 * 1024 * 1024
MOST_REDIRECTS = 5
SECONDS = 30.0
_REDIRECTS = (301, 302, 303, 307, 308)


@frozen
class Page:
    """What came. `cut`: there was more than MOST_BYTES. `elsewhere`: it is at another host, which was not judged."""

    url: str
    status: int
    media: str
    charset: str
    content: bytes
    cut: bool = False
    elsewhere: str = ""


async def fetch(target: Target, private: Callable[[Target], bool]) -> Page:
    """Follow redirects within the host. `private`: whether a host that is inside may be reached.

    Error handling: ToolError that says what happened and what to do.
    """
    with trio.move_on_after(SECONDS):
        for _ in range(MOST_REDIRECTS + 1):
            page, location = await _once(target, private)
            if not location:
                return page
            following = target_of(location)
            if following.host.removeprefix("www.") != target.host.removeprefix("www."):
                return Page(target.url, page.status, "", "", b"", elsewhere=following.url)
            target = following
        raise ToolError(f"{target.url}: more than {MOST_REDIRECTS} redirects")
    raise ToolError(f"{target.host} has not answered in full within {SECONDS:.0f} seconds")


async def _once(target: Target, private: Callable[[Target], bool]) -> tuple[Page, str]:
    import httpcore2  # on first use: what it brings along takes long to load

    headers: list[tuple[bytes | str, bytes | str]] = [
        *{
            "Host": _host_header(target),
            "User-Agent": f"agentd/{__version__}",
            "Accept": "text/html, text/markdown, text/plain, application/json, */*;q=0.5",
            "Accept-Encoding": "gzip",
        }.items()
    ]
    try:
        async with (
            httpcore2.AsyncConnectionPool(network_backend=_backend(target, private), max_keepalive_connections=0) as pool,
            pool.stream("GET", target.url, headers=headers) as response,
        ):
            said = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            if response.status in _REDIRECTS and said.get("location"):
                return Page(target.url, response.status, "", "", b""), _joined(target.url, said["location"])
            async with aclosing(response.aiter_stream()) as chunks:
                content, cut = await _read(chunks, said.get("content-encoding", ""))
    except httpcore2.TimeoutException:
        raise ToolError(f"{target.host} does not answer") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.UnsupportedProtocol) as error:
        raise ToolError(f"cannot fetch {target.url}: {str(error) or type(error).__name__}") from None
    media, charset = _content_type(said)
    return Page(target.url, response.status, media, charset, content, cut), ""


def _host_header(target: Target) -> str:
    usual = {"http": 80, "https": 443}[target.scheme]
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == usual else f"{host}:{target.port}"


def _joined(url: str, location: str) -> str:
    from urllib.parse import urljoin

    return urljoin(url, location)


def _content_type(headers: Mapping[str, str]) -> tuple[str, str]:
    from email.message import Message

    message = Message()
    message["content-type"] = headers.get("content-type", "")
    return message.get_content_type() if headers.get("content-type") else "", message.get_content_charset() or ""


async def _read(chunks: AsyncIterator[bytes], encoding: str) -> tuple[bytes, bool]:
    """The body, unpacked, and whether it was cut: a few packed bytes may stand for gigabytes."""
    if encoding.strip().lower() not in ("", "identity", "gzip", "x-gzip"):
        raise ToolError(f"the host packs its answer in a way that was not asked for ({encoding[:40]})")
    unpack = zlib.decompressobj(wbits=31) if encoding.strip().lower() in ("gzip", "x-gzip") else None
    content = bytearray()
    async for chunk in chunks:
        try:
            content += unpack.decompress(chunk, MOST_BYTES + 1 - len(content)) if unpack else chunk
        except zlib.error as error:
            raise ToolError(f"the host's answer cannot be unpacked: {error}") from None
        if len(content) > MOST_BYTES:
            return bytes(content[:MOST_BYTES]), True
    return bytes(content), False


async def addresses_of(target: Target, private: Callable[[Target], bool]) -> list[str]:
    """All that the host resolves to, once. Error handling: ToolError if there is none, or one of them is inside."""
    try:
        found = await trio.socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ToolError(f"there is no host {target.host} ({error})") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    within = [address for address in addresses if inside(address)]
    if not addresses or (within and not private(target)):
        where = f": {within[0]} is not on the public internet" if within else ""
        raise ToolError(
            f"{target.host} is not reached{where}. Hosts of one's own network are for the user to allow (tools.private_hosts)."
        )
    return addresses


def _backend(target: Target, private: Callable[[Target], bool]) -> Any:
    """Connects to addresses that were looked at, and to no others: a name may resolve to something else the next time."""
    import httpcore2

    class Checked(httpcore2.TrioBackend):
        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> Any:
            failure: Exception | None = None
            for address in await addresses_of(target, private):
                try:
                    return await super().connect_tcp(address, target.port, 10.0, local_address, socket_options)
                except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                    failure = error
            raise failure or httpcore2.ConnectError("it has no address")

    return Checked()
