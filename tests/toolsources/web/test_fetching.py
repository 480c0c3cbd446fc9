"""fetch over real sockets: texts, images, redirects, sizes, and hosts that do not behave."""

from __future__ import annotations

import gzip
from hashlib import sha256

import pytest
import trio

from agentd.ports import Place, ToolContext
from agentd.toolsources.web.fetching import MOST_BYTES
from agentd.toolsources.web.source import WebTools
from agentwire.errors import ToolError
from agentwire.types import Access, BlobRef, Image, Text
from tests.fakes.raw_server import Do, Step, raw_server

PAGE = b"""<html><head><title>Rain</title><script>steal()</script></head><body><nav>menu</nav>
<main><h2>Today</h2><p>It <b>rains</b>, see <a href="/more">more</a>.</p></main></body></html>"""


def answer(body: bytes, media: str = "text/html; charset=utf-8", status: str = "200 OK", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


async def keep(content: bytes, media: str) -> BlobRef:
    return BlobRef(blob=sha256(content).hexdigest(), bytes=len(content), media=media)


def context(*hosts: str) -> ToolContext:
    return ToolContext(
        call="c", session="s", cwd="/", blob=keep, accesses=tuple(Access(kind="network", target=host) for host in hosts)
    )


WEB = WebTools(lambda: ("127.0.0.1", "localhost"))


async def fetched(*script: Step, path: str = "/") -> tuple[str, str, bytes]:
    """(outcome, text, the request) of one exchange with a host that plays `script`."""
    async with raw_server([Do.ASK, *script]) as server:
        outcome = await WEB.call("fetch", {"url": f"http://127.0.0.1:{server.port}{path}"}, context())
        part = outcome.parts[0]
        assert isinstance(part, Text)
        return outcome.outcome, part.text, server.requests[0]


async def test_a_page_is_markdown() -> None:
    """Its title, headings and links; no scripts, no menus; no cookie, key or referrer goes along."""
    outcome, text, request = await fetched(answer(PAGE), path="/a?b=c")
    assert (outcome, text) == ("ok", "# Rain\n\n## Today\n\nIt **rains**, see [more](/more).")
    assert request.startswith(b"GET /a?b=c HTTP/1.1\r\n")
    names = {line.partition(b":")[0].lower() for line in request.split(b"\r\n")[1:] if line}
    assert names == {b"host", b"user-agent", b"accept", b"accept-encoding"}


@pytest.mark.parametrize(
    ("reply", "outcome", "text"),
    [
        (answer(b'{"a": 1}', "application/json"), "ok", '{"a": 1}'),
        (answer("grün".encode("latin-1"), "text/plain; charset=iso-8859-1"), "ok", "grün"),
        (answer(b"gr\xfcn", "text/plain"), "ok", "gr�n"),
        (answer(b"a\0b", "text/plain; charset=nonsense"), "ok", "a�b"),
        (answer(b"", "text/plain"), "ok", "(the page is empty)"),
        (answer(b"gone", "text/plain", "404 Not Found"), "error", "HTTP 404\n\ngone"),
        (answer(gzip.compress(b"packed"), "text/plain", extra="Content-Encoding: gzip\r\n"), "ok", "packed"),
    ],
)
async def test_texts(reply: bytes, outcome: str, text: str) -> None:
    """As the host says that they are encoded; an error status is an error of the call."""
    assert (await fetched(reply))[:2] == (outcome, text)


async def test_what_is_no_text_is_told_of() -> None:
    """And not put into the conversation."""
    assert "application/zip, 4 bytes, which is no text" in (await fetched(answer(b"PK\3\4", "application/zip")))[1]


async def test_an_image_is_shown() -> None:
    """As an image with its content kept."""
    async with raw_server([Do.ASK, answer(b"png", "image/png")]) as server:
        outcome = await WEB.call("fetch", {"url": f"http://127.0.0.1:{server.port}/x.png"}, context("127.0.0.1"))
        assert outcome.parts[1] == Image(blob=sha256(b"png").hexdigest(), bytes=3, media="image/png")


async def test_a_bomb_is_cut() -> None:
    """Ten kilobytes that unpack to more than the limit take no more memory than the limit."""
    bomb = gzip.compress(b"x" * (MOST_BYTES * 2))
    outcome, text, _ = await fetched(answer(bomb, "text/plain", extra="Content-Encoding: gzip\r\n"))
    assert outcome == "ok" and text.endswith(f"[cut after {MOST_BYTES:,} bytes]") and len(text) < MOST_BYTES + 100


def _scripts(reply: bytes) -> list[list[Step]]:
    return [[Do.ASK, reply] for _ in range(6)]


async def test_redirects() -> None:
    """Within the host they are followed, to another one they are told of, in a circle they end."""
    moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
    away = b"HTTP/1.1 301 Moved\r\nLocation: http://localhost:1/x\r\nContent-Length: 0\r\n\r\n"
    async with raw_server([Do.ASK, moved], [Do.ASK, answer(b"here", "text/plain")], [Do.ASK, away]) as server:
        url = f"http://127.0.0.1:{server.port}/"
        outcome = await WEB.call("fetch", {"url": url}, context())
        assert outcome.parts == (Text(text="here"),)
        assert server.requests[1].startswith(b"GET /there ")
        told = (await WEB.call("fetch", {"url": url}, context())).parts[0]
        assert isinstance(told, Text) and told.text.endswith("fetch http://localhost:1/x")
    async with raw_server(*_scripts(moved)) as server:
        with pytest.raises(ToolError, match="more than 5 redirects"):
            await WEB.call("fetch", {"url": f"http://127.0.0.1:{server.port}/"}, context())


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://user:pw@127.0.0.1/"])
async def test_a_redirect_is_judged_like_any_url(location: str) -> None:
    """It leads nowhere else than a call could."""
    moved = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    async with raw_server([Do.ASK, moved]) as server:
        with pytest.raises(ToolError):
            await WEB.call("fetch", {"url": f"http://127.0.0.1:{server.port}/"}, context())


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"], "cannot fetch"),
        ([b"what?\r\n\r\n"], "cannot fetch"),
        ([Do.RESET], "cannot fetch"),
        ([answer(b"x", extra="Content-Encoding: br\r\n")], "packs its answer"),
        ([answer(b"no gzip", extra="Content-Encoding: gzip\r\n")], "cannot be unpacked"),
    ],
)
async def test_a_host_that_does_not_behave(script: list[Step], complaint: str) -> None:
    """Is one sentence for the model."""
    async with raw_server([Do.ASK, *script]) as server:
        with pytest.raises(ToolError, match=complaint):
            await WEB.call("fetch", {"url": f"http://127.0.0.1:{server.port}/"}, context())


async def test_a_host_that_hangs_is_left_when_the_call_is_cancelled() -> None:
    """At once, and the connection is closed."""
    async with raw_server([Do.ASK, Do.HANG]) as server, trio.open_nursery() as nursery:
        nursery.start_soon(WEB.call, "fetch", {"url": f"http://127.0.0.1:{server.port}/"}, context())
        await server.asked(1)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await server.left(1)


async def test_nobody_listens() -> None:
    """The error names the host."""
    async with raw_server() as server:
        port = server.port
    with pytest.raises(ToolError, match=r"127\.0\.0\.1"):
        await WEB.call("fetch", {"url": f"http://127.0.0.1:{port}/"}, context())


async def test_only_what_was_allowed_is_reached() -> None:
    """The host that was judged, and no inside host that the user has not named."""
    place = Place(session="s", cwd="/")
    assert WEB.accesses("fetch", {"url": "https://Example.org./x"}, place) == (Access(kind="network", target="example.org"),)
    with pytest.raises(ToolError, match="not what was allowed"):
        await WEB.call("fetch", {"url": "http://127.0.0.1:1/"}, context("example.org"))
    with pytest.raises(ToolError, match=r"not on the public internet.*tools\.private_hosts"):
        await WebTools().call("fetch", {"url": "http://127.0.0.1:1/"}, context("127.0.0.1"))
