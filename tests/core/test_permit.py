"""decide: rules by name, deny over ask over allow, then the tool's own policy."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from agentd.core.permit import Policy, decide, hidden, of_lists
from agentwire.types import Access
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
