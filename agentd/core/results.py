"""What a tool's result becomes in the log: as it is, or a blob with its beginning and its end."""

from __future__ import annotations

from agentd.ports import Store, ToolOutcome
from agentwire.types import BlobRef, ResultPart, Text

_LIMIT = 64 * 1024
"""Characters of a tool's output in its event; the whole is a blob."""
_HEAD = _TAIL = 16 * 1024
"""Of it that its event has: errors are told at the end."""


async def bounded(store: Store, stream: str, outcome: ToolOutcome) -> tuple[ResultPart, ...]:
    """The parts for an event of `stream`. Output over the limit becomes a blob of it, with its head and tail in the event."""
    text = "".join(part.text for part in outcome.parts if isinstance(part, Text))
    if len(text) <= _LIMIT:
        return outcome.parts
    content = text.encode("utf-8", "replace")
    blob = await store.put_blob(stream, content, essential=True)
    others = tuple(part for part in outcome.parts if not isinstance(part, Text))
    whole = BlobRef(blob=blob, bytes=len(content), media="text/plain", head=text[:_HEAD], tail=text[-_TAIL:])
    return (whole, *others)
