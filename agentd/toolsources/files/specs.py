"""What models are told about the file tools: short, with the limits that matter to whoever calls."""

from __future__ import annotations

from typing import Any

from agentd.ports import ToolSpec

_PATH = {"type": "string", "description": "absolute, or relative to the session's directory; ~ is the home directory"}


def _spec(name: str, description: str, effect: Any, required: tuple[str, ...], **properties: Any) -> ToolSpec:
    parameters = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return ToolSpec(name=name, description=description, parameters=parameters, effect=effect, policy="allow")


READ = _spec(
    "read",
    "Read a file: its lines with their numbers (number, tab, line; number and tab are not in the file). Gives 2000 lines at most "
    "and cuts very long ones; for more, give offset. Also shows images (png, jpeg, webp, gif) and lists directories. A file must "
    "have been read before write or edit changes it. For several files make several calls in one reply.",
    "read",
    ("path",),
    path=_PATH,
    offset={"type": "integer", "minimum": 1, "description": "the first line, from 1"},
    limit={"type": "integer", "minimum": 1, "description": "how many lines (2000)"},
)
WRITE = _spec(
    "write",
    "Write a whole file; its directories are made. A file that exists is replaced, and must have been read before. To change a "
    "part of a file use edit.",
    "idempotent",
    ("path", "content"),
    path=_PATH,
    content={"type": "string"},
)
EDIT = _spec(
    "edit",
    "Replace a text in a file that has been read. old must be exactly as in the file, with its indentation and without the line "
    "numbers of read, and must be there only once: give enough lines around it, or all=true to replace every occurrence. Shows "
    "the diff.",
    "idempotent",
    ("path", "old", "new"),
    path=_PATH,
    old={"type": "string", "description": "the text to replace"},
    new={"type": "string", "description": "the text in its place; empty to delete it"},
    all={"type": "boolean", "description": "replace every occurrence (false)"},
)
GLOB = _spec(
    "glob",
    "Find files by their path: `*` within a name, `**` any depth, `{a,b}`; a pattern without / is about names at any depth. Newest "
    "first, 200 at most. Files that .gitignore names are left out.",
    "read",
    ("pattern",),
    pattern={"type": "string", "description": "such as src/**/*.ts or *_test.py"},
    path={"type": "string", "description": "the directory to look in (the session's directory)"},
)
GREP = _spec(
    "grep",
    "Search the lines of files for a regular expression (of ripgrep: ( [ { . * + need a \\ to stand for themselves). Files that "
    ".gitignore names and binary files are left out. To find where something is, begin with mode=files.",
    "read",
    ("pattern",),
    pattern={"type": "string", "description": "the regular expression; it matches within a line"},
    path={"type": "string", "description": "the file or directory to search (the session's directory)"},
    glob={"type": "string", "description": "only files with such a path, as for glob"},
    ignore_case={"type": "boolean", "description": "upper and lower case are the same (false)"},
    context={"type": "integer", "minimum": 0, "maximum": 50, "description": "lines shown before and after each match (0)"},
    mode={"enum": ["content", "files", "count"], "description": "matching lines (default), only paths, or matches per file"},
    limit={"type": "integer", "minimum": 1, "maximum": 5000, "description": "matching lines, or files (200)"},
)
ALL = (READ, WRITE, EDIT, GLOB, GREP)
