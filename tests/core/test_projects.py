"""A project's own rules: where they are found, and which of them count without its user's trust."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.core.projects import find_project

RULES = '[permissions]\nallow = ["shell(make *)", "read(./data/**)"]\ndeny = ["write(secret)"]\nask = ["fetch(domain:x.org)"]\n'


def give(directory: Path, text: str = RULES) -> str:
    (directory / ".agentd").mkdir(parents=True, exist_ok=True)
    path = directory / ".agentd" / "config.toml"
    path.write_text(text)
    return str(path)


def test_the_nearest_counts(tmp_path: Path) -> None:
    """From the directory up to the root of its git work tree, and not above."""
    outer, root, inner = tmp_path, tmp_path / "root", tmp_path / "root" / "a" / "b"
    inner.mkdir(parents=True)
    give(outer)
    (root / ".git").mkdir()
    assert find_project(str(inner)) is None
    path = give(root)
    found = find_project(str(inner))
    assert found is not None and found.path == path
    nearer = give(inner)
    found = find_project(str(inner))
    assert found is not None and found.path == nearer


def test_paths_are_those_from_its_directory(tmp_path: Path) -> None:
    """Wherever the session is."""
    give(tmp_path)
    found = find_project(str(tmp_path))
    assert found is not None
    assert {rule.rule for rule in found.rules} >= {f"read({tmp_path}/data/**)", f"write({tmp_path}/secret)", "shell(make *)"}
    assert {(rule.scope, rule.source) for rule in found.rules} == {("project", found.path)}


def test_without_trust_only_what_restricts_counts(tmp_path: Path) -> None:
    """What asks and denies; with trust in just this content all of it."""
    give(tmp_path)
    found = find_project(str(tmp_path))
    assert found is not None
    assert {rule.verdict for rule in found.counting(None)} == {"ask", "deny"}
    assert {rule.verdict for rule in found.counting("other")} == {"ask", "deny"}
    assert found.counting(found.sha256) == found.rules


@pytest.mark.parametrize(
    "text", ["[permissions", "permissions = 3", '[permissions]\nallow = "x"', '[permissions]\nallow = ["x("]', "#" * 300_000]
)
def test_what_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    """The log says so; nothing of it counts."""
    give(tmp_path, text)
    assert find_project(str(tmp_path)) is None


def test_other_sections_are_left_alone(tmp_path: Path) -> None:
    """Only its rules are asked for here: a mode in it would lift all of them."""
    give(tmp_path, 'model = "x"\n[permissions]\nmode = "bypass"\n[sandbox]\nmode = "off"\n')
    found = find_project(str(tmp_path))
    assert found is not None and found.rules == ()
