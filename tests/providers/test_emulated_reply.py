"""What replies of models without tool calls or structured output become, in any split."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.ports import Cited, Delta, PartStart, PartText, Sealed, Spent, Stop
from agentd.providers.emulated_reply import CallReader, Reader, StructuredReader, Translator
from agentwire.types import Citation, StopReason, Usage
from tests.providers.scenes import whole
from tests.providers.test_emulated_json import CUTS, TEXTS, pieces

Parts = list[tuple[str, str, str]]


def translated(reader: Reader, replies: list[str], stop: StopReason = "end", *, respond: str = "") -> tuple[Parts, str | None]:
    translator = Translator(reader, respond=respond)
    deltas = translator.feed([PartStart(0, "text")])
    for piece in replies:
        deltas += translator.feed([PartText(0, piece)])
    found = whole([*deltas, *translator.feed([Spent(Usage()), Stop(stop)])])
    return list(found.parts), found.stop


def splits(text: str) -> Iterator[list[str]]:
    yield [text]
    yield list(text)
    yield pieces(text, list(range(0, len(text), 3)))


def say(text: str) -> tuple[str, str, str]:
    return ("text", "", text)


def call(name: str, arguments: str) -> tuple[str, str, str]:
    return ("tool_call", name, arguments)


CALLS: list[tuple[str, Parts]] = [
    ("just text, with no braces", [say("just text, with no braces")]),
    ('{"answer": "Gr\\u00fc\\u00dfe, \\ud83c\\udf89\\n\\"so\\""}', [say('Grüße, 🎉\n"so"')]),
    ('{\n  "answer" : "" }', []),
    ('{"answer": 4}', [say("4")]),
    ('{"answer": {"a": [1, "}"]}} ', [say('{"a": [1, "}"]}')]),
    ('{"name": "look", "arguments": {"at": "a } b"}}', [call("look", '{"at": "a } b"}')]),
    ('{"name": "look", "arguments": {"at": 1,}}', [call("look", '{"at": 1,}')]),
    ('{"name": "l\\u006fok", "arguments": {}, "id": {"x": "}"}}', [call("look", "{}")]),
    ('{"arguments": {"at": 1}, "name": "look"}', [call("look", '{"at":1}')]),
    ('{"name": "look", "arguments": {}}\n{"name": "read", "arguments": {"n": 1}}', [call("look", "{}"), call("read", '{"n": 1}')]),
    ('I will look.\n```json\n{"name": "look", "arguments": {}}\n```', [say("I will look.\n"), call("look", "{}")]),
    ('\n\n```\n{"answer": "yes"}\n```\n', [say("yes")]),
    ('```python\nprint({"a": 1})\n```', [say('```python\nprint({"a": 1})\n```')]),
    ('{"name": "Anna", "age": 3}', [say('{"name": "Anna", "age": 3}')]),
    ('{{"name": "look", "arguments": {}}', [say("{"), call("look", "{}")]),
    ("set {a, b} and {", [say("set {a, b} and {")]),
    ("`{x}` and ``", [say("`{x}` and ``")]),
    ("```" + " " * 50, [say("```" + " " * 50)]),
    ('{"answer": "half', [say("half")]),
    ('{"answer": "half \\ud83c', [say("half ")]),
    ('{"name": "look", "arguments": {"at": "ha', [call("look", '{"at": "ha')]),
    ('{"name": "lo', [say('{"name": "lo')]),
    ('{"ans', []),
    ('{"answer": ', []),
    ("{", []),
]


@pytest.mark.parametrize(("reply", "expected"), CALLS)
def test_calls_and_answers(reply: str, expected: Parts) -> None:
    """Answers are decoded, calls become parts of their own, all else is text: the same however the reply is cut."""
    stop = "tool_calls" if any(kind == "tool_call" for kind, _, _ in expected) else "end"
    for split in splits(reply):
        assert translated(CallReader(), split) == (expected, stop)


@given(TEXTS, CUTS)
def test_any_answer(text: str, cuts: list[int]) -> None:
    """Whatever is answered arrives, in any split."""
    expected = [say(text)] if text else []
    assert translated(CallReader(), pieces(json.dumps({"answer": text}), cuts)) == (expected, "end")


@given(st.text(alphabet='{}[]"`\\, :naswermugtj\n', max_size=60), CUTS)
def test_garbage_is_text(text: str, cuts: list[int]) -> None:
    """What is neither is the same in every split, and nothing fails on it."""
    assert translated(CallReader(), pieces(text, cuts)) == translated(CallReader(), [text])


@pytest.mark.parametrize("stop", ["length", "refused"])
def test_other_ends_are_kept(stop: StopReason) -> None:
    """A reply that was cut for its length says so, also inside a call."""
    assert translated(CallReader(), ['{"name": "look", "arguments": {"a'], stop) == ([call("look", '{"a')], stop)


def test_an_answer_streams() -> None:
    """Each piece of an answer is given at once; a call is known by name before its arguments are whole."""
    translator = Translator(CallReader())
    assert translator.feed([PartStart(0, "text"), PartText(0, '{"answer": "One')]) == [PartStart(0, "text"), PartText(0, "One")]
    assert translator.feed([PartText(0, " two")]) == [PartText(0, " two")]
    translator = Translator(CallReader())
    given = translator.feed([PartStart(0, "text"), PartText(0, '{"name": "look", "arguments": {"a"')])
    assert given == [PartStart(0, "tool_call", "look"), PartText(0, '{"a"')]


def test_what_is_not_text_passes() -> None:
    """Reasoning, its seal and citations keep their place between the parts that are made."""
    translator = Translator(CallReader())
    citation = Citation(url="https://example.org", title="Example")
    deltas: list[Delta] = [
        PartStart(0, "reasoning"),
        PartText(0, "hm"),
        Sealed(0, {"provider": "x"}),
        PartStart(1, "text"),
        PartText(1, 'so {"name": "look", "arguments": {}} then'),
        Cited(2, citation),
        Stop("end"),
    ]
    assert translator.feed(deltas) == [
        PartStart(0, "reasoning"),
        PartText(0, "hm"),
        Sealed(0, {"provider": "x"}),
        PartStart(1, "text"),
        PartText(1, "so "),
        PartStart(2, "tool_call", "look"),
        PartText(2, "{}"),
        PartStart(3, "text"),
        PartText(3, "then"),
        Cited(4, citation),
        Stop("tool_calls"),
    ]


def test_text_goes_on_as_it_was() -> None:
    """Where a reply continues shown text, its first space counts."""
    assert translated(CallReader(begun=True), [" and on"]) == ([say(" and on")], "end")


STRUCTURED = [
    ('{"a": 1}', '{"a": 1}'),
    ('  \n{"a": {"b": "}"}} That is it.', '{"a": {"b": "}"}}'),
    ('```json\n{"a": 1}\n```\n', '{"a": 1}'),
    ('Here it is:\n\n```json\n{"a": 1}\n```', '{"a": 1}'),
    ('The set {x}, as JSON: {"a": 1}.', '{"a": 1}'),
    ("I cannot do that {sorry}.", "I cannot do that {sorry}."),
    ('{"a": "cut', '{"a": "cut'),
    ("", ""),
]


@pytest.mark.parametrize(("reply", "expected"), STRUCTURED)
def test_structured(reply: str, expected: str) -> None:
    """The JSON alone, without fences and words; a reply that has none is given as it is."""
    for split in splits(reply):
        assert translated(StructuredReader(), split) == ([say(expected)] if expected else [], "end")


def test_structured_streams() -> None:
    """JSON that comes first is given as it comes."""
    translator = Translator(StructuredReader())
    translator.feed([PartStart(0, "text"), PartText(0, "```json\n")])
    assert translator.feed([PartText(0, '{"a": ')]) == [PartStart(0, "text"), PartText(0, '{"a": ')]


def test_responding_is_the_answer() -> None:
    """The arguments of the tool `respond` are the reply's text, the words before it are not."""
    translator = Translator(StructuredReader(), respond="respond")
    deltas: list[Delta] = [PartStart(0, "text"), PartText(0, "I answer."), PartStart(1, "tool_call", "respond")]
    given = translator.feed([*deltas, PartText(1, '{"a"'), PartText(1, ": 1}"), Stop("tool_calls")])
    assert given == [PartStart(0, "text"), PartText(0, '{"a": 1}'), Stop("end")]


def test_other_calls_beside_respond() -> None:
    """A model that calls a real tool first is not answering yet, and what it says is kept."""
    translator = Translator(StructuredReader(), respond="respond")
    deltas: list[Delta] = [PartStart(0, "text"), PartText(0, "I look."), PartStart(1, "tool_call", "look"), PartText(1, "{}")]
    found = whole(translator.feed([*deltas, Stop("tool_calls")]))
    assert (found.parts, found.stop) == ((call("look", "{}"), say("I look.")), "tool_calls")
