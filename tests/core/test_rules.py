"""What a rule speaks of, and that a proposed one speaks of just what was asked about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.rules import Call, anchored, literal_path, matches, proposal
from agentwire.rules import mistake
from agentwire.types import Access, Rule, Verdict

CWD, HOME = "/w", "/home/ann"


def says(text: str, call: Call, verdict: Verdict = "allow") -> bool:
    return matches(Rule(rule=text, verdict=verdict, scope="user"), call, CWD, HOME)


def command(*words: str, networked: bool = False) -> Call:
    return Call("shell", Access(kind="command", words=words), networked)


def path(kind: str, target: str, tool: str = "grep") -> Call:
    return Call(tool, Access(kind=kind, target=target))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "words", "speaks"),
    [
        ("shell(git status *)", "git status", True),
        ("shell(git status *)", "git status -s x", True),
        ("shell(git status *)", "git statusx", False),
        ("shell(git status *)", "git -C status", False),
        ("shell(git status)", "git status -s", False),
        ("shell(git * status)", "git x status", True),
        ("shell(git * status)", "git status", False),
        ("shell(npm run test:*)", "npm run test:unit", True),
        ("shell(npm run test:*)", "npm run test: x", False),
        ("shell(ls)", "/bin/ls", False),
        ("shell(*)", "anything at all", True),
        ("shell('*')", "*", True),
        ("shell('*')", "x", False),
        ("shell(ls '*')", "ls x", False),
        ("other(ls *)", "ls", False),
        ("sh*(ls *)", "ls", True),
        ("shell(network:ls)", "ls", False),
        ("fetch(domain:ls)", "ls", False),
        ("read(ls)", "ls", False),
    ],
)
def test_commands(rule: str, words: str, speaks: bool) -> None:
    """Word by word; a star is within a word, but the last."""
    assert says(rule, command(*words.split())) is speaks


def test_what_forbids_goes_by_the_program() -> None:
    """Wherever it lies; what allows goes by just what was written."""
    call = command("/usr/bin/git", "push")
    assert says("shell(git push *)", call, "deny") and says("shell(git push *)", call, "ask")
    assert not says("shell(git push *)", call)


def test_the_network_is_allowed_apart() -> None:
    """What allows a command allows it without the network, unless it says so; what forbids one forbids it with and without."""
    plain, networked = command("npm", "ci"), command("npm", "ci", networked=True)
    assert says("shell(npm ci)", plain) and not says("shell(npm ci)", networked)
    assert says("shell(network:npm ci)", networked) and not says("shell(network:npm ci)", plain)
    assert says("shell(npm ci)", networked, "deny") and not says("shell(network:npm ci)", plain, "deny")
    whole = Call("shell", Access(kind="network", target="*"))
    assert not says("shell", whole) and says("*", whole) and says("shell", whole, "deny")


@pytest.mark.parametrize(
    ("rule", "target", "speaks"),
    [
        ("read(./src/**)", "/w/src/a/b", True),
        ("read(./src/**)", "/w/src", True),
        ("read(./src/**)", "/w/srcx", False),
        ("read(src/*.py)", "/w/src/a.py", True),
        ("read(src/*.py)", "/w/src/a/b.py", False),
        ("read(**/x)", "/w/a/b/x", True),
        ("read(**/x)", "/w/x", True),
        ("read(/etc/../w/x)", "/w/x", True),
        ("read(~/x)", "/home/ann/x", True),
        ("read(~)", "/home/ann", True),
        ("read(/w/x)", "/w/x/y", False),
        ("read(/w/a.b)", "/w/aXb", False),
    ],
)
def test_paths(rule: str, target: str, speaks: bool) -> None:
    """From the session's directory, or a home, on; whichever tool wants it."""
    assert says(rule, path("read", target)) is speaks
    assert not says(rule, path("write", target))
    assert says(rule.replace("read(", "edit("), path("write", target, "shell")) is speaks


@pytest.mark.parametrize(
    ("rule", "host", "speaks"),
    [
        ("fetch(domain:example.org)", "example.org", True),
        ("fetch(domain:Example.org.)", "example.org", True),
        ("fetch(domain:example.org)", "www.example.org", False),
        ("fetch(domain:*.example.org)", "www.example.org", True),
        ("fetch(domain:*.example.org)", "example.org", False),
        ("fetch(domain:*.example.org)", "badexample.org", False),
        ("fetch(domain:example.org)", "*", False),
    ],
)
def test_hosts(rule: str, host: str, speaks: bool) -> None:
    """A host, or those below it; never the whole network."""
    assert says(rule, Call("fetch", Access(kind="network", target=host))) is speaks


def test_a_bare_name_is_all_of_a_tool() -> None:
    """Whatever it does, and also where that cannot be told."""
    for call in (Call("look", None), Call("look", Access(kind="unclear", target="x")), path("read", "/x", "look")):
        assert says("look", call) and says("l*", call) and not says("lookup", call)


def test_a_rule_without_a_directory() -> None:
    """It gets one: where it was written."""
    assert anchored("read(./a/*)", "/p") == "read(/p/a/*)"
    assert [anchored(rule, "/p") for rule in ("read(/a)", "write(~/a)", "shell(./a)", "read", "read(*)")] == [
        *("read(/a)", "write(~/a)", "shell(./a)", "read", "read(*)")
    ]


def test_paths_that_walls_can_be_made_of() -> None:
    """One path, or all below it."""
    assert literal_path("read(./a/**)", CWD, HOME) == ("read", "/w/a")
    assert literal_path("edit(~/x)", CWD, HOME) == ("write", "/home/ann/x")
    assert [literal_path(rule, CWD, HOME) for rule in ("read(*.key)", "read", "shell(ls)", "(")] == [None] * 4


# --- proposals -------------------------------------------------------------------------------------------------------------------

WORDS = st.lists(
    st.one_of(
        st.text(max_size=8), st.sampled_from(["*", "a*", "'", '"', "it's", "a'b\"c", "", " ", "network:x", "domain:x", ")", "(*)"])
    ),
    min_size=1,
    max_size=5,
)


@given(words=WORDS, others=WORDS, networked=st.booleans())
def test_a_proposal_is_about_just_this_command(words: list[str], others: list[str], networked: bool) -> None:
    """It is a rule, it speaks of the command, and of no other, whatever is in it: nothing is won by quoting."""
    call = command(*words, networked=networked)
    rule = proposal("shell", call.access, networked=networked)
    assert mistake(rule) == "" and says(rule, call)
    assert says(rule, command(*others, networked=networked)) is (words == others)
    assert not says(rule, command(*words, "more", networked=networked))
    assert not says(rule, command(*words, networked=not networked))


@given(words=WORDS, at=st.integers(0, 4), letter=st.characters())
def test_a_proposal_tells_commands_apart(words: list[str], at: int, letter: str) -> None:
    """Also those that differ in one letter."""
    rule = proposal("shell", Access(kind="command", words=tuple(words)), networked=False)
    other = [*words]
    other[at % len(words)] += letter
    assert not says(rule, command(*other))


PATHS = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8), max_size=4
).map(lambda parts: "/" + "/".join(part for part in parts if part not in (".", "..")))


@given(target=PATHS, other=PATHS, kind=st.sampled_from(["read", "write"]))
def test_a_proposal_is_about_just_this_path(target: str, other: str, kind: str) -> None:
    """Or there is none."""
    rule = proposal("shell", Access(kind=kind, target=target), networked=False)  # type: ignore[arg-type]
    if "*" in target:
        assert rule == ""
    else:
        assert mistake(rule) == "" and says(rule, path(kind, target))
        assert says(rule, path(kind, other)) is (other == target)


@pytest.mark.parametrize(
    ("tool", "access", "rule"),
    [
        ("look", None, "look"),
        ("odd.name", None, ""),
        ("shell", Access(kind="command", words=("git", "push")), "shell(git push)"),
        ("shell", Access(kind="command", words=("echo", "it's *")), 'shell(echo "it\'s *")'),
        ("fetch", Access(kind="network", target="example.org"), "fetch(domain:example.org)"),
        ("shell", Access(kind="network", target="*"), ""),
        ("shell", Access(kind="unclear", target="x"), ""),
        ("shell", Access(kind="command"), ""),
    ],
)
def test_proposals(tool: str, access: Access | None, rule: str) -> None:
    """As a person would write them; none where none is narrow."""
    assert proposal(tool, access, networked=False) == rule
