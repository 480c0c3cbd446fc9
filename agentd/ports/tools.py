"""What core asks of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from attrs import Factory, frozen

from agentwire.types import BlobRef, CallOutcome, Effect, Text


@frozen(kw_only=True)
class ToolSpec:
    """What a tool is. `parameters` is a JSON Schema object; `policy` holds where no rule of the user's does."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    effect: Effect = "once"
    policy: Literal["allow", "ask", "deny"] = "ask"


@frozen(kw_only=True)
class ToolContext:
    """What a tool may know of where it runs. `cwd` and `environment` are the session's."""

    call: str
    session: str
    cwd: str
    environment: Mapping[str, str] = Factory(dict)


@frozen(kw_only=True)
class ToolOutcome:
    outcome: CallOutcome
    parts: tuple[Text | BlobRef, ...]


class ToolSource(Protocol):
    """Where tools come from."""

    name: str

    async def run(self, *, task_status: Any) -> None: ...

    async def refresh(self) -> None:
        """Look for changed tools; called before a turn's first request, so it must be cheap when nothing changed."""

    def specs(self) -> Sequence[ToolSpec]: ...

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Run one call. Cancelling it ends everything it started within 1 s.

        Error handling: raises ToolError for what the model should read as the result; anything else is a bug of the source.
        """
