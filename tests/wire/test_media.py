"""What may go with a prompt."""

from __future__ import annotations

import pytest

from agentwire.media import IMAGES, PDF, is_text


@pytest.mark.parametrize("media", ["text/plain", "text/x-python", "application/json", "application/ld+json", "application/x-yaml"])
def test_texts(media: str) -> None:
    """Whatever is read as such, by whatever name."""
    assert is_text(media)


@pytest.mark.parametrize(
    "media", [*sorted(IMAGES), PDF, "application/zip", "application/octet-stream", "text/", "", "x/text/plain"]
)
def test_others(media: str) -> None:
    """Images and PDFs have models of their own; the rest has none."""
    assert not is_text(media)
