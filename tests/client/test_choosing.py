"""What a person is told of a model that they chose."""

from __future__ import annotations

from typing import Any

import pytest

from agentctl.choosing import needs_a_look, remarks

IMAGE = {"kind": "image", "media": "image/png", "name": "a.png"}
PAPER = {"kind": "file", "media": "application/pdf", "name": "b\x1b.pdf"}
NOTES = {"kind": "file", "media": "text/plain", "name": "c.txt"}
INSTEAD = "is there, and of what size, not what it shows"


def info(name: str, *capabilities: str, known: bool = True) -> dict[str, Any]:
    return {"id": name, "capabilities": list(capabilities), "known": known}


@pytest.mark.parametrize(
    ("written", "look"), [("", False), ("a/x", False), ("a/x,b/y", False), ("fast", True), ("a/x, fast", True)]
)
def test_only_names_without_a_provider_need_a_look(written: str, look: bool) -> None:
    """The others are what they say."""
    assert needs_a_look(written) is look


@pytest.mark.parametrize(
    ("written", "kept", "said"),
    [
        ("fast", "fast", []),
        ("", "a/one", []),
        ("new, fast", "a/new,fast", ["new is no alias: this is the model a/new"]),
        ("a/x", "a/x", []),
    ],
)
def test_what_a_name_was_taken_for(written: str, kept: str, said: list[str]) -> None:
    """Said where it is not what was written."""
    assert remarks(written, {"model": kept, "models": []}) == said


def test_what_is_not_taken() -> None:
    """Of each model, by kind and name; a text anybody reads."""
    models = [info("a/sees", "images"), info("b/blind", known=False), info("c/all", "images", "files")]
    assert remarks("best", {"model": "best", "models": models}, [IMAGE, PAPER, NOTES]) == [
        f"a/sees takes no PDFs: it is told that b\u241b.pdf {INSTEAD}",
        f'b/blind takes no images (if it does, set images = true under [parameters."b/blind"]): it is told that a.png {INSTEAD}',
        f'b/blind takes no PDFs (if it does, set files = true under [parameters."b/blind"]): it is told that b\u241b.pdf {INSTEAD}',
    ]
    assert remarks("best", {"model": "best", "models": models}, [NOTES]) == []
