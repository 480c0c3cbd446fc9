"""decide: rules by name, deny over ask over allow, then the tool's own policy."""

from __future__ import annotations

import pytest

from agentd.core.permit import Policy, decide
from tests.fakes.tools import spec


@pytest.mark.parametrize(
    ("policy", "own", "verdict"),
    [
        (Policy(), "allow", "allow"),
        (Policy(), "ask", "ask"),
        (Policy(), "deny", "deny"),
        (Policy(allow=["look"]), "ask", "allow"),
        (Policy(allow=["look(*)"]), "ask", "allow"),
        (Policy(allow=["*"]), "ask", "allow"),
        (Policy(allow=["lookup"]), "ask", "ask"),
        (Policy(allow=["look"], ask=["look"]), "allow", "ask"),
        (Policy(allow=["look"], ask=["look"], deny=["look"]), "allow", "deny"),
        (Policy(deny=["*"]), "allow", "deny"),
    ],
)
def test_the_verdict(policy: Policy, own: str, verdict: str) -> None:
    """The strongest rule that names the tool decides."""
    assert decide(policy, spec("look", policy=own)) == verdict
