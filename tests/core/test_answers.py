"""Answers that must follow a schema: accepted, sent back, given up; and schemas that are refused before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import Factory, define

from agentd.core import answers
from agentd.ports import Message, Prompt
from agentwire.errors import InvalidParams, ProviderDown
from tests.fakes.house import House, open_house
from tests.fakes.models import FakeModels, Reply, Say

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"], "additionalProperties": False}


@define
class Script:
    """Replies in order; the last one again and again. `asked`: the newest message at each request."""

    replies: list[Reply]
    asked: list[Message] = Factory(list)

    def __call__(self, prompt: Prompt) -> Reply:
        self.asked.append(prompt.messages[-1])
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


async def turn(house: House, *, schema: Any = SCHEMA) -> tuple[list[str], Any]:
    """The kinds of the events after the prompt, and the body of the last."""
    live = await house.create()
    await house.prompt(live, "how old?", schema=schema)
    await house.idle(live)
    return house.kinds(live)[3:], house.events[-1].body


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"age": 7}', ""),
        (' {"age": 7}\n', ""),
        ("seven", "it is no JSON"),
        ('{"age": "7"}', "$.age: '7' is not of type 'integer'"),
        ("{}", "'age' is a required property"),
        ('{"age": 7, "name": "x"}', "Additional properties are not allowed"),
        ("[" * 5000, "it is no JSON"),
    ],
)
async def test_rejection(text: str, reason: str) -> None:
    """The model reads where and why."""
    said = await answers.rejection(SCHEMA, text)
    assert reason in said
    assert bool(said) == bool(reason)
    assert len(said) < 500


async def test_nothing_is_fetched() -> None:
    """A schema that refers to elsewhere cannot be followed; nobody asks that address."""
    said = await answers.rejection({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, '{"a": 1}')
    assert "the schema cannot be followed" in said


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"properties": {"a": {"pattern": "(x+x+)+y"}}}, '{"a": "%s"}'),
        ({"patternProperties": {"(x+x+)+y": {}}}, '{"%s": 1}'),
        ({"patternProperties": {"(x+x+)+y": {}}, "additionalProperties": False}, '{"%s": 1}'),
        ({"patternProperties": {"(x+x+)+y": {}}, "unevaluatedProperties": False}, '{"%s": 1}'),
    ],
)
async def test_an_expression_that_never_ends(more: dict[str, Any], text: str) -> None:
    """It is given up, and holds up nobody meanwhile."""
    said = await answers.rejection({"type": "object", **more}, text % ("x" * 20_000))
    assert "takes too long" in said


async def test_properties_by_pattern() -> None:
    """What the library does with its own expressions."""
    schema = {"type": "object", "patternProperties": {"^n": {"type": "integer"}}, "additionalProperties": {"type": "string"}}
    assert await answers.rejection(schema, '{"n1": 1, "x": "y"}') == ""
    assert "$.n1: 'y' is not of type 'integer'" in await answers.rejection(schema, '{"n1": "y"}')
    assert "$.x: 1 is not of type 'string'" in await answers.rejection(schema, '{"x": 1}')
    assert await answers.rejection({"type": "object", "additionalProperties": True}, '{"x": 1}') == ""


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array"}, '"type" must be "object"'),
        ({"type": "object", "properties": {"a": {"type": "objekt"}}}, "is not valid"),
        ({"type": "object", "description": "x" * 70_000}, "at most 64 KiB"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"c": {}}}, "there is nothing at '#/$defs/b'"),
        ({"type": "object", "allOf": [{"$ref": "http://a.test/x"}]}, "nothing is fetched"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "'(' is not a 'regex'"),
    ],
)
async def test_unusable_schema(schema: dict[str, Any], said: str) -> None:
    """Refused at once; no turn begins."""
    async with open_house(FakeModels(Script([Say(["{}"])]))) as house:
        live = await house.create()
        with pytest.raises(InvalidParams, match=r"params\.schema") as caught:
            await house.prompt(live, "x", schema=schema)
        assert said in caught.value.message
        assert house.kinds(live) == ["session_created"]


async def test_references_within() -> None:
    """By pointer, escaped or not, and to itself."""
    refs = ["#/$defs/b", "#/$defs/x~1y", "#/allOf/0", "#"]
    schema = {"type": "object", "$defs": {"b": {}, "x/y": {}}, "allOf": [{}], "anyOf": [{"$ref": ref} for ref in refs]}
    await answers.refuse_unusable(schema)


async def test_deep_schema() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(100):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(InvalidParams, match="nested more than 64 deep"):
        await answers.refuse_unusable(schema)


async def test_answer_that_follows() -> None:
    """One request; the schema is in it."""
    models = FakeModels(Script([Say(['{"age"', ": 7}"])]))
    async with open_house(models) as house:
        assert (await turn(house))[0] == ["assistant_message", "turn_finished"]
    assert [prompt.schema for prompt in models.prompts] == [SCHEMA]


async def test_sent_back_once() -> None:
    """The model is told why, in the same turn, and its next answer counts."""
    script = Script([Say(["seven"]), Say(['{"age": 7}'])])
    async with open_house(FakeModels(script)) as house:
        kinds, last = await turn(house)
        assert kinds == ["assistant_message", "answer_rejected", "assistant_message", "turn_finished"]
        assert (last.outcome, last.steps) == ("done", 2)
    assert script.asked[1].role == "user"
    assert "it is no JSON" in str(script.asked[1].parts)


async def test_given_up() -> None:
    """After the third wrong answer; the session stays usable."""
    models = FakeModels(Script([Say(["seven"])]))
    async with open_house(models) as house:
        kinds, last = await turn(house)
        assert kinds == ["assistant_message", "answer_rejected"] * 2 + ["assistant_message", "turn_finished"]
        assert (last.outcome, last.error.code, last.steps) == ("failed", "invalid_answer", 3)
        models.script = Script([Say(["eight"])])
        live = await house.create()
        await house.prompt(live, "and you?")
        await house.idle(live)
        assert house.events[-1].body.outcome == "done"


async def test_answer_over_a_seam() -> None:
    """What came before the break and what came after it are one answer."""
    models = FakeModels(Script([Say(['{"age"'], error=ProviderDown("cut")), Say([": 7}"])]))
    async with open_house(models) as house:
        kinds, last = await turn(house)
        assert kinds == ["assistant_message", "reply_restarted", "assistant_message", "turn_finished"]
        assert last.outcome == "done"
