"""Whose rules hold for a session: those of the configuration, of its user, of a trusted project, and its own; and its mode."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from agentd.core.permit import Policy
from agentd.core.settings import Current
from agentd.core.state import SessionState
from agentd.ports import Place


class Permissions:
    """`real`: a path with its links resolved."""

    def __init__(self, settings: Current, real: Callable[[str], str]) -> None:
        self._settings, self._real = settings, real

    def policy(self, state: SessionState) -> Policy:
        """What calls of the session are judged by, now."""
        base = self._settings().policy
        return evolve(
            base,
            mode=state.mode or base.mode,
            rules=(*base.rules, *state.rules),
            roots=(self._real(state.cwd),),
        )

    def place(self, state: SessionState, policy: Policy) -> Place:
        """Where calls of the session run."""
        variables = {f"AGENTD_VAR_{name}": value for name, value in state.variables.items()}
        return Place(
            session=state.id, cwd=state.cwd, environment={**state.environment, **variables}, roots=(*policy.roots, *policy.write)
        )
