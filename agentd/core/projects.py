"""A project's own permission rules: the nearest `.agentd/config.toml` from a directory up to the root of its git work tree.

Anybody who gets a file into a repository could grant themselves what they like: so its rules that allow count only while its user
trusts the file with just this content. Rules that deny or ask count always.
"""

from __future__ import annotations

import hashlib
import os.path
import tomllib

import structlog
from attrs import evolve, frozen

from agentd.core import rules as _rules
from agentd.core.permit import of_lists
from agentwire.rules import mistake
from agentwire.types import Rule

log = structlog.get_logger()

_LARGEST = 256 * 1024


@frozen(kw_only=True)
class Project:
    """`path` of the file; `sha256` of its content; relative paths in `rules` are absolute."""

    path: str
    sha256: str
    rules: tuple[Rule, ...]

    def counting(self, trusted: str | None) -> tuple[Rule, ...]:
        """Its rules that count, if the file is trusted with content of the hash `trusted`."""
        return tuple(rule for rule in self.rules if rule.verdict != "allow" or trusted == self.sha256)


def find_project(cwd: str) -> Project | None:
    """Of a directory without links; None if there is none, or it cannot be read. Reads the disk."""
    directory = cwd
    while True:
        path = os.path.join(directory, ".agentd", "config.toml")
        if os.path.isfile(path):
            return _read(path, directory)
        parent = os.path.dirname(directory)
        if parent == directory or os.path.exists(os.path.join(directory, ".git")):
            return None
        directory = parent


def _read(path: str, directory: str) -> Project | None:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST // 1024} KiB")
        table = tomllib.loads(content.decode()).get("permissions", {})
        lists = {verdict: _texts(table, verdict) for verdict in ("allow", "ask", "deny")}
    except (OSError, ValueError) as error:
        log.warning("project_file_unreadable", path=path, reason=str(error))
        return None
    found = of_lists(**lists, scope="project", source=path)
    rules = tuple(evolve(rule, rule=_rules.anchored(rule.rule, directory)) for rule in found)
    return Project(path=path, sha256=hashlib.sha256(content).hexdigest(), rules=rules)


def _texts(table: object, verdict: str) -> list[str]:
    """Error handling: ValueError for what is no list of rules."""
    texts = table.get(verdict, []) if isinstance(table, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"permissions.{verdict}: expected a list of rules")
    for text in texts:
        if wrong := mistake(text):
            raise ValueError(f"permissions.{verdict}: {wrong}")
    return texts
