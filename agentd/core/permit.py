"""May this call run? One pure function. Rules name tools; deny is stronger than ask, ask than allow; then the tool's own policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import frozen

from agentd.ports import ToolSpec

Verdict = Literal["allow", "ask", "deny"]


@frozen(kw_only=True)
class Policy:
    """Rules of the form `Tool` or `Tool(*)`."""

    allow: Sequence[str] = ()
    ask: Sequence[str] = ()
    deny: Sequence[str] = ()


def decide(policy: Policy, spec: ToolSpec) -> Verdict:
    """The verdict on a call of `spec` (its arguments do not matter to rules that name only tools)."""
    for verdict, rules in (("deny", policy.deny), ("ask", policy.ask), ("allow", policy.allow)):
        if any(rule.removesuffix("(*)") in (spec.name, "*") for rule in rules):
            return verdict  # type: ignore[return-value]  # the literals of the tuple above
    return spec.policy
