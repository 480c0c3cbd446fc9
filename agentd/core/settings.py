"""What of the configuration core goes by. It may be replaced while the daemon runs: whoever needs a value asks for it anew."""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, frozen

from agentd.core.budget import Budgets
from agentd.core.permit import Policy
from agentwire.types import ConfigValue


@frozen(kw_only=True)
class Settings:
    """Times in seconds. `model` and `max_steps` hold where neither request nor session says more.

    `unload_after`: idle sessions leave memory. `clean_idle`, `clean_age`: idle or old sessions are deleted, 0 for never. `jobs`:
    how many of a session may run at once. `max_repeats`, `max_seconds`: see `decide.Guards`.
    """

    model: str
    max_steps: int
    policy: Policy
    approval_deadline: float
    unload_after: float
    clean_idle: float = 0.0
    clean_age: float = 0.0
    jobs: int = 8
    max_repeats: int = 0
    max_seconds: float = 0.0
    budgets: Budgets = Factory(Budgets)
    values: tuple[ConfigValue, ...] = ()
    warnings: tuple[str, ...] = ()


Current = Callable[[], Settings]
"""The settings that hold now."""
