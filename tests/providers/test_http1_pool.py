"""Which connections are used again, which are not, and what a server can do to one: conversations byte by byte."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence

import pytest
import trio
from trio.testing import MockClock

from agentd.providers.http1 import Dropped, HttpError, Stale, Unreachable
from agentd.providers.http1_pool import IDLE, KEPT, Origin, Pool
from tests.fakes.raw_server import Do, RawServer, Step, raw_server
from tests.providers.exchanges import ASK, CHUNKED, HEAD, OK, Names, answer, asked


def made(timeout: float) -> Pool:
    return Pool(ssl.create_default_context(), timeout)


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = made(5)
    yield pool
    pool.close()


def at(server: RawServer) -> Origin:
    return Origin(tls=False, host="127.0.0.1", port=server.port)


# --- used again ----------------------------------------------------------------------------------------------------------------


async def test_one_connection_for_all(pool: Pool) -> None:
    async with raw_server([ASK, OK] * 5) as server:
        for _ in range(5):
            assert await answer(pool, at(server)) == b"hello"
        pool.close()
        await server.closed(1)
    assert server.connections == 1
    assert server.requests == [HEAD % 2 + b"hi"] * 5


async def test_one_connection_each_at_the_same_time(pool: Pool) -> None:
    async with raw_server([ASK, OK, ASK, OK], [ASK, OK]) as server, asked(pool, at(server)), asked(pool, at(server)):
        assert server.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"),
        OK.replace(b"1.1", b"1.0"),
        OK + b"surplus",
        CHUNKED + b"5\r\nhello\r\n0\r\n\r\nsurplus",
    ],
)
async def test_what_is_not_used_again(pool: Pool, reply: bytes) -> None:
    """Whoever says so, or says more than an answer."""
    async with raw_server([ASK, reply, Do.HANG], [ASK, OK]) as server:
        assert await answer(pool, at(server)) == b"hello"
        await server.left(1)
        assert await answer(pool, at(server)) == b"hello"


async def test_body_until_the_end_of_the_connection(pool: Pool) -> None:
    async with raw_server([ASK, b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"], [ASK, OK]) as server:
        assert await answer(pool, at(server)) == b"hello"
        assert await answer(pool, at(server)) == b"hello"


async def test_answer_that_is_left_before_its_end(pool: Pool) -> None:
    """The server sees it."""
    async with raw_server([ASK, CHUNKED + b"5\r\nhello\r\n", Do.HANG]) as server:
        async with asked(pool, at(server)) as exchange:
            assert await exchange.receive() == b"hello"
        await server.left(1)


async def test_answer_that_is_whole_but_was_not_read(pool: Pool) -> None:
    """A small answer came with its head: its connection is good although nobody looked at the body."""
    async with raw_server([ASK, OK, ASK, OK]) as server:
        for _ in range(2):
            async with asked(pool, at(server)):
                pass
    assert server.connections == 1


async def test_kept_also_in_a_cancelled_scope(pool: Pool) -> None:
    """Giving back waits for nothing. Twice does no harm."""
    async with raw_server([ASK, OK, ASK, OK]) as server:
        with trio.CancelScope() as scope:
            exchange = await pool.exchange(at(server), [HEAD % 0])
            scope.cancel()
            await exchange.aclose()
            await exchange.aclose()
        assert await answer(pool, at(server)) == b"hello"
    assert server.connections == 1


async def test_cancelled_in_the_middle(pool: Pool) -> None:
    """The server sees it at once; in the head as well."""
    for begun in (b"", b"HTTP/1.1 200", CHUNKED, CHUNKED + b"5\r\nhel"):
        async with raw_server([ASK, begun, Do.HANG]) as server, trio.open_nursery() as nursery:
            nursery.start_soon(answer, pool, at(server))
            await server.asked(1)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await server.left(1)


async def test_idle_for_too_long(pool: Pool, mock_clock: MockClock) -> None:
    """Not used again, and not kept for ever."""
    async with raw_server([ASK, OK, Do.HANG], [ASK, OK, Do.HANG], [ASK, OK, Do.HANG], [ASK, OK]) as server:
        async with asked(pool, at(server)), asked(pool, at(server)):
            pass
        mock_clock.jump(IDLE + 1)
        assert await answer(pool, at(server)) == b"hello"
        await server.left(2)
    assert server.connections == 3


async def test_not_too_many_are_kept(pool: Pool) -> None:
    script: list[Step] = [ASK, OK, Do.HANG]
    async with raw_server(*[script] * (KEPT + 3)) as server:
        exchanges = [await pool.exchange(at(server), [HEAD % 0]) for _ in range(KEPT + 3)]
        for exchange in exchanges:
            await exchange.aclose()
        await server.left(3)
        pool.close()
        await server.left(KEPT + 3)


# --- a kept connection that dies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [[], [Do.RESET]])
async def test_server_closes_while_idle(pool: Pool, end: Sequence[Do]) -> None:
    """Seen before anything is sent."""
    async with raw_server([ASK, OK, *end], [ASK, OK]) as server:
        assert await answer(pool, at(server)) == b"hello"
        await server.closed(1)
        assert await answer(pool, at(server)) == b"hello"
    assert len(server.requests) == 2


async def test_server_speaks_while_idle(pool: Pool) -> None:
    """Whatever it says ("408 you were too slow"): it is not the answer to the next question."""
    more = trio.Event()
    async with raw_server([ASK, OK, more, b"HTTP/1.1 408 Late\r\ncontent-length: 0\r\n\r\n"], [ASK, OK]) as server:
        assert await answer(pool, at(server)) == b"hello"
        more.set()
        await server.closed(1)
        assert await answer(pool, at(server)) == b"hello"
    assert server.connections == 2


@pytest.mark.parametrize("end", [[], [Do.RESET]])
async def test_server_closes_at_the_request(pool: Pool, end: Sequence[Do]) -> None:
    """The race that nobody can avoid: the request is sent once more, on a new connection."""
    async with raw_server([ASK, OK, ASK, *end], [ASK, OK]) as server:
        assert await answer(pool, at(server)) == b"hello"
        assert await answer(pool, at(server)) == b"hello"
    assert len(server.requests) == 3


async def test_tried_once_more_and_no_more(pool: Pool) -> None:
    async with raw_server([ASK, OK, ASK], [ASK], [ASK, OK]) as server:
        assert await answer(pool, at(server)) == b"hello"
        with pytest.raises(Dropped, match="without an answer"):
            await answer(pool, at(server))
        assert len(server.requests) == 3
        assert await answer(pool, at(server)) == b"hello"


@pytest.mark.parametrize(("end", "said"), [([], "without an answer"), ([Do.RESET], "reset by peer")])
async def test_new_connection_that_dies(pool: Pool, end: Sequence[Do], said: str) -> None:
    """Nothing is sent twice."""
    async with raw_server([ASK, *end]) as server:
        with pytest.raises(Dropped, match=said):
            await answer(pool, at(server))
    assert server.connections == 1


@pytest.mark.parametrize("end", [[], [Do.RESET]])
async def test_kept_connection_that_dies_after_the_first_byte(pool: Pool, end: Sequence[Do]) -> None:
    """The server has begun to answer, so it may have done what was asked: nothing is sent twice."""
    async with raw_server([ASK, OK, ASK, b"H", *end]) as server:
        assert await answer(pool, at(server)) == b"hello"
        with pytest.raises(HttpError) as caught:
            await answer(pool, at(server))
        assert not isinstance(caught.value, Dropped)
    assert server.connections == 1


@pytest.mark.parametrize(("end", "said"), [([], "closed the connection in the middle"), ([Do.RESET], "broke in the middle")])
async def test_cut_in_the_body(pool: Pool, end: Sequence[Do], said: str) -> None:
    """A cut arrives as FIN or RST; what came before it is given."""
    go = trio.Event()
    async with raw_server([ASK, CHUNKED + b"5\r\nhello\r\n", go, *end]) as server, asked(pool, at(server)) as exchange:
        assert await exchange.receive() == b"hello"
        go.set()
        with pytest.raises(HttpError, match=said):
            await exchange.receive()


async def test_nonsense_in_the_body(pool: Pool) -> None:
    """What came before it is given, then it is an error, without another look at the connection."""
    async with raw_server([ASK, CHUNKED + b"5\r\nhello\r\nnonsense", Do.HANG]) as server:
        async with asked(pool, at(server)) as exchange:
            assert await exchange.receive() == b"hello"
            with pytest.raises(HttpError, match="nonsense"):
                await exchange.receive()
        await server.left(1)


# --- sending -------------------------------------------------------------------------------------------------------------------


async def test_many_blocks(pool: Pool) -> None:
    """More than the system takes at once, empty ones among them; they arrive as one body."""
    blocks = [b"%d," % number for number in range(3000)] + [b"", b"x" * (1 << 22)]
    async with raw_server([ASK, OK]) as server:
        exchange = await pool.exchange(at(server), [HEAD % sum(map(len, blocks)), *blocks])
        await exchange.aclose()
    assert server.requests[0].endswith(b"\r\n\r\n" + b"".join(blocks))


@pytest.mark.parametrize("end", [[], [Do.RESET]])
async def test_answer_before_the_request_was_read(pool: Pool, end: Sequence[Do]) -> None:
    """ "Too large", says the server, and hangs up: its words arrive although the request could not be sent."""
    refused = b"HTTP/1.1 413 Too large\r\ncontent-length: 5\r\n\r\nhello"
    async with raw_server([Do.HEAD, refused, *end], [ASK, OK]) as server:
        async with asked(pool, at(server), b"x" * (1 << 23)) as exchange:
            assert exchange.status == 413
            assert await exchange.receive() == b"hello"
        assert await answer(pool, at(server)) == b"hello"
    assert server.connections == 2


async def test_early_answer_on_a_good_connection(pool: Pool) -> None:
    """An answer that comes while the request is still read is an answer like any other."""
    async with raw_server([Do.HEAD, OK, Do.HANG]) as server:
        assert await answer(pool, at(server)) == b"hello"


# --- connecting ----------------------------------------------------------------------------------------------------------------


HOST = Origin(tls=False, host="model.test", port=80)


async def test_address_that_answered_is_asked_again(pool: Pool, names: Names, mock_clock: MockClock) -> None:
    """Its name is looked up once a minute at most: it may mean another address by then."""
    script: list[Step] = [ASK, OK]
    async with raw_server(*[script] * 4) as server:
        names.port = server.port
        for count in range(1, 4):
            assert await answer(pool, HOST) == b"hello"
            await server.closed(count)
        assert (server.connections, names.asked) == (3, 1)
        mock_clock.jump(IDLE + 1)
        assert await answer(pool, HOST) == b"hello"
        assert names.asked == 2


async def test_address_that_answers_no_longer(pool: Pool, names: Names) -> None:
    """All addresses of the name are tried then."""
    for _ in range(2):
        async with raw_server([ASK, OK]) as server:
            names.port = server.port
            assert await answer(pool, HOST) == b"hello"
            await server.closed(1)
    assert names.asked == 2


async def test_nobody_listens(pool: Pool) -> None:
    async with raw_server() as server:
        pass
    with pytest.raises(Unreachable, match=r"^connection refused$"):
        await answer(pool, at(server))


async def test_connection_that_is_not_accepted() -> None:
    """The time to connect holds for the TLS handshake, too."""
    async with raw_server([Do.HANG]) as server:
        with pytest.raises(Unreachable, match=r"did not accept a connection within 0\.05 s"):
            await answer(made(0.05), Origin(tls=True, host="127.0.0.1", port=server.port))
        await server.left(1)


async def test_cancelled_while_connecting(pool: Pool, names: Names) -> None:
    """Nothing is left behind."""
    with trio.move_on_after(0) as scope:
        await answer(pool, HOST)
    assert scope.cancelled_caught


async def test_who_counts_attempts_is_told_instead(pool: Pool) -> None:
    """Nothing is sent twice behind the back of whoever has a limit on what is sent; the next attempt may come at once."""
    async with raw_server([ASK, OK, ASK], [ASK, OK]) as server:
        assert await answer(pool, at(server)) == b"hello"
        with pytest.raises(Stale, match="without an answer"):
            await pool.exchange(at(server), [b"POST / HTTP/1.1\r\n\r\n"], again=False)
        assert server.connections == 1
        assert await answer(pool, at(server)) == b"hello"
