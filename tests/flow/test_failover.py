"""Turns over several real model servers that fail in every way: the answer comes, nobody is asked too often, nothing shown is
doubled or lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import trio

from agentd.core.routes import Alias, Strategy
from agentd.ports import Prompt
from agentwire import events as ev
from agentwire.types import Text
from tests.fakes import real
from tests.fakes.model_rules import Choose, Request, in_order
from tests.fakes.model_script import Answer, Broken, Call, Cut, Drop, Fail, Hang, Pings, Raw, Reply, Say, Silent, Think, error, text
from tests.fakes.tools import FakeTools, spec
from tests.fakes.town import SHORT, Town, town

WHOLE = "The quick brown fox jumps over the lazy dog. It costs 3.14 per jump, and then: nothing, nothing at all.\n\n- one\n- two\n"
WELL = text(WHOLE)
BOTH = "a/x,b/x"


def of(events: list[ev.Event], kind: str) -> list[Any]:
    return [event.body for event in events if event.kind == kind]


def said(events: list[ev.Event]) -> str:
    """The text of the turn's messages."""
    return "".join(part.text for body in of(events, "assistant_message") for part in body.parts if isinstance(part, Text))


async def saved(where: Town, model: str = BOTH) -> list[ev.Event]:
    """A turn that ends well, with all of its text once, in the log and on the screen."""
    shown, events = await where.turn(model)
    (end,) = of(events, "turn_finished")
    assert end.outcome == "done", end.error
    assert shown == said(events) == WHOLE
    return events


# --- before anything was shown ---------------------------------------------------------------------------------------------------

FAILURES: dict[str, Answer] = {
    "too many requests": error(429),
    "not for an hour": error(429, retry_after="3600"),
    "out of quota": error(429, code="insufficient_quota"),
    "overloaded": error(529),
    "unavailable": error(503, retry_after="5"),
    "broken": error(500),
    "a proxy's page": Fail(502, "<html>Bad Gateway</html>", content_type="text/html"),
    "wrong key": error(401),
    "forbidden": error(403),
    "no credit": error(402),
    "wrong request": error(400),
    "no such model": error(404),
    "unprocessable": error(422),
    "refused": error(400, code="content_filter"),
    "elsewhere": Fail(302, "", {"location": "http://elsewhere.invalid/"}),
    "no stream": Fail(200, "<html>Welcome</html>", content_type="text/html"),
    "hangs up": Drop(),
    "resets": Drop(reset=True),
    "cut at once": Reply([Cut()]),
    "reset at once": Reply([Cut(reset=True)]),
    "garbage": Reply([Raw(b"data: {garbage\n\n"), Hang()]),
    "an error at once": Reply([Broken(), Hang()]),
}
SILENCES: dict[str, Answer] = {"silent": Silent(), "hangs": Reply([Hang()]), "nothing but pings": Reply([Pings(0.01)])}
ONCE_MORE = {"hangs up", "resets"}
"""A kept connection that ends like this may just have been closing: the same server is asked once more, at once."""


SLOWER = [pytest.param(name, marks=pytest.mark.slow) for name in ("chat", "messages")]


@pytest.mark.slow
async def test_whoever_is_silent_is_not_waited_for_twice() -> None:
    """The second answers; and with nobody else to ask a silent host gets a second chance, no third."""
    async with town([], [WELL], patience=SHORT) as where:
        for answer in SILENCES.values():
            where.servers[0].choose = in_order([answer])
            where.time.ahead += 4000
            await saved(where)
            assert where.seen == [1, 1]
        _, events = await where.turn("a/x")
        assert (where.seen, of(events, "turn_finished")[0].error.code) == ([2, 0], "provider_timeout")


@pytest.mark.parametrize("dialect", ["responses", *SLOWER])
async def test_whatever_the_first_does_the_second_answers(dialect: str) -> None:
    """Each is asked once, nothing waits, and no seam is to be seen."""
    async with town([], [WELL], dialect=dialect) as where:
        for name, answer in FAILURES.items():
            where.servers[0].choose = in_order([answer])
            where.time.ahead += 4000  # every circuit is half-open
            events = await saved(where)
            assert [body.model for body in of(events, "assistant_message")] == ["b/x"]
            assert not of(events, "reply_restarted")
            first, second = where.seen
            assert (first in ({1, 2} if name in ONCE_MORE else {1}), second) == (True, 1), name
        assert where.time.waits == []


async def test_too_long_for_the_first() -> None:
    """A larger model is asked, a smaller one is not."""
    long = error(400, code="context_length_exceeded")
    async with town([long], [WELL], [WELL], contexts=(64_000, 32_000, 128_000)) as where:
        events = await saved(where, "a/x,b/x,c/x")
        assert (where.seen, of(events, "assistant_message")[0].model) == ([1, 0, 1], "c/x")


async def test_too_long_for_all() -> None:
    """The history is cut down before the turn is given up."""
    async with town([text("x" * 2000), text("y" * 2000), error(400, code="context_length_exceeded"), WELL]) as where:
        live = await where.house.create(model="a/x")
        for _ in range(3):
            await where.house.prompt(live, "go")
            await where.house.idle(live)
        assert where.house.events[-1].body.outcome == "done"
        assert [len(request.messages) for request in where.servers[0].seen] == [2, 4, 6, 4]


async def test_all_down() -> None:
    """One clear error, in the turn's end, that says when to come back; and nobody was asked more than three times."""
    async with town([error(503)], [Drop()], [error(500)]) as where:
        shown, events = await where.turn("a/x,b/x,c/x")
        (end,) = of(events, "turn_finished")
        assert (end.outcome, end.error.code, end.error.retryable, shown) == ("failed", "provider_down", True, "")
        assert re.search(r"none of 3 models could answer. a/x: .*503.* \| b/x: .* \| c/x: .*500", end.error.message)
        assert 0 < end.error.retry_after <= 60
        counts = where.seen
        assert sum(counts) == 6 and max(counts) <= 3
    async with town([error(503)]) as where:
        shown, events = await where.turn("a/x")
        assert where.seen == [3]
        assert of(events, "turn_finished")[0].error.retry_after > 0


async def test_nobody_has_credit() -> None:
    """What waiting does not mend is not waited for."""
    async with town([error(402)], [error(401)]) as where:
        _, events = await where.turn(BOTH)
        (end,) = of(events, "turn_finished")
        assert (end.error.retryable, end.error.retry_after, where.time.waits, where.seen) == (False, None, [], [1, 1])
        assert "a/x: " in end.error.message and "b/x: " in end.error.message


# --- in the middle of a reply ----------------------------------------------------------------------------------------------------


def exactly(partial: str) -> str:
    return WHOLE[len(partial) :]


def from_the_word(partial: str) -> str:
    """Where the last words of three letters begin."""
    begins = [found.start() for found in re.finditer(r"\b[a-z]{3}", partial)]
    return WHOLE[begins[-1] :] if begins else WHOLE[len(partial) :]


def from_words_before(partial: str) -> str:
    begins = [found.start() for found in re.finditer(r"\b[a-zA-Z]{3}", partial)]
    return WHOLE[begins[-4] :] if len(begins) > 3 else WHOLE


def anew(_: str) -> str:
    return WHOLE


def anew_behind_a_space(_: str) -> str:
    return "\n\n" + WHOLE


def going_on(how: Callable[[str], str], *behind: Any) -> Choose:
    """A server that goes on with a reply in this way."""
    return lambda request: Reply([Say(how(request.partial)), *behind])


HOWS = [exactly, from_the_word, from_words_before, anew, anew_behind_a_space]


@pytest.mark.parametrize("how", HOWS)
async def test_a_cut_at_any_place(how: Callable[[str], str]) -> None:
    """However the second goes on: what was shown stays, and every word is there once. One seam, one request to each."""
    async with town([], going_on(how)) as where:
        for place in range(1, len(WHOLE), 7):
            where.servers[0].choose = in_order([Reply([Say(WHOLE[:place]), Cut()])])
            where.time.ahead += 100
            events = await saved(where)
            assert [body.model for body in of(events, "assistant_message")] == ["a/x", "b/x"]
            assert [(body.attempt, body.model) for body in of(events, "reply_restarted")] == [(1, "a/x")]
            assert where.seen == [1, 1]


SILENT = [pytest.param(step, marks=pytest.mark.slow) for step in (Hang(), Pings(0.01))]


@pytest.mark.parametrize("dialect", ["responses", "messages"])
@pytest.mark.parametrize("breaks", [Cut(), Cut(reset=True), Broken(), Raw(b"data: {garbage\n\n"), *SILENT])
async def test_whatever_breaks_the_reply(dialect: str, breaks: Any) -> None:
    """The next vendor goes on, in its own dialect; nothing waits."""
    first = Reply([Think("let me see"), Say(WHOLE[:40]), breaks])
    patience = SHORT if isinstance(breaks, Hang | Pings) else 30.0
    async with town([first], going_on(exactly), dialect=dialect, patience=patience) as where:
        events = await saved(where)
        assert len(of(events, "reply_restarted")) == 1
        assert (where.seen, where.time.waits) == ([1, 1], [])


async def test_cut_again_and_again() -> None:
    """Over three hosts the text goes on; each seam is an event."""

    def back(partial: str) -> str:
        return WHOLE[max(0, len(partial) - 20) :]

    first, second = Reply([Say(WHOLE[:30]), Cut()]), Reply([Say(WHOLE[10:70]), Cut()])
    async with town([first], [second], going_on(back)) as where:
        events = await saved(where, "a/x,b/x,c/x")
        assert [body.attempt for body in of(events, "reply_restarted")] == [1, 2]
        assert where.seen == [1, 1, 1]


async def test_one_host_that_cuts_every_reply() -> None:
    """Three attempts, seams and all; the text that was shown is kept, and the error says what happened."""
    async with town(lambda request: Reply([Say(WHOLE[len(request.partial) :][:10]), Cut()])) as where:
        shown, events = await where.turn("a/x")
        (end,) = of(events, "turn_finished")
        assert (end.outcome, end.error.code, end.error.retryable) == ("failed", "provider_down", True)
        assert 0 < end.error.retry_after <= 60
        assert shown == said(events) == WHOLE[:30]
        assert (where.seen, where.time.waits) == ([3], [])


async def test_every_host_cuts_every_reply() -> None:
    """Six attempts in all."""
    async with town(*[lambda request: Reply([Say(WHOLE[len(request.partial) :][:10]), Cut()])] * 3) as where:
        shown, events = await where.turn("a/x,b/x,c/x")
        counts = where.seen
        assert shown == said(events) == WHOLE[:60]
        assert sum(counts) == 6 and max(counts) <= 3
        assert len(of(events, "reply_restarted")) == 5


@pytest.mark.parametrize("words", ["", "I look. "])
async def test_half_a_call_is_dropped(words: str) -> None:
    """The next host calls again; the tool runs once."""
    look = {"at": "the sky above the port"}
    steps = [Say(words)] if words else []

    def second(request: Request) -> Answer:
        return text("Blue.") if request.after_tools else Reply([Call("look", look)])

    tools = FakeTools([spec("look", at={"type": "string"})])
    async with town([Reply([*steps, Call("look", look, cut=2), Cut()])], second, tools=[tools]) as where:
        shown, events = await where.turn(BOTH)
        assert of(events, "turn_finished")[0].outcome == "done"
        assert [call.arguments for call in tools.calls] == [look]
        assert shown == words + "Blue."
        assert len(of(events, "reply_restarted")) == 1


# --- who is asked ----------------------------------------------------------------------------------------------------------------


async def test_a_host_that_was_down_is_left_alone_and_found_again() -> None:
    """Every session goes by what one has seen; `status` says so; one request finds out that it is back."""
    async with town([error(500)], [WELL]) as where:
        await saved(where)
        await saved(where)
        assert where.seen == [1, 2]
        (circuit,) = where.router.circuits()
        assert (circuit.target, circuit.state, circuit.code, circuit.failures) == ("a", "open", "provider_down", 1)
        where.time.ahead += 2
        assert [circuit.state for circuit in where.router.circuits()] == ["half-open"]
        await saved(where)
        assert where.seen == [1, 1]
        where.servers[0].choose = lambda _: WELL
        where.time.ahead += 3
        await saved(where)
        assert (where.seen, where.router.circuits()) == ([1, 0], ())


async def test_retry_after_is_waited_for() -> None:
    """By every session that has nobody else to ask, and not a moment less."""
    async with town([error(429, retry_after="20"), WELL]) as where:
        await saved(where, "a/x")
        assert where.seen == [2]
        assert len(where.time.waits) == 1 and 19 < where.time.waits[0] < 23


async def test_a_revoked_key_is_left_alone() -> None:
    """Keys take turns; the bad one gets one request."""

    def door(request: Request) -> Answer:
        return error(401) if request.headers["authorization"].endswith("revoked") else WELL

    async with town(door, keys=["sk-one", "sk-revoked", "sk-two"]) as where:
        for _ in range(21):
            await saved(where, "a/x")
        used = Counter(request.headers["authorization"].removeprefix("Bearer sk-") for request in where.servers[0].seen)
        assert used["revoked"] == 1 and used["one"] + used["two"] == 21 and abs(used["one"] - used["two"]) <= 1
        (circuit,) = where.router.circuits()
        assert (circuit.target, circuit.code) == ("a#2", "auth_failed")
        assert "revoked" not in repr(circuit)


@pytest.mark.slow
async def test_a_daemon_says_whom_it_leaves_alone_and_which_alias_is_gone() -> None:
    """`status` names the key by its number, never by itself; a session keeps its alias and follows the configuration."""
    with real.Models([{"reply": {"fail": {"status": 401}}}]) as first, real.Models([real.rule("", real.say("Hello."))]) as second:
        hosts = {"one": first, "two": second}
        providers = "".join(
            f'[providers.{name}]\nbase_url = "http://127.0.0.1:{host.port}/v1"\napi_keys = ["sk-very-secret-{name}"]\n'
            for name, host in hosts.items()
        )
        with real.Home() as home:
            home.write("config/config.toml", f'model = "best"\n{providers}[models]\nbest = ["one/x", "two/y"]\n').chmod(0o600)
            daemon = home.start()
            async with daemon.connect() as peer:
                session = await peer.create()
                for turn in (1, 2):
                    await peer.prompt(session, "hi")
                    assert (await peer.until("turn_finished", turn=turn))["data"]["outcome"] == "done"
                assert [len(host.requests()) for host in hosts.values()] == [1, 2]
                status = await peer.call("daemon/status")
                (circuit,) = status["circuits"]
                assert (circuit["target"], circuit["state"], circuit["code"]) == ("one#1", "open", "auth_failed")
                assert 290 < circuit["seconds"] <= 300
                assert "very-secret" not in str(status)
                home.write("config/config.toml", f'model = "two/y"\n{providers}')
                await peer.call("daemon/reload")
                await peer.prompt(session, "and now?")
                error = (await peer.until("turn_finished", turn=3))["data"]["error"]
                assert error["code"] == "invalid_params" and "no model alias 'best'" in error["message"]
                await peer.prompt(session, "with this", model="two/y")
                assert (await peer.until("turn_finished", turn=4))["data"]["outcome"] == "done"


SPLITS: dict[str, tuple[Strategy, tuple[int, int], list[int]]] = {
    "failover": ("failover", (1, 1), [1000, 0]),
    "round robin": ("round_robin", (1, 1), [500, 500]),
    "round robin by weight": ("round_robin", (7, 3), [700, 300]),
    "least busy": ("least_busy", (1, 1), [500, 500]),
    "least busy by weight": ("least_busy", (4, 1), [800, 200]),
}


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
async def test_a_thousand_requests(split: str) -> None:
    """Twenty at a time, each over the wire: the servers count what the strategy promises, exactly."""
    strategy, weights, counts = SPLITS[split]
    alias = Alias(models=("a/x", "b/x"), strategy=strategy, weights=weights)
    async with town([text("hi")], [text("hi")], aliases={"all": alias}) as where:
        prompt = Prompt(model="", system="be brief", messages=())

        async def ask() -> None:
            await where.router.request("all").drain(lambda _model, _limits: prompt, lambda _deltas: None)

        for _ in range(50):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(ask)
        assert where.seen == counts
        assert where.router.balance.busy.total() == 0
