"""The seam: what a continuation repeats is never shown twice, and what it does not is never lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.seam import TAIL, Seam, kept_text, overlap
from agentd.ports import Cited, Delta, Message, PartStart, PartText, Prompt, Sealed, Spent, Stop
from agentwire.types import Citation, Reasoning, Text, Usage
from tests.fakes.hosts import PROMPT, going_on

STORY = "The quick brown fox jumps over the lazy dog, and then it sleeps for 3.14 hours; 天气很好, isn't it?\n\n- yes\n- no\n"
START, STOP = PartStart(0, "text"), Stop("end")


def texts(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, PartText))


def going(kept: str, pieces: Sequence[str], *, prefill: bool = False) -> list[list[Delta]]:
    """What is shown of a continuation that comes in these pieces, read by read."""
    seam = Seam(kept, prefill=prefill)
    deltas: list[Delta] = [START, *[PartText(0, piece) for piece in pieces], STOP]
    return [seam.feed([delta]) for delta in deltas]


@pytest.mark.parametrize(
    ("kept", "text", "shown"),
    [
        ("Hel", "lo", "lo"),
        ("one two three ", "three four", "four"),
        ("one two three ", "two three four", "four"),
        ("one two three", " three four", " four"),
        ("one two thr", "three four", "ee four"),
        ("one two three ", "\n\nthree four", "four"),
        ("one two three ", "four", "four"),
        ("one two three four five ", "wo three four five six", "six"),
        ("|----------------", "----------------|", "----------------|"),
        ("one two three", "threefold", "fold"),
        ("one two three ", "threefold", "threefold"),
        ("Hello wor", "Hello world", "ld"),
        ("H", "Hello", "ello"),
        ("It is 3.1", "1", "1"),
        ("a, b, a, ", "a, c", "a, c"),
        ("| --- | ", "--- |", "--- |"),
        ("pi is 3.14159", "3.14159265", "265"),
        ("今天天气", "天气很好", "天气很好"),
        ("今天的天气", "的天气很好", "很好"),
        ("return x\n    ", "    return", "    return"),
        ("the cat and the cat", "the cat and the cat sat", " sat"),
        ("no words in common", "at all", "at all"),
        ("whatever", "", ""),
        ("---", "---", "---"),
    ],
)
def test_what_is_repeated(kept: str, text: str, shown: str) -> None:
    """The longest repetition counts; it begins with a word and has some letters, or is all that was shown."""
    assert text[overlap(kept, text) :] == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("over the lazy dog and", " and"), ("lazy dog and", "lazy dog and"), ("The quick", "The quick")]
)
def test_a_host_that_goes_on_by_itself(text: str, shown: str) -> None:
    """Only a long repetition is one: it knows what it has said."""
    kept = "The quick brown fox jumps over the lazy dog"
    assert text[overlap(kept, text, prefill=True) :] == shown


@pytest.mark.parametrize("length", [TAIL - 1, TAIL, TAIL + 1, 5 * TAIL])
def test_a_reply_that_begins_anew(length: int) -> None:
    """It is recognised whatever its length, and nothing of it is shown before it says something new."""
    kept = ("word " * length)[: length - 1] + "x"
    assert overlap(kept, kept + " more") == length
    pieces = [kept[at : at + 7] for at in range(0, length, 7)]
    assert [texts(shown) for shown in going(kept, [*pieces, " more", " and more"])][-3:] == [" more", " and more", ""]


def test_as_far_as_it_is_looked_for() -> None:
    """A step back of more than 200 characters that is not the beginning is a new text; so is one that begins anew otherwise."""
    kept = "".join(f"w{number} " for number in range(200))
    assert overlap(kept, kept[-TAIL:]) == TAIL
    assert overlap(kept, kept[-2 * TAIL :]) == 0
    assert overlap(kept, kept[:TAIL] + "otherwise") == 0


@given(st.integers(0, len(STORY) - 1), st.integers(0, TAIL), st.booleans())
def test_a_cut_anywhere(cut: int, back: int, space: bool) -> None:
    """Whoever goes on exactly, begins anew, or steps back to a word of three letters: the text is there once."""
    begin = max(0, cut - back)
    exact = overlap(STORY[:cut], STORY[cut:])
    assert exact == 0 or STORY[:cut].endswith(STORY[cut:][:exact])
    said, kept = STORY[begin:cut], STORY[:cut]
    boundary = begin == 0 or not (STORY[begin - 1].isalnum() and STORY[begin].isalnum())
    if boundary and sum(map(str.isalpha, said)) >= 3 and not said[0].isspace():
        text = ("\n" if space else "") + STORY[begin:]
        assert kept + text[overlap(kept, text) :] == STORY


@given(st.text(alphabet="ab c.", max_size=40), st.lists(st.text(alphabet="ab c.", max_size=8), max_size=8), st.booleans())
def test_split_anywhere(kept: str, pieces: list[str], prefill: bool) -> None:
    """However the continuation is cut into deltas, the same is shown, and nothing that comes after is held back for ever."""
    whole = "".join(pieces)
    shown = [delta for deltas in going(kept, pieces, prefill=prefill) for delta in deltas]
    assert texts(shown) == whole[overlap(kept, whole, prefill=prefill) :]
    assert shown[-1] == STOP
    assert [type(delta) for delta in shown[:1]] == [PartStart if texts(shown) or not kept else Stop]


def test_held_back_only_as_long_as_it_can_grow() -> None:
    """The first piece that says something new comes with all that was held."""
    shown = going("one two three ", ["t", "wo", " thr", "ee f", "our"])
    assert shown == [[], [], [], [], [START, PartText(0, "f")], [PartText(0, "our")], [STOP]]
    shown = going("one two three ", ["x", "y"])
    assert shown == [[], [START, PartText(0, "x")], [PartText(0, "y")], [STOP]]


def test_a_repetition_and_nothing_else() -> None:
    """No empty part is shown for it."""
    assert going("one two three", ["three"]) == [[], [], [STOP]]
    assert going("one two three", ["three", " four"]) == [[], [], [START, PartText(0, " four")], [STOP]]


def test_thoughts_before_the_text_pass() -> None:
    """Only the text is compared; usage never waits."""
    seam = Seam("one two three ")
    thought: list[Delta] = [PartStart(0, "reasoning"), PartText(0, "three?"), Sealed(0, {"provider": "x"})]
    assert seam.feed([*thought, Spent(Usage()), PartStart(1, "text")]) == [*thought, Spent(Usage())]
    assert seam.feed([PartText(1, "three"), Spent(Usage(input=1))]) == [Spent(Usage(input=1))]
    assert seam.feed([PartText(1, " four")]) == [PartStart(1, "text"), PartText(1, "four")]


@pytest.mark.parametrize("other", [PartStart(1, "tool_call", "x"), Cited(1, Citation(url="u")), PartStart(1, "text")])
def test_another_part_ends_the_waiting(other: Delta) -> None:
    """What is held back is decided, and all that follows passes."""
    seam = Seam("one two three ")
    assert seam.feed([START, PartText(0, "tw"), other]) == [START, PartText(0, "tw"), other]
    assert not seam.open
    seam = Seam("one two three")
    assert seam.feed([START, PartText(0, "three"), other, PartText(0, "!")]) == [START, other, PartText(0, "!")]


def test_a_call_before_any_text() -> None:
    seam = Seam("one two three ")
    call = PartStart(0, "tool_call", "x")
    assert seam.feed([call]) == [call]
    assert not seam.open


def test_what_is_gone_on_from() -> None:
    """The text of the last message, if it is the assistant's own and the prompt goes on from it."""
    assert kept_text(going_on("half")) == "half"
    assert kept_text(PROMPT) == ""
    parts = (Reasoning(text="hm"), Text(text="a "), Reasoning(text="hm"), Text(text="b"))
    assert kept_text(Prompt(model="", system="", messages=(Message("assistant", parts),), continuing=True)) == "a b"
    assert kept_text(Prompt(model="", system="", messages=(Message("user", parts[1:2]),), continuing=True)) == ""
    assert not Seam("").open
