"""What becomes of a word when its variables have their values."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentd.toolsources.bash_meaning import Word
from agentd.toolsources.bash_words import Piece, Token, Unclear, is_name

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_NUMBERS = ("?", "#", "$", "!")
"""Variables of the shell's own whose values are numbers."""


def expanded(token: Token, known: Mapping[str, Word]) -> Word:
    """`known`: the variables whose values are. Error handling: Unclear where several words may become of it."""
    text, glob, opaque = list[str](), False, False
    for piece in token.pieces:
        value = _value(piece, known)
        text.append(value if value is not None else f"${piece.text}")
        opaque |= value is None
        glob |= piece.variable and piece.text in known and known[piece.text].glob
        glob |= not piece.quoted and (any(letter in value for letter in "*?[") if value is not None else piece.text not in _NUMBERS)
    alone = token.text in ("[", "[[")
    return Word("".join(text), glob=glob and not alone, opaque=opaque, assigns=_ASSIGNMENT.match(token.text) is not None)


def _value(piece: Piece, known: Mapping[str, Word]) -> str | None:
    """None: nobody knows."""
    if not piece.variable:
        return piece.text
    word = known.get(piece.text)
    value = word.text if word and not word.opaque else None
    if value is None and piece.text not in _NUMBERS and not is_name(piece.text):
        raise Unclear(f"the variable {piece.text}")
    several = not value or any(letter.isspace() for letter in value) or (word is not None and word.glob)
    if value is not None and not piece.quoted and several:
        raise Unclear(f"the variable {piece.text} would become several words")
    return value
