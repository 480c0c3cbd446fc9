"""Text of strangers (models, tools, files) made harmless for a terminal. Pure, standard library only."""

from __future__ import annotations

# Tab and newline are layout; everything else in C0 can move the cursor, ring, or begin an escape sequence (ECMA-48), and so can
# DEL and C1 (0x9b is CSI in one byte). The bidirectional controls reorder what is read, not what would run (CVE-2021-42574).
_HARMLESS = {0x09, 0x0A}
_BIDI = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_VISIBLE = (
    {code: chr(0x2400 + code) for code in range(0x20) if code not in _HARMLESS}
    | {0x7F: "\u2421"}
    | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
    | {code: f"\\u{code:04x}" for code in _BIDI}
)


def visible(text: str) -> str:
    """`text` with every control character shown as a symbol, but for tabs and newlines; CRLF becomes a newline.

    Works on any piece of a stream: what comes out of pieces can no more steer a terminal than what comes out of the whole.
    """
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def one_line(text: str, width: int) -> str:
    """`text` for a table cell or a title: harmless, white space collapsed, at most `width` code points with an ellipsis."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= width else flat[: max(width - 1, 0)] + "…"


def sentence(text: str) -> str:
    """`text` as something that another sentence may follow."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
