"""decide: rules by name, deny over ask over allow, then the tool's own policy."""

from __future__ import annotations

from typing import Any

import pytest

from agentd.core.permit import Policy, decide, of_lists
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
