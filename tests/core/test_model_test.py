"""What is tried with a model, and what people are told to do about what fails."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest
import trio
import trio.testing

from agentd.core.model_test import check_model
from agentd.ports import Delta, ModelLimits, PartStart, PartText, Spent, Stop
from agentwire.errors import AuthFailed, BadRequest, OutOfCredit, ProviderError, ProviderTimeout, RateLimited
from agentwire.types import ModelCheck, Usage
from tests.fakes.hosts import Host, Play, down

SPENT = Spent(Usage(input=12, output=30))
WORDS = Play(PartStart(0, "text"), PartText(0, "one two "), PartText(0, "three"), SPENT, Stop("end"))
CALLED = Play(PartStart(0, "tool_call", "look_up_weather"), PartText(0, '{"city": "Paris"}'), Stop("tool_calls"))
FOLLOWED = Play(PartStart(0, "text"), PartText(0, '{"city": "Paris"}'), Stop("end"))
WELL = (WORDS, CALLED, FOLLOWED)


async def check(*script: Play, pullable: bool = False) -> dict[str, ModelCheck]:
    ticks = count()
    checks = await check_model(Host("a", *script), "one", pullable=pullable, now=lambda: float(next(ticks)))
    return {one.name: one for one in checks}


def outcomes(checks: dict[str, ModelCheck]) -> list[str]:
    return [one.outcome for one in checks.values()]


async def test_a_model_that_works() -> None:
    """What was seen of it, and how long it took."""
    checks = await check(*WELL)
    assert [(one.name, one.outcome, one.detail) for one in checks.values()] == [
        ("connect", "ok", ""),
        ("first token", "ok", ""),
        ("streaming", "ok", "2 pieces, 30 tokens/s"),
        ("tool call", "ok", 'look_up_weather({"city": "Paris"})'),
        ("structured output", "ok", '{"city": "Paris"}'),
        ("usage", "ok", "12 tokens in, 30 out"),
    ]
    assert [checks[name].seconds for name in ("connect", "first token", "streaming")] == [1, 2, 1]


async def test_thoughts_are_a_sign_of_life() -> None:
    """A model may think at length before it says its first word."""
    thinks = Play(PartStart(0, "reasoning"), PartText(0, "hm"), PartText(0, "so"), SPENT, Stop("length"))
    assert outcomes(await check(thinks, *WELL[1:])) == ["ok"] * 6


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            AuthFailed("no key"),
            "`agentctl daemon restart`; or providers.a.api_key in the configuration, then `agentctl daemon reload`.",
        ),
        (OutOfCredit("empty"), "Add credit"),
        (RateLimited("slow down"), "Wait a little"),
        (ProviderTimeout("silence"), "timeouts.first_event"),
        (down(), "providers.a.base_url"),
        (BadRequest("no such model"), "agentctl model list --refresh"),
        (ProviderError("odd"), ""),
    ],
)
async def test_a_host_that_does_not_answer(error: ProviderError, remedy: str) -> None:
    """What it says, what to do; nothing further is tried."""
    checks = await check(Play(entering=error))
    assert outcomes(checks) == ["failed", *["skipped"] * 5]
    said = checks["connect"]
    assert (said.detail, said.code) == (error.message, error.code)
    assert remedy in said.remedy


async def test_every_key() -> None:
    """A pool with a key that is refused is not well, and the user reads which one it is; the rest is tried all the same."""
    host = Host("a", WORDS, FOLLOWED, Play(entering=AuthFailed("revoked")), CALLED, FOLLOWED, keys=3)
    checks: dict[str, ModelCheck] = {one.name: one for one in await check_model(host, "one")}
    assert [key for _, key in host.asked] == [0, 1, 2, 0, 0]
    assert outcomes(checks) == ["failed", *["ok"] * 5]
    assert (checks["connect"].detail, checks["connect"].code) == ("key 3 of 3: revoked", "auth_failed")
    assert checks["connect"].remedy.startswith("Replace key 3 of 3")


async def test_the_first_key_is_refused() -> None:
    """The others are tried, and the rest with the first of them that works; every one that does not is named."""
    revoked, empty = Play(entering=AuthFailed("revoked")), Play(entering=OutOfCredit("empty"))
    host = Host("a", revoked, WORDS, empty, revoked, CALLED, FOLLOWED, keys=4)
    checks: dict[str, ModelCheck] = {one.name: one for one in await check_model(host, "one")}
    assert [key for _, key in host.asked] == [0, 1, 2, 3, 1, 1]
    assert outcomes(checks) == ["failed", *["ok"] * 5]
    assert checks["connect"].detail == "key 1 of 4: revoked; key 3 of 4: empty; key 4 of 4: revoked"
    assert checks["connect"].remedy.startswith("Replace key 1 of 4, key 4 of 4 ")


async def test_no_key_works() -> None:
    """Each is named, and nothing further is tried; where the host is down one is enough."""
    host = Host("a", Play(entering=AuthFailed("revoked")), Play(entering=OutOfCredit("empty")), keys=2)
    checks: dict[str, ModelCheck] = {one.name: one for one in await check_model(host, "one")}
    assert outcomes(checks) == ["failed", *["skipped"] * 5]
    assert checks["connect"].detail == "key 1 of 2: revoked; key 2 of 2: empty"
    silent = Host("a", Play(entering=down()), keys=2)
    await check_model(silent, "one")
    assert [key for _, key in silent.asked] == [0]


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai", "Set OPENAI_API_KEY,"),
        ("my-lab", "Set AGENTD_PROVIDERS_MY_LAB_API_KEY,"),
        ("dashscope", "Set AGENTD_PROVIDERS_DASH"),
    ],
)
async def test_the_variable_of_a_key(name: str, variable: str) -> None:
    """The one that is read: what is not a vendor's name has only that of its configuration."""
    refused, *_ = await check_model(Host(name, Play(entering=AuthFailed("no key"))), "one")
    assert refused.remedy.startswith(variable)


async def test_a_model_that_could_be_fetched() -> None:
    checks = await check(Play(entering=BadRequest("not found")), pullable=True)
    assert "`agentctl model pull a/one`" in checks["connect"].remedy


async def test_a_reply_that_breaks_off() -> None:
    """The first token came; the rest is tried by itself."""
    broken = Play(PartStart(0, "text"), PartText(0, "one"), after=down())
    checks = await check(broken, *WELL[1:])
    assert outcomes(checks) == ["ok", "ok", "failed", "ok", "ok", "skipped"]
    assert (checks["streaming"].detail, checks["streaming"].code) == ("down", "provider_down")


async def test_an_empty_reply() -> None:
    checks = await check(Play(Stop("end")), *WELL[1:])
    assert outcomes(checks) == ["ok", "failed", "skipped", "ok", "ok", "failed"]
    assert checks["first token"].detail == "the reply was empty"


async def test_a_reply_in_one_piece() -> None:
    """Something holds replies back: nobody sees the model write."""
    checks = await check(Play(PartStart(0, "text"), PartText(0, "one two"), SPENT, Stop("end")), *WELL[1:])
    assert (checks["streaming"].outcome, checks["streaming"].code) == ("failed", "")
    assert "proxy" in checks["streaming"].remedy


@pytest.mark.parametrize(
    ("deltas", "seen"),
    [
        ([PartStart(0, "text"), PartText(0, "It is sunny.")], "it called no tool, but said: It is sunny."),
        ([PartStart(0, "tool_call", "other"), PartText(0, "{}")], "it called other({})"),
        ([PartStart(0, "tool_call", "look_up_weather"), PartText(0, '{"ci')], 'it called look_up_weather({"ci)'),
    ],
)
async def test_a_model_that_cannot_call_tools(deltas: Sequence[Delta], seen: str) -> None:
    """It can be made to; the user reads how."""
    checks = await check(WORDS, Play(*deltas, Stop("end")), FOLLOWED)
    assert (checks["tool call"].outcome, checks["tool call"].detail) == ("failed", seen)
    assert 'tools = "emulated"' in checks["tool call"].remedy


async def test_a_model_without_tools() -> None:
    class Plain(Host):
        def limits(self, model: str) -> ModelLimits:
            return ModelLimits(context=100, max_output=10, tools=False)

    checks = {one.name: one for one in await check_model(Plain("a", WORDS, FOLLOWED), "one")}
    assert (checks["tool call"].outcome, checks["structured output"].outcome) == ("skipped", "ok")


async def test_an_answer_that_follows_no_schema() -> None:
    checks = await check(WORDS, CALLED, Play(PartStart(0, "text"), PartText(0, "Paris. " * 20), Stop("end")))
    said = checks["structured output"]
    assert said.outcome == "failed"
    assert said.detail.startswith("it does not follow the schema: Paris.")
    assert len(said.detail) < 80


async def test_a_host_that_reports_no_usage() -> None:
    checks = await check(Play(PartStart(0, "text"), PartText(0, "a"), PartText(0, "b"), Stop("end")), *WELL[1:])
    assert (checks["usage"].outcome, checks["usage"].detail) == ("failed", "its host reports none")


async def test_a_host_that_hangs(autojump_clock: trio.testing.MockClock) -> None:
    """A minute for each request at most."""
    hangs = Play(PartStart(0, "text"), PartText(0, "a"), gate=trio.Event())
    checks = await check_model(Host("a", hangs), "one")
    assert [one.detail for one in checks if one.outcome == "failed"] == ["it took more than 60 s"] * 3
    assert trio.current_time() == pytest.approx(180, abs=1)
