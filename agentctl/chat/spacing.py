"""Blank lines between blocks of the transcript. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agentctl.chat.render import Line

_GROUPS = {
    **dict.fromkeys(("heading", "code", "fence"), "text"),
    **dict.fromkeys(("tool-bad", "added", "removed"), "tool"),
    "question-body": "question",
}
"""Styles that belong to one block; between blocks goes a blank line."""


def spaced(news: Sequence[Line], block: str) -> tuple[list[Line], str]:
    """The lines with a blank one wherever another block begins after `block`; and the last block."""
    rows: list[Line] = []
    for item in news:
        mine = _GROUPS.get(item.style, item.style)
        if block and mine != block:
            rows.append(Line(""))
        block = mine
        rows.append(item)
    return rows, block
