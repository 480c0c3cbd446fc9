"""The extension points: what core asks of models, tools, storage and processes, and the small values that pass between them.

Adapters implement these Protocols; only `agentd.wiring` names an adapter. Every Protocol has one conformance suite under
tests/conformance/ that runs on each implementation.
"""

from __future__ import annotations

from agentd.ports.models import (
    PER_MESSAGE,
    Build,
    Cited,
    Delta,
    Message,
    ModelLimits,
    ModelRequest,
    Models,
    PartStart,
    PartText,
    Prompt,
    Provider,
    Sealed,
    Spent,
    Stop,
    Stream,
    Waits,
    attached_to,
    calls_of,
    size_of,
)
from agentd.ports.processes import Process, Profile, Spawner
from agentd.ports.pulls import Fetched, Puller
from agentd.ports.storage import (
    Adopt,
    Clock,
    IdemKey,
    IndexChange,
    Indexer,
    Keeper,
    NewEvent,
    Sleeper,
    Store,
    UsageChange,
    UsageFilter,
    UsageKey,
    day_of,
)
from agentd.ports.tools import ToolContext, ToolOutcome, ToolSource, ToolSpec

__all__ = [
    "PER_MESSAGE",
    "Adopt",
    "Build",
    "Cited",
    "Clock",
    "Delta",
    "Fetched",
    "IdemKey",
    "IndexChange",
    "Indexer",
    "Keeper",
    "Message",
    "ModelLimits",
    "ModelRequest",
    "Models",
    "NewEvent",
    "PartStart",
    "PartText",
    "Process",
    "Profile",
    "Prompt",
    "Provider",
    "Puller",
    "Sealed",
    "Sleeper",
    "Spawner",
    "Spent",
    "Stop",
    "Store",
    "Stream",
    "ToolContext",
    "ToolOutcome",
    "ToolSource",
    "ToolSpec",
    "UsageChange",
    "UsageFilter",
    "UsageKey",
    "Waits",
    "attached_to",
    "calls_of",
    "day_of",
    "size_of",
]
