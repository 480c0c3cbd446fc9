"""What tools showed reaches a model that sees, in the form its vendor takes, and is told of to one that does not."""

from __future__ import annotations

import pytest

from agentd.ports import Message
from agentd.providers.contents import images_of, result_text
from agentwire.types import BlobRef, Image, Text, ToolResult

PICTURE = Image(blob="a" * 64, bytes=3, media="image/png")
BLOBS = {PICTURE.blob: b"png"}
RESULT = ToolResult(call="c1", parts=(Text(text="a picture"), PICTURE))


def test_a_long_result_says_how_to_read_on() -> None:
    """The handle and the offset that output_read takes: bytes, not characters."""
    part = BlobRef(blob="b" * 64, bytes=100_000, media="text/plain", head="für")
    assert result_text(part) == f"für\n[only 4 of 100,000 bytes. Read on: output_read, handle {'b' * 16}, offset 4]"


def test_a_long_result_is_told_by_its_beginning_and_its_end() -> None:
    """What is left out, and where to read it."""
    part = BlobRef(blob="b" * 64, bytes=100_000, media="text/plain", head="für", tail="end")
    between = f"[99,993 of 100,000 bytes are left out here. Read on: output_read, handle {'b' * 16}, offset 4]"
    assert result_text(part) == f"für\n{between}\nend"


@pytest.mark.parametrize(("blobs", "images", "shown"), [(BLOBS, True, 1), (BLOBS, False, 0), ({}, True, 0)])
def test_only_what_can_be_shown_is(blobs: dict[str, bytes], images: bool, shown: int) -> None:
    """The model must take images and the content must be at hand; in words it is there in any case."""
    assert len(images_of([RESULT], blobs, images=images)) == shown
    assert result_text(PICTURE) == "[an image, image/png, 3 bytes]"


def test_a_message_knows_what_its_results_show() -> None:
    """So that the contents are loaded for the request."""
    assert Message("tool", (RESULT,)).attached == (PICTURE,)
