"""Whose rules hold for a session: those of the configuration, of its user, of its project, and its own; and its mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve

from agentd.core.permit import Policy
from agentd.core.projects import Project, find_project
from agentd.core.settings import Current
from agentd.core.state import SessionState
from agentd.core.users import Users
from agentd.ports import Place
from agentwire.types import ModeChoice, Rule


class Permissions:
    """`real`: a path with its links resolved."""

    def __init__(self, settings: Current, real: Callable[[str], str], users: Users) -> None:
        self._settings, self._real, self._users = settings, real, users
        self._projects: dict[str, Project | None] = {}
        self._reals: dict[str, str] = {}
        self._last: tuple[object, Policy] | None = None  # what was made last, and of what

    async def prepare(self, user: str, cwd: str) -> Project | None:
        """Read what of the rules is not in memory, and the project's file, as it is now. Before `policy`, in each turn anew."""
        await self._users.load(user)
        real = self._reals[cwd] = self._real(cwd)
        self._projects[real] = find_project(real)
        return self._projects[real]

    def policy(self, state: SessionState) -> Policy:
        """What calls of the session are judged by, now; in the directory that its path led to when the turn began."""
        return self.policy_at(state.user, state.cwd, state.mode, state.rules)

    def policy_at(self, user: str, cwd: str, mode: ModeChoice = "", own: Sequence[Rule] = ()) -> Policy:
        """The same for a directory without a session. `own`: further rules."""
        base, known, real = self._settings().policy, self._users[user], self._reals.get(cwd) or self._real(cwd)
        project = self._projects.get(real)
        theirs = project.counting(known.trusted.get(project.path)) if project else ()
        told = (base, mode, real, theirs, tuple(known.rules), tuple(own))
        if self._last is None or self._last[0] != told:  # each call of a turn is planned by one and run by one
            made = evolve(base, mode=mode or base.mode, rules=(*base.rules, *theirs, *known.rules, *own), roots=(real,))
            self._last = told, made
        return self._last[1]

    def place(self, state: SessionState, policy: Policy) -> Place:
        """Where calls of the session run."""
        variables = {f"AGENTD_VAR_{name}": value for name, value in state.variables.items()}
        return Place(
            session=state.id, cwd=state.cwd, environment={**state.environment, **variables}, roots=(*policy.roots, *policy.write)
        )
