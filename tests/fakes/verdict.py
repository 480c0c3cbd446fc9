"""What clients were promised and saw, held against the log: nothing lost, doubled, reordered or changed.

Theory of operation: clients may be at work while the logs are read. What was known before must be in them; what is in them must be
known afterwards. Every fault is an AssertionError that names it; tests/flow/test_verdict.py shows that each kind is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from itertools import groupby
from pathlib import Path
from typing import Any

from attrs import frozen

from agentwire.errors import NotFound
from tests.fakes.history import Log, answers, iterate, outcomes, valid
from tests.fakes.real import Peer
from tests.fakes.witness import Asked, Witness, exactly

WRITES = ("session/prompt", "session/rename", "approval/answer")

Mark = tuple[str, Any]
"""A write as request and log both have it: ("input", number), ("title", text), ("answer", (call, decision))."""


async def judge(peer: Peer, witnesses: Sequence[Witness], effects: Path, *tools: str) -> dict[str, Log]:
    """Read the log of every session that a witness knows of and check it all; returns the logs of those that are there.

    `effects`: the file in which each call of `tools` writes a line that begins with its id.
    """
    before = Known.now(witnesses, effects)
    logs: dict[str, Log] = {}
    for session in sorted(set().union(*map(_sessions, before.witnesses))):
        with suppress(NotFound):
            logs[session] = await peer.log(session)
    check(before, logs, Known.now(witnesses, effects), tools)
    return logs


@frozen
class Known:
    """What the witnesses know at one moment, and how often each call has written its line by then."""

    witnesses: Sequence[Witness]
    lines: Mapping[str, int]

    @classmethod
    def now(cls, witnesses: Sequence[Witness], effects: Path) -> Known:
        return cls(deepcopy(witnesses), Counter(words[0] for words in iterate(effects)))

    def asked(self, session: str | None = None) -> list[Asked]:
        """All requests, or those about one session."""
        asked = (one for witness in self.witnesses for one in witness.asked)
        return [one for one in asked if session is None or one.params.get("session") == session]


def check(before: Known, logs: Mapping[str, Log], after: Known, tools: Collection[str]) -> None:
    """`logs`: of the sessions that are there. `before` and `after`: what was known when they were read. Whoever writes to a session
    must be among the witnesses: what nobody asked for is a fault, too."""
    _keys(after.asked())
    _existence(before.asked(), logs, after.asked())
    repeated = _repeated(after.asked())
    for session, log in logs.items():
        valid(log)
        _promised(before.asked(session), log)
        _counted(before.asked(session), log, after.asked(session))
        _effects(before.lines, log, after.lines, tools)
        for witness in before.witnesses:
            _seen(witness, session, log)
            _in_order(witness, session, log, repeated)


# --- what was asked and answered ------------------------------------------------------------------------------------------------


def _sessions(witness: Witness) -> set[str]:
    created = {one.answer["id"] for one in witness.asked if one.method == "session/create" and one.acknowledged}
    return created | witness.sights.keys() | {one.params["session"] for one in witness.asked if one.method in WRITES}


def _keys(asked: Iterable[Asked]) -> None:
    """The same key, the same answer."""
    keyed = sorted((one for one in asked if one.params.get("key") and one.acknowledged), key=lambda one: one.params["key"])
    for key, same in groupby(keyed, key=lambda one: one.params["key"]):
        different = {exactly(_lasting(one.answer)) for one in same}
        assert len(different) == 1, f"one key, two answers: {key}: {different}"


def _lasting(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a created session its id: the rest lives."""
    return {"id": answer["id"]} if "id" in answer else answer


def _existence(before: Sequence[Asked], logs: Mapping[str, Log], after: Sequence[Asked]) -> None:
    """What was created is there; what was deleted is gone."""
    gone = {one.params["session"] for one in before if one.method == "session/delete" and one.acknowledged}
    in_doubt = {one.params["session"] for one in after if one.method == "session/delete" and one.possible}
    assert not gone & logs.keys(), f"deleted, and still there: {gone & logs.keys()}"
    for one in before:
        if one.method in ("session/create", *WRITES) and one.acknowledged:
            session = one.params.get("session") or one.answer["id"]
            assert session in logs or session in in_doubt, f"acknowledged, and the session is not there: {one}"


def _promised(asked: Iterable[Asked], log: Log) -> None:
    """Every acknowledged write is in the log: a prompt where the answer said, all others somewhere."""
    decided = answers(log)
    titles = {event["data"]["title"] for event in log if event["kind"] == "session_renamed"}
    for one in asked:
        if not one.acknowledged:
            continue
        if one.method == "session/prompt":
            seq = one.answer["seq"]
            assert seq <= len(log), f"lost: {one}"
            event = log[seq - 1]
            assert (event["kind"], event["data"].get("input")) == ("input_accepted", one.answer["input"]), f"lost: {one}"
            assert event["data"]["parts"] == one.params["parts"], f"changed: {one}: {event}"
        elif one.method == "session/rename":
            assert one.params["title"] in titles, f"lost: {one}"
        elif one.method == "approval/answer":
            call = one.params["call"]
            assert decided.get(call) == one.params["decision"], f"lost: {one}: the log says {decided.get(call)}"


def _counted(before: Sequence[Asked], log: Log, after: Sequence[Asked]) -> None:
    """As often in the log as it was acknowledged, at most as often as it was asked; a key asks once, however often it is sent."""
    for method, kind, what in (("session/prompt", "input_accepted", "parts"), ("session/rename", "session_renamed", "title")):
        there = Counter(exactly(event["data"][what]) for event in log if event["kind"] == kind)
        least = _distinct([one.params for one in before if one.method == method and one.acknowledged], what)
        most = _distinct([one.params for one in after if one.method == method and one.possible], what)
        assert there >= least, f"lost: {least - there}"
        assert there <= most, f"doubled, or never asked for: {there - most}"


def _distinct(requests: Sequence[Mapping[str, Any]], what: str) -> Counter[str]:
    """How often each was asked for by requests that are not repetitions: same key, same content."""
    return Counter(said for _, said in {(params.get("key") or id(params), exactly(params[what])) for params in requests})


# --- order ----------------------------------------------------------------------------------------------------------------------


def _repeated(asked: Iterable[Asked]) -> set[str]:
    """Keys that were sent more than once: which of the requests was the one is not known."""
    return {key for key, times in Counter(one.params.get("key") or "" for one in asked).items() if key and times > 1}


def _in_order(witness: Witness, session: str, log: Log, repeated: set[str]) -> None:
    """What one connection was promised is in the log in the order in which it asked."""
    mine = [one for one in witness.asked if one.params.get("session") == session and one.acknowledged]
    sure = [one for one in mine if one.method in WRITES and one.params.get("key") not in repeated]
    for _, same in groupby(sure, key=lambda one: one.connection):
        written = _written(log)
        for one in same:
            assert _mark(one) in written, f"reordered: {one}"


def _mark(one: Asked) -> Mark:
    match one.method:
        case "session/prompt":
            return "input", one.answer["input"]
        case "session/rename":
            return "title", one.params["title"]
        case _:
            return "answer", (one.params["call"], one.params["decision"])


def _written(log: Log) -> Iterator[Mark]:
    for event in log:
        data = event["data"]
        match event["kind"]:
            case "input_accepted":
                yield "input", data["input"]
            case "session_renamed":
                yield "title", data["title"]
            case "approval_answered":
                yield "answer", (data["call"], data["decision"])


# --- what was seen --------------------------------------------------------------------------------------------------------------


def _seen(witness: Witness, session: str, log: Log) -> None:
    """Every event that was seen is there as it was."""
    sight = witness.sights.get(session)
    if sight is None:
        return
    assert sight.known <= len(log), f"lost: events up to {sight.known} were there, the log ends at {len(log)}"
    for event in sight.log:
        kept = log[event["seq"] - 1]
        assert exactly(kept) == exactly(event), f"changed: seen as {event}, kept as {kept}"


def _effects(before: Mapping[str, int], log: Log, after: Mapping[str, int], tools: Collection[str]) -> None:
    """Each effect at most once, none without its `tool_started`, and no `ok` without its effect."""
    planned = {event["data"]["call"]: event["data"]["name"] for event in log if event["kind"] == "tool_planned"}
    started = {event["data"]["call"] for event in log if event["kind"] == "tool_started"}
    for call, name in planned.items():
        times = after.get(call, 0)
        assert times <= 1, f"repeated: {call} had its effect {times} times"
        assert call not in before or call in started, f"an effect without its start: {call}"
        assert times or name not in tools or outcomes(log).get(call) != "ok", f"ok without its effect: {call}"
