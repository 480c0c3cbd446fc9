"""An export in a file: whole or not there at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress

from agentctl.archive import markdown, to_json
from agentctl.archive.source import Source
from agentwire.errors import Conflict

FORMATS = {"json": to_json.write, "markdown": markdown.write}


def format_of(path: str) -> str:
    """The format that a file's name asks for."""
    return "markdown" if path.lower().endswith((".md", ".markdown")) else "json"


def taken(path: str) -> bool:
    """Whether there is something that an export would have to overwrite."""
    return os.path.lexists(path) and not _is_special(path) and not os.path.isdir(path)


def save(source: Source, path: str, form: str, *, force: bool) -> None:
    """Writes the export to `path`. *Errors*: Conflict if the file exists, without `force`; OSError. No half file is left."""
    if _is_special(path):
        with open(path, "w", encoding="utf-8", newline="") as special:
            FORMATS[form](source, special.write)
        return
    if os.path.isdir(path):
        raise Conflict(f"{path} is a directory; name a file in it")
    path = os.path.realpath(path)  # what a link leads to is replaced, not the link
    draft = f"{os.path.dirname(path)}/.{os.path.basename(path)[:200]}.{os.getpid()}"
    try:
        with open(draft, "x", encoding="utf-8", newline="", errors="backslashreplace") as file:
            FORMATS[form](source, file.write)
            file.flush()
            os.fsync(file.fileno())
        _publish(draft, path, force=force)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None  # nobody knows the draft
    finally:
        with suppress(OSError):
            os.unlink(draft)


def _publish(draft: str, path: str, *, force: bool) -> None:
    publish: Callable[[str, str], None] = os.replace if force else os.link  # a link never overwrites
    try:
        publish(draft, path)
    except FileExistsError:
        raise Conflict(f"{path} exists already") from None


def _is_special(path: str) -> bool:
    """A pipe or a device: there is nothing to replace."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path)
    except FileNotFoundError:
        return False
