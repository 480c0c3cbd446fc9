"""What `write` and `edit` do in their thread: look at what is there, decide, replace it."""

from __future__ import annotations

from attrs import frozen

from agentd.toolsources.files.arguments import Edit, Write
from agentd.toolsources.files.diffs import diff
from agentd.toolsources.files.editing import edit as edited
from agentd.toolsources.files.known import Known
from agentd.toolsources.files.text import Content, decode, shown
from agentd.toolsources.files.writing import CHANGED, UNREAD, content_of, replace
from agentwire.errors import ToolError

_EDIT_DIFF, _WRITE_DIFF = 200, 60  # lines


@frozen
class Done:
    """What is said about it, and what is known of the file now."""

    text: str
    known: Known


def write(path: str, wanted: Write, known: Known | None, *, umask: int) -> Done:
    """Error handling: ToolError; nothing is changed then."""
    content = _encoded(Content(""), wanted.content)
    found = content_of(path)
    if found is None:
        now = replace(path, content, None, umask=umask)
        return Done(f"created {path} ({_lines(wanted.content)}, {len(content)} bytes)", now)
    old, was = found
    if old == content:
        return Done(f"{path} has this content already; nothing was changed", was)
    if old:
        _check(path, known, was)
    now = replace(path, content, was, umask=umask)
    before = decode(old)
    if before is None:
        return Done(f"replaced {path}, which was not text ({_lines(wanted.content)}, {len(content)} bytes)", now)
    changes = diff(before.text, wanted.content, bound=_WRITE_DIFF)
    return Done(shown(f"replaced {path} ({changes.summary})\n{changes.text}"), now)


def edit(path: str, wanted: Edit, known: Known | None, *, umask: int) -> Done:
    """Error handling: ToolError; nothing is changed then."""
    found = content_of(path)
    if found is None:
        raise ToolError(f"{path}: there is no such file; to create it use write")
    old, was = found
    _check(path, known, was)
    content = decode(old)
    if content is None:
        raise ToolError(f"{path}: it is a binary file: use the shell tool")
    try:
        result = edited(content.text, wanted.old, wanted.new, everywhere=wanted.all)
    except ToolError as error:
        raise ToolError(f"{path}: {error}") from None
    now = replace(path, _encoded(content, result.text), was, umask=umask)
    changes = diff(result.before, result.after, bound=_EDIT_DIFF)
    times = f" in {result.count} places" if result.count > 1 else ""
    return Done(shown(f"edited {path}{times} ({changes.summary})\n{changes.text}"), now)


def _check(path: str, known: Known | None, now: Known) -> None:
    if known is None:
        raise ToolError(f"{path}: {UNREAD}")
    if not known.is_now(now):
        raise ToolError(f"{path}: {CHANGED}")


def _encoded(like: Content, text: str) -> bytes:
    try:
        return like.encoded(text)
    except UnicodeEncodeError as error:
        raise ToolError(f"the text has half a character at position {error.start}: send it again") from None


def _lines(text: str) -> str:
    count = text.count("\n") + (not text.endswith("\n") and bool(text))
    return f"{count} line{'s' * (count != 1)}"
