"""Which reply a request gets: in order, or by what it says, so that after a restart the same history gets the same reply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

from agentd.providers.chat_request import CONTINUE
from tests.fakes.model_script import (
    Answer,
    Broken,
    Call,
    Cite,
    Cut,
    Drop,
    Event,
    Fail,
    Hang,
    Huge,
    Pause,
    Pings,
    Redacted,
    Reply,
    Say,
    Silent,
    Spend,
    Step,
    Think,
    Tokens,
    error,
)
from tests.fakes.voices.by_path import voice_of


@frozen
class Request:
    """One request as the server saw it. `at`: time.monotonic(); `connection` and `number` count from 1."""

    number: int
    connection: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    raw: bytes
    at: float

    @property
    def messages(self) -> list[dict[str, Any]]:
        """As Chat Completions has them, whatever the dialect."""
        return voice_of(self.path, self.headers).messages(self.body)

    @property
    def last_user(self) -> str:
        """The text of the last message that a person wrote."""
        return next((m["content"] for m in reversed(self.messages) if _person(m)), "")

    @property
    def after_tools(self) -> int:
        """How many tool results follow that message."""
        count = 0
        for message in reversed(self.messages):
            if _person(message):
                break
            count += message["role"] == "tool"
        return count

    @property
    def partial(self) -> str:
        """The text that the client has of this reply already, if it asks to go on; else empty."""
        *_, last = [{"role": "", "content": ""}, *[m for m in self.messages if m.get("content") != CONTINUE]]
        return str(last["content"] or "") if last["role"] == "assistant" else ""


def _person(message: Mapping[str, Any]) -> bool:
    return bool(message["role"] == "user" and message["content"] != CONTINUE)


Choose = Callable[[Request], Answer]


@frozen
class Rule:
    """Holds where `match` is found in the last person's text and, if `after_tools` is given, so many tool results follow it.

    `times`: it answers so many requests and then holds no more (a server that fails and recovers).
    """

    reply: Answer
    match: str = ""
    after_tools: int | None = None
    times: int | None = None

    def fits(self, request: Request) -> bool:
        if re.search(self.match, request.last_user) is None:
            return False
        return self.after_tools is None or self.after_tools == request.after_tools


def by_rules(rules: Iterable[Rule]) -> Choose:
    """The first rule that fits answers: the same history gets the same reply, whatever came before.

    A client that asks to go on with a reply that was cut gets the rest of it, without the cut.
    """
    table = tuple(rules)
    used = [0] * len(table)

    def choose(request: Request) -> Answer:
        answer: Answer = error(400, "no rule of the script fits")
        for number, rule in enumerate(table):
            if rule.fits(request) and (rule.times is None or used[number] < rule.times):
                used[number] += 1
                answer = rule.reply
                break
        if not request.partial or not isinstance(answer, Reply):
            return answer
        whole = evolve(answer, steps=tuple(step for step in answer.steps if not isinstance(step, (Cut, Hang, Pings))))
        return whole.resumed(request.partial)

    return choose


def in_order(answers: Iterable[Answer]) -> Choose:
    """The n-th request gets the n-th answer; the last one is repeated."""
    table = tuple(answers)
    return lambda request: table[min(request.number, len(table)) - 1]


_STEPS: Mapping[str, type[Any]] = {
    cls.__name__.lower(): cls for cls in (Say, Tokens, Think, Redacted, Call, Cite, Event, Broken, Huge, Pause, Cut, Hang, Pings)
}
_ANSWERS: Mapping[str, type[Any]] = {cls.__name__.lower(): cls for cls in (Fail, Drop, Silent)}


def load_rules(text: str) -> list[Rule]:
    """Rules from JSON: `[{"match": "regex", "after_tools": 0, "reply": {"steps": [{"verb": "say", "text": "hi"}]}}]`.

    A rule may have `times`. A reply has the fields of `Reply`, or is `{"fail": {"status": 500}}`, `{"drop": {}}`, `{"silent": {}}`.
    """
    return [
        Rule(_answer(rule["reply"]), rule.get("match", ""), rule.get("after_tools"), rule.get("times")) for rule in json.loads(text)
    ]


def _answer(value: dict[str, Any]) -> Answer:
    for name, cls in _ANSWERS.items():
        if name in value:
            answer: Answer = cls(**value[name])
            return answer
    usage = Spend(**value.pop("usage")) if value.get("usage") else Spend()
    return Reply([_step(dict(step)) for step in value.pop("steps")], usage=usage, **value)


def _step(value: dict[str, Any]) -> Step:
    step: Step = _STEPS[value.pop("verb")](**value)
    return step
