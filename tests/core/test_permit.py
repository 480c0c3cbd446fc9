"""decide and walls: deny over ask over allow, then the mode, then the tool's own policy; and what surrounds a call."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.permit import Policy, decide, hidden, of_lists, walls
from agentwire.types import Access, Rule
from tests.fakes.tools import spec


def ruled(**lists: Any) -> Policy:
    return Policy(rules=of_lists(**lists, scope="configuration"))


@pytest.mark.parametrize(
    ("policy", "own", "verdict"),
    [
        (Policy(), "allow", "allow"),
        (Policy(), "ask", "ask"),
        (Policy(), "deny", "deny"),
        (ruled(allow=["look"]), "ask", "allow"),
        (ruled(allow=["look(*)"]), "ask", "allow"),
        (ruled(allow=["*"]), "ask", "allow"),
        (ruled(allow=["lookup"]), "ask", "ask"),
        (ruled(allow=["look"], ask=["look"]), "allow", "ask"),
        (ruled(allow=["look"], ask=["look"], deny=["look"]), "allow", "deny"),
        (ruled(deny=["*"]), "allow", "deny"),
    ],
)
def test_the_verdict(policy: Policy, own: str, verdict: str) -> None:
    """The strongest rule that names the tool decides."""
    assert decide(policy, spec("look", policy=own), ()).verdict == verdict


@pytest.mark.parametrize(
    ("policy", "path", "left_out"),
    [
        (Policy(), "/work/a", False),
        (Policy(hide=("/work/own",)), "/work/own/key", True),
        (Policy(hide=("/work/own",), mode="bypass"), "/work/own/key", False),
        (ruled(deny=["read(/work/**/.env)"]), "/work/a/.env", True),
        (ruled(deny=["read(/work/**/.env)"]), "/work/a/env", False),
        (ruled(ask=["read(/work/secrets/**)"]), "/work/secrets", True),
        (ruled(allow=["read(/work/secrets/**)"]), "/work/secrets", False),
    ],
)
def test_what_is_left_out_where_a_tool_looks_through_a_directory(policy: Policy, path: str, left_out: bool) -> None:
    """What would be refused or asked about by itself is not found by looking for it either."""
    assert hidden(policy, "grep", (), path) == left_out


def test_bypass_looks_where_it_would_be_asked() -> None:
    """Only rules that deny hold there."""
    bypass = evolve(ruled(ask=["read(/a/**)"], deny=["read(/b/**)"]), mode="bypass")
    assert not hidden(bypass, "grep", (), "/a/x")
    assert hidden(bypass, "grep", (), "/b/x")


def test_what_was_asked_about_is_looked_through() -> None:
    """The rule that wanted a question for the directory has had its answer; others inside still hold."""
    policy = ruled(ask=["read(/a/**)"], deny=["read(/a/keys/**)"])
    agreed = [Access(kind="read", target="/a")]
    assert hidden(policy, "grep", (), "/a/x")
    assert not hidden(policy, "grep", agreed, "/a/x")
    assert hidden(policy, "grep", agreed, "/a/keys/x")


# --- what decides ----------------------------------------------------------------------------------------------------------------

WORK = Policy(roots=("/work",), home="/home/ann", write=("/cache",), read=("/data",), hide=("/work/own",))


def told(kind: str, target: str = "", *words: str) -> Access:
    return Access(kind=kind, target=target, words=words)  # type: ignore[arg-type]


def shell(*words: str) -> Access:
    return Access(kind="command", words=words)


@pytest.mark.parametrize(
    ("access", "verdicts"),
    [
        # in the modes default, accept-edits, plan, dont-ask, bypass
        (told("read", "/work/a"), "allow allow allow allow allow"),
        (told("read", "/data/a"), "allow allow allow allow allow"),
        (told("read", "/usr/include/x.h"), "allow allow allow allow allow"),
        (told("read", "/etc/passwd"), "allow allow allow allow allow"),
        (told("read", "/etc/shadow"), "ask ask ask deny allow"),
        (told("read", "/home/ann/.ssh/id_rsa"), "ask ask ask deny allow"),
        (told("read", "/work/own/key"), "deny deny deny deny allow"),
        (told("write", "/work/a"), "allow allow deny allow allow"),
        (told("write", "/cache/a"), "allow allow deny allow allow"),
        (told("write", "/data/a"), "ask ask deny deny allow"),
        (told("write", "/work/.git/hooks/x"), "deny deny deny deny allow"),
        (told("write", "/work/a/.agentd/config.toml"), "deny deny deny deny allow"),
        (told("write", "/work/.git/config"), "ask ask deny deny allow"),
        (told("write", "/work/own/x"), "deny deny deny deny allow"),
        (shell("git", "status"), "allow allow allow allow allow"),
        (shell("make"), "allow allow deny allow allow"),
        (shell("rm", "x"), "ask allow deny deny allow"),
        (shell("fly"), "ask ask deny deny allow"),
        (told("network", "example.org"), "ask ask ask deny allow"),
        (told("network", "*"), "ask ask ask deny allow"),
        (told("unclear", "why"), "ask ask ask deny allow"),
    ],
)
def test_where_no_rule_speaks_the_mode_does(access: Access, verdicts: str) -> None:
    """What stays in the workspace may happen, what leaves it is asked about; nothing is changed in mode plan, nobody is asked in
    dont-ask, and in bypass only rules hold."""
    modes = ("default", "accept-edits", "plan", "dont-ask", "bypass")
    found = [decide(evolve(WORK, mode=mode), spec("shell"), [access]).verdict for mode in modes]  # type: ignore[arg-type]
    assert " ".join(found) == verdicts


@pytest.mark.parametrize(
    ("rule", "access"),
    [
        ("write(/work/**)", told("write", "/work/.git/hooks/x")),
        ("write(/work/**)", told("write", "/work/own/x")),
        ("read(/work/**)", told("read", "/work/own/x")),
        ("edit", told("write", "/work/.agentd/config.toml")),
        ("*", told("write", "/work/.agentd/config.toml")),
    ],
)
def test_what_no_rule_allows(rule: str, access: Access) -> None:
    """What is agentd's own, and what runs outside of the walls; a rule that asks does not soften it either."""
    allowed, asked = (evolve(WORK, rules=rules) for rules in (of_lists([rule], scope="user"), of_lists(ask=[rule], scope="user")))
    assert decide(allowed, spec("edit"), [access]).verdict == "deny"
    assert decide(asked, spec("edit"), [access]).verdict == "deny"
    assert decide(evolve(allowed, mode="bypass"), spec("edit"), [access]).verdict == "allow"


def test_rules_in_mode_plan() -> None:
    """They may allow what only the walls keep from changing anything, and nothing else."""
    rules = of_lists(["shell(check *)", "write(/work/**)", "look"], scope="user")
    plan = evolve(WORK, mode="plan", rules=rules)
    assert decide(plan, spec("shell"), [shell("check", "x")]).verdict == "allow"
    assert decide(evolve(plan, walled=False), spec("shell"), [shell("check", "x")]).verdict == "deny"
    assert decide(plan, spec("shell"), [told("write", "/work/a")]).verdict == "deny"
    assert decide(plan, spec("look", effect="once"), []).verdict == "deny"
    assert decide(plan, spec("look", effect="read"), []).verdict == "allow"
    assert decide(evolve(plan, walled=False), spec("shell"), [shell("ls")]).verdict == "allow"


@pytest.mark.parametrize("mode", ["default", "accept-edits", "plan", "bypass"])
def test_only_a_person_answers_for_a_person(mode: str) -> None:
    """No rule and no mode is an answer; where nobody is asked there is none, and what is forbidden is not asked."""
    asking = evolve(spec("ask_user"), personal=True)
    policy = evolve(WORK, mode=mode, rules=of_lists(["*", "ask_user"], scope="user"))  # type: ignore[arg-type]
    judged = decide(policy, asking, [])
    assert (judged.verdict, judged.proposes) == ("ask", ())
    assert decide(evolve(policy, mode="dont-ask"), asking, []).verdict == "deny"
    assert decide(evolve(policy, rules=of_lists(deny=["ask_user"], scope="user")), asking, []).verdict == "deny"


def test_the_network_of_commands() -> None:
    """It is allowed with the commands that have it, all of them, by rules of one's own; or by the configuration for all."""
    calls = [shell("cd", "sub"), shell("npm", "ci"), told("network", "*")]
    judged = decide(WORK, spec("shell"), calls)
    assert judged.verdict == "ask" and judged.proposes == ("shell(network:cd sub)", "shell(network:npm ci)")
    one = evolve(WORK, rules=of_lists(judged.proposes[1:], scope="user"))
    assert decide(one, spec("shell"), calls).verdict == "ask"
    both = evolve(WORK, rules=of_lists(judged.proposes, scope="user"))
    assert decide(both, spec("shell"), calls).verdict == "allow"
    assert decide(evolve(both, network="deny"), spec("shell"), calls).verdict == "allow"
    assert decide(evolve(WORK, network="deny"), spec("shell"), [shell("ls"), told("network", "*")]).verdict == "deny"
    assert decide(evolve(WORK, network="allow"), spec("shell"), [shell("ls"), told("network", "*")]).verdict == "allow"


def test_the_sandbox_has_a_tmp_of_its_own() -> None:
    """Commands use it unasked, and what lies there outside is not shown to them; a file tool's /tmp is the machine's, and what lies
    beside a workspace in /tmp is no scratch."""
    ls, note = shell("ls"), told("write", "/tmp/note")
    assert decide(WORK, spec("shell"), [ls, note]).verdict == "allow"
    walled = walls(WORK, spec("shell"), [ls, note])
    assert walled is not None and "/tmp/note" not in walled.write
    assert decide(WORK, spec("write"), [note]).verdict == "ask"
    assert decide(evolve(WORK, walled=False), spec("shell"), [ls, note]).verdict == "ask"
    assert decide(evolve(WORK, roots=("/tmp/x/work",)), spec("shell"), [ls, told("read", "/tmp/x/other")]).verdict == "ask"
    ruled = evolve(WORK, rules=of_lists(deny=["write(/tmp/**)"], scope="user"))
    assert decide(ruled, spec("shell"), [ls, note]).verdict == "deny"


# --- the walls -------------------------------------------------------------------------------------------------------------------


def test_walls() -> None:
    """They are as wide as what was agreed to, and what is protected or forbidden is kept."""
    rules = of_lists(deny=["read(./secret/**)", "write(./lock)", "read(*.key)"], scope="user")
    wanted = [told("write", "/out/x"), told("read", "/in/y"), told("write", "/work/z")]
    sandbox = walls(evolve(WORK, rules=rules), spec("shell"), wanted)
    assert sandbox is not None
    assert sandbox.write == ("/work", "/cache", "/out/x") and sandbox.read == ("/data", "/in/y")
    assert sandbox.hide == ("/work/own", "/work/secret") and not sandbox.network and not sandbox.whole
    assert sandbox.keep == ("/work/.git/hooks", "/work/.agentd", "/work/lock")


def test_walls_around_what_nobody_was_asked_about() -> None:
    """A rule that wants a question is one for what a command looks through, too; what was agreed to is there."""
    policy = evolve(WORK, rules=of_lists(ask=["read(./secret/**)"], scope="user"))
    closed, opened = (walls(policy, spec("shell"), some) for some in ([shell("grep", "x")], [told("read", "/work/secret/a")]))
    assert closed is not None and "/work/secret" in closed.hide
    assert opened is not None and "/work/secret" not in opened.hide


def test_walls_of_modes() -> None:
    """In plan nothing is written; in bypass everything is there; switched off there are none."""
    plan = walls(evolve(WORK, mode="plan"), spec("shell"), [told("network", "*")])
    assert plan is not None and plan.write == () and plan.read == ("/work", "/cache", "/data") and plan.network
    rules = of_lists(deny=["read(~/.ssh/**)"], ask=["read(./a)"], scope="user")
    bypass = walls(evolve(WORK, mode="bypass", rules=rules), spec("shell"), [])
    assert bypass is not None and bypass.whole and bypass.hide == ("/home/ann/.ssh",)
    assert walls(evolve(WORK, walled=False), spec("shell"), []) is None


# --- properties ------------------------------------------------------------------------------------------------------------------

SAYINGS = st.sampled_from(
    ["shell", "shell(ls *)", "shell(ls)", "shell(rm *)", "*", "read(/work/**)", "read(~/x)", "write(/work/a)"]
)
RULES = st.lists(
    st.builds(
        lambda text, verdict: Rule(rule=text, verdict=verdict, scope="user"), SAYINGS, st.sampled_from(["allow", "ask", "deny"])
    )
)
ACCESSES = st.lists(
    st.sampled_from(
        [
            *(shell("ls"), shell("ls", "x"), shell("rm", "x"), shell("fly", "a b")),
            *(told("read", "/work/a"), told("read", "/home/ann/x"), told("write", "/work/a"), told("write", "/out")),
            *(told("unclear", "why"), told("network", "*"), told("network", "example.org")),
        ]
    ),
    max_size=4,
)
MODES = st.sampled_from(["default", "accept-edits", "plan", "dont-ask"])
STRENGTH = ["allow", "ask", "deny"]


@given(rules=RULES, accesses=ACCESSES, mode=MODES, data=st.data())
def test_the_order_of_rules_and_accesses_says_nothing(rules: list[Rule], accesses: list[Access], mode: Any, data: Any) -> None:
    """Deny is stronger than ask than allow, wherever they stand."""
    first = decide(evolve(WORK, mode=mode, rules=tuple(rules)), spec("shell"), accesses)
    mixed = data.draw(st.permutations(rules)), data.draw(st.permutations(accesses))
    assert decide(evolve(WORK, mode=mode, rules=tuple(mixed[0])), spec("shell"), mixed[1]).verdict == first.verdict


@given(rules=RULES, accesses=ACCESSES, mode=MODES, text=SAYINGS)
def test_a_rule_moves_a_verdict_in_its_own_direction(rules: list[Rule], accesses: list[Access], mode: Any, text: str) -> None:
    """One more that denies never allows more, one more that allows never forbids more."""

    def strength(*more: Rule) -> int:
        return STRENGTH.index(decide(evolve(WORK, mode=mode, rules=(*rules, *more)), spec("shell"), accesses).verdict)

    assert strength(Rule(rule=text, verdict="deny", scope="user")) >= strength()
    assert strength(Rule(rule=text, verdict="allow", scope="user")) <= strength()


@given(accesses=ACCESSES, one=ACCESSES, rules=RULES, mode=MODES)
def test_more_that_is_done_needs_more(accesses: list[Access], one: list[Access], rules: list[Rule], mode: Any) -> None:
    """What else a call does never makes it easier."""
    policy = evolve(WORK, mode=mode, rules=tuple(rules), walled=False)
    if accesses and not any(access.kind == "network" for access in (*accesses, *one)):
        fewer, more = (decide(policy, spec("shell"), some).verdict for some in (accesses, [*accesses, *one]))
        assert STRENGTH.index(more) >= STRENGTH.index(fewer)


@given(rules=RULES, accesses=ACCESSES, others=ACCESSES, mode=st.sampled_from(["default", "accept-edits"]))
def test_what_is_proposed_is_enough_and_no_more(rules: list[Rule], accesses: list[Access], others: list[Access], mode: Any) -> None:
    """The call is not asked about again, and no other is allowed by it but those made of the same accesses."""
    policy = evolve(WORK, mode=mode, rules=tuple(rules))
    judged = decide(policy, spec("shell"), accesses)
    if not judged.proposes:
        return
    assert judged.verdict == "ask"
    after = evolve(policy, rules=(*policy.rules, *of_lists(judged.proposes, scope="session")))
    assert decide(after, spec("shell"), accesses).verdict == "allow"
    if not set(others) & set(accesses):
        assert decide(after, spec("shell"), others).verdict == decide(policy, spec("shell"), others).verdict
