"""HTTP/1.1 without I/O: what is read of a response, what is refused, and that no split of the bytes makes a difference."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from agentd.providers.http1 import MAX_HEAD, Dropped, Head, HttpError, ResponseReader, request_head, why
from tests.fakes.voices import frame

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@frozen
class Seen:
    """All that a reader makes of a response."""

    head: Head | None
    body: bytes
    done: bool
    reusable: bool
    failed: str


def read(pieces: Iterable[bytes], method: bytes = b"POST") -> Seen:
    reader = ResponseReader(method)
    body = b"".join([reader.feed(piece) for piece in pieces])
    return Seen(reader.head, body, reader.done, reader.reusable, str(reader.failed or ""))


def told(status: int, reason: bytes, *fields: tuple[bytes, bytes], minor: int = 1) -> Head:
    return Head(minor, status, reason, fields)


# --- what is read --------------------------------------------------------------------------------------------------------------

WHOLE: dict[str, tuple[bytes, int, bytes, bool]] = {
    "counted": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b"", True),
    "chunked": (CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 200, b"hello!", True),
    "no chunk": (CHUNKED + b"0\r\n\r\n", 200, b"", True),
    "sizes": (CHUNKED + b"0A\r\n0123456789\r\n0000000000001\r\nx\r\n00\r\n\r\n", 200, b"0123456789x", True),
    "extensions": (CHUNKED + b'3;a=b;c="d"\r\nabc\r\n1 \r\nd\r\n0;x\r\n\r\n', 200, b"abcd", True),
    "space before an extension": (CHUNKED + b"1 ;e\r\na\r\n0\r\n\r\n", 200, b"a", True),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\nX-Check: 1\r\nY: \r\n\r\n", 200, b"a", True),
    "line ends inside": (CHUNKED + b"6\r\n\r\n0\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", 200, b"\r\n0\r\n\r\n", True),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\na: b\r\n\r\nHTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx",
        200,
        b"x",
        True,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b"", True),
    "unusual status": (b"HTTP/1.1 529 Site is \xe9\r\ncontent-length: 1\r\n\r\nx", 529, b"x", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", 200, b"x", True),
    "identity": (b"HTTP/1.1 200 OK\r\ncontent-encoding: Identity\r\ncontent-length: 1\r\n\r\nx", 200, b"x", True),
    "close": (b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 1\r\n\r\nx", 200, b"x", False),
    "close in a list": (b"HTTP/1.1 200 OK\r\nconnection: x, close\r\ncontent-length: 1\r\n\r\nx", 200, b"x", False),
    "old": (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", 200, b"x", False),
    "old, kept": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", 200, b"x", True),
    "surplus": (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxy", 200, b"x", False),
    "surplus of chunks": (CHUNKED + b"1\r\nx\r\n0\r\n\r\nH", 200, b"x", False),
    "surplus of nothing": (b"HTTP/1.1 204 No Content\r\n\r\nx", 204, b"", False),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_responses(name: str) -> None:
    """Status, body, and whether the connection can be used again; the same byte by byte."""
    data, status, body, reusable = WHOLE[name]
    seen = read([data])
    assert seen.head is not None and seen.head.status == status
    assert (seen.body, seen.done, seen.reusable, seen.failed) == (body, True, reusable, "")
    assert read(bytes([byte]) for byte in data) == seen


def test_body_until_the_end_of_the_connection() -> None:
    """Without a length the end is the end; such a connection is not used again."""
    data = b"HTTP/1.1 200 OK\r\n\r\nabc"
    assert not read([data]).done
    assert read([data, b"d", b""]) == Seen(told(200, b"OK"), b"abcd", True, False, "")


def test_answer_to_head_has_no_body() -> None:
    seen = read([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"], b"HEAD")
    assert (seen.done, seen.body, seen.reusable) == (True, b"", True)


def test_head() -> None:
    """Fields as they came, by name in any case, and joined for whoever wants a mapping."""
    (head,) = {read([b"HTTP/1.1 404 Not here\r\nA: 1\r\nX-Y:  two words\t\r\na:\r\nA:\xe9\r\ncontent-length:0\r\n\r\n"]).head}
    assert head is not None
    assert head.fields == ((b"A", b"1"), (b"X-Y", b"two words"), (b"a", b""), (b"A", b"\xe9"), (b"content-length", b"0"))
    assert (head.reason, head.values(b"x-y")) == (b"Not here", [b"two words"])
    assert head.headers() == {"a": "1, , é", "x-y": "two words", "content-length": "0"}


def test_end_after_the_whole_response() -> None:
    """Nothing is lost by it but the connection."""
    assert read([b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", b""]) == Seen(
        told(200, b"OK", (b"content-length", b"1")), b"x", True, False, ""
    )


def test_surplus_in_a_later_read() -> None:
    assert not read([b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 408 Too slow\r\n\r\n"]).reusable


# --- what is refused -----------------------------------------------------------------------------------------------------------

_OK = b"HTTP/1.1 200 OK\r\n"
BROKEN: dict[str, tuple[bytes, bytes, str]] = {
    "another protocol": (b"SSH-2.0-OpenSSH_9\r\n", b"", "not HTTP/1.1"),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", b"", "not HTTP/1.1"),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\n\r\n", b"", "not HTTP/1.1"),
    "status of letters": (b"HTTP/1.1 abc\r\n\r\n", b"", "not HTTP/1.1"),
    "status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", b"", "not HTTP/1.1"),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 0\n\n", b"", "not HTTP/1.1"),
    "bare line feed in the header": (_OK + b"a: b\nc: d\r\n\r\n", b"", "header line"),
    "folded": (_OK + b"a: b\r\n c\r\n\r\n", b"", "header line"),
    "folded at once": (_OK + b" a: b\r\n\r\n", b"", "header line"),
    "space before the colon": (_OK + b"content-length : 1\r\n\r\nx", b"", "header line"),
    "no colon": (_OK + b"abc\r\n\r\n", b"", "header line"),
    "no name": (_OK + b": abc\r\n\r\n", b"", "header line"),
    "zero byte": (_OK + b"a: \x00\r\n\r\n", b"", "header line"),
    "bare return": (_OK + b"a: b\rc\r\n\r\n", b"", "header line"),
    "two lengths": (_OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx", b"", "length b'1, 2'"),
    "twice the same": (_OK + b"content-length: 1\r\ncontent-length: 1\r\n\r\nx", b"", "length"),
    "list of lengths": (_OK + b"content-length: 1, 1\r\n\r\nx", b"", "length"),
    "negative length": (_OK + b"content-length: -1\r\n\r\n", b"", "length"),
    "signed length": (_OK + b"content-length: +1\r\n\r\nx", b"", "length"),
    "empty length": (_OK + b"content-length:\r\n\r\n", b"", "length"),
    "endless length": (_OK + b"content-length: " + b"9" * 19 + b"\r\n\r\n", b"", "length"),
    "chunks and a length": (_OK + b"transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", b"", "where it ends"),
    "compressed transfer": (_OK + b"transfer-encoding: gzip, chunked\r\n\r\n", b"", "where it ends"),
    "chunked twice": (_OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", b"", "where it ends"),
    "disguised chunks": (_OK + b"transfer-encoding: xchunked\r\n\r\n", b"", "where it ends"),
    "old chunks": (b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"", "where it ends"),
    "compressed": (_OK + b"content-encoding: gzip\r\ncontent-length: 1\r\n\r\nx", b"", "encoded as b'gzip'"),
    "upgrade": (b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\n\r\n", b"", "another protocol"),
    "size of letters": (CHUNKED + b"1\r\na\r\nxyz", b"a", "where a chunk should begin"),
    "no size": (CHUNKED + b"1\r\na\r\n\r\n", b"a", "where a chunk should begin"),
    "signed size": (CHUNKED + b"+1\r\na\r\n", b"", "where a chunk should begin"),
    "size with a prefix": (CHUNKED + b"0x1\r\na\r\n", b"", "where a chunk should begin"),
    "size with a separator": (CHUNKED + b"1_0\r\na\r\n", b"", "where a chunk should begin"),
    "size too long": (CHUNKED + b"1\r\na\r\n" + b"0" * 16, b"a", "where a chunk should begin"),
    "size with a line feed": (CHUNKED + b"1\na", b"", "where a chunk should begin"),
    "chunk too long": (CHUNKED + b"1\r\nab\r\n", b"a", "where a chunk should begin"),
    "endless extension": (CHUNKED + b"1;" + b"x" * 5000, b"", "where a chunk should begin"),
    "zero byte in an extension": (CHUNKED + b"1;\x00\r\n", b"", "where a chunk should begin"),
    "bad trailer": (CHUNKED + b"1\r\na\r\n0\r\nno trailer\r\n\r\n", b"a", "header line"),
    "endless trailers": (CHUNKED + b"0\r\n" + b"a: b\r\n" * 11_000, b"", "trailers"),
    "endless head": (_OK + b"a: b\r\n" * 11_000, b"", "longer than 64 KiB"),
    "endless line": (_OK + b"a: " + b"b" * MAX_HEAD, b"", "longer than 64 KiB"),
    "endless interim": (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, b"", "longer than 64 KiB"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_responses(name: str) -> None:
    """Each says what is wrong, after the body before it was given, and is never reusable."""
    data, body, said = BROKEN[name]
    seen = read([data])
    assert said in seen.failed
    assert (seen.body, seen.done, seen.reusable) == (body, False, False)


@pytest.mark.parametrize("name", [name for name in BROKEN if not name.startswith("endless")])
def test_broken_responses_byte_by_byte(name: str) -> None:
    """The same body, the same kind of failure."""
    data, body, said = BROKEN[name]
    seen = read(bytes([byte]) for byte in data)
    assert said in seen.failed
    assert (seen.body, seen.done, seen.reusable) == (body, False, False)


def test_whoever_speaks_something_else_is_found_out_at_once() -> None:
    """It may wait for us: no line end is waited for."""
    for data in (b"S", b"HTTP/2", b"\x15\x03\x01", b"+OK ready", b"HTTP/1.1 200 OK\n"):
        assert "not HTTP/1.1" in read([data]).failed


@pytest.mark.parametrize("name", ["counted", "chunked", "trailers", "extensions", "interim"])
def test_cut_anywhere(name: str) -> None:
    """A connection that ends before the message does: before its first byte it may be tried again, later never."""
    data, _, whole, _ = WHOLE[name]
    for length in range(len(data)):
        reader = ResponseReader()
        body = reader.feed(data[:length]) + reader.feed(b"")
        assert whole.startswith(body)
        assert not reader.done and not reader.reusable
        assert reader.failed is not None
        assert isinstance(reader.failed, Dropped) == (length == 0)


def test_nothing_is_read_after_a_failure() -> None:
    seen = read([b"nonsense", WHOLE["counted"][0], b""])
    assert "nonsense" in seen.failed
    assert seen.head is None and not seen.body


# --- any split -----------------------------------------------------------------------------------------------------------------


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """`data` in pieces, none of them empty: that would be the end."""
    edges = sorted({0, len(data), *(position % (len(data) + 1) for position in at)})
    return [data[start:stop] for start, stop in pairwise(edges)]


_CUTS = st.lists(st.integers(0, 1 << 20), max_size=12)


@given(st.sampled_from(sorted(WHOLE)), _CUTS)
def test_whole_responses_in_any_split(name: str, at: list[int]) -> None:
    data = WHOLE[name][0]
    assert read(cut(data, at)) == read([data])


@given(st.sampled_from(sorted(BROKEN)), _CUTS)
def test_broken_responses_in_any_split(name: str, at: list[int]) -> None:
    """The words may show more or fewer of the bytes; everything else is the same."""
    data, body, said = BROKEN[name]
    seen = read(cut(data, at))
    assert (said in seen.failed, seen.body, seen.done, seen.reusable) == (True, body, False, False)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), _CUTS)
def test_chunks_in_any_split(chunks: list[bytes], at: list[int]) -> None:
    """Whatever is inside them, line ends and sizes included."""
    data = CHUNKED + b"".join(map(frame, chunks)) + b"0\r\n\r\n"
    seen = read(cut(data, at))
    assert (seen.body, seen.done, seen.reusable) == (b"".join(chunks), True, True)


@given(st.binary(max_size=400), _CUTS)
def test_garbage_in_any_split(garbage: bytes, at: list[int]) -> None:
    """No bytes raise anything or are taken for more than they are; also behind a good beginning."""
    for before in (b"", b"HTTP/1.1 ", _OK, CHUNKED, CHUNKED + b"1\r\na", CHUNKED + b"0\r\n"):
        data = before + garbage
        one, many = read([data, b""] if data else [b""]), read([*cut(data, at), b""])
        assert (one.body, one.done, one.reusable, bool(one.failed)) == (many.body, many.done, many.reusable, bool(many.failed))


# --- the request ---------------------------------------------------------------------------------------------------------------


def test_request_head() -> None:
    """As given, but for what the SDK writes to itself, and nothing that asks for compression."""
    fields = [
        (b"Host", b"x"),
        (b"X-Stainless-Raw-Response", b"true"),
        (b"Accept-Encoding", b"gzip"),
        (b"X-Stainless-Lang", b"python"),
    ]
    assert request_head(b"POST", b"/v1?a=b", fields) == (
        b"POST /v1?a=b HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\nX-Stainless-Lang: python\r\n"
    )


@pytest.mark.parametrize(
    ("method", "target", "field"),
    [
        (b"GET", b"/", (b"authorization", b"Bearer secret\r\nx: y")),
        (b"GET", b"/", (b"authorization", b"Bearer secret\x00")),
        (b"GET", b"/", (b"a b", b"secret")),
        (b"GET", b"/a b", (b"a", b"secret")),
        (b"GET", b"/\r\nx:y", (b"a", b"secret")),
        (b"G T", b"/", (b"a", b"secret")),
        (b"GET", b"", (b"a", b"secret")),
    ],
)
def test_nothing_is_smuggled_into_a_request(method: bytes, target: bytes, field: tuple[bytes, bytes]) -> None:
    """A key with a line end in it is refused, and not shown."""
    with pytest.raises(HttpError) as caught:
        request_head(method, target, [field])
    assert "secret" not in str(caught.value)


def test_why() -> None:
    """The innermost words count; an error without any is called by its name."""
    outer = OSError("could not connect")
    outer.__cause__ = ExceptionGroup("all failed", [OSError("no route"), OSError("refused")])
    assert why(outer) == "refused"
    assert why(ValueError()) == "ValueError"
