"""Plain English in pieces of one length, all different: what people write to models is not one sentence again and again.

The text is Python's own manual (pydoc), which every Python has. Nothing of it is in the dictionary that the store compresses with,
but for the words that are in everybody's English.
"""

from __future__ import annotations

import re
from pydoc_data import topics

LENGTH = 300


def passages(count: int) -> list[str]:
    """So many passages; read anew from other beginnings once the manual is through."""
    text = re.sub(r"[^ -~]|\s+", " ", " ".join(topics.topics.values()))
    text = re.sub(r" {2,}", " ", text)
    found: list[str] = []
    for shift in range(0, LENGTH, 37):
        found += [text[begin : begin + LENGTH] for begin in range(shift, len(text) - LENGTH, LENGTH)]
        if len(found) >= count:
            return found[:count]
    raise ValueError(f"the manual has only {len(found)} passages")
