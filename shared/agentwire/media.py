"""What may go with a prompt: images, PDFs and texts, by their media types."""

from __future__ import annotations

import re

IMAGES = frozenset(("image/gif", "image/jpeg", "image/png", "image/webp"))
"""Those that every model takes which takes any."""
PDF = "application/pdf"
ACCEPTED = "an image (PNG, JPEG, WebP, GIF), a PDF or a text"

_TEXT = re.compile(r"text/.+|application/(.+\+)?(json|xml|yaml|x-yaml|toml|javascript|sql|x-sh|x-ndjson)")


def is_text(media: str) -> bool:
    """Whether any model can read it."""
    return _TEXT.fullmatch(media) is not None
