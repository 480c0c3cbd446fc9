"""An export in Markdown: made to be read, and exact enough to be read back. Pure but for what its source asks.

Theory of operation: HTML comments, which no reader shows, mark where each message and each of its parts begins and ends. Between
them stands the text as it is; a line of it that could be taken for a mark is escaped with a backslash, which Markdown does not
show either. Calls, results and thoughts are fenced blocks whose fences are longer than any run of backticks inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agentctl.archive.source import Source
from agentctl.text import one_line

VERSION = 1
END = "<!-- agentd:end -->"
_HEADINGS = {"user": "User", "assistant": "Assistant", "tool": "Tool results"}
_MARK = re.compile(r"^(?=\\*<!-- agentd:)", re.MULTILINE)
_ESCAPED = re.compile(r"^\\(?=\\*<!-- agentd:)", re.MULTILINE)


def write(source: Source, out: Callable[[str], object]) -> None:
    """The document, message by message."""
    info = source.info
    out(f"{mark('session', version=VERSION, title=info['title'], cwd=info['cwd'], model=info['model'])}\n\n")
    out(f"# {one_line(info['title'], 200) or 'A session'}\n")
    for message in source.messages():
        out(f"\n{mark(message['role'])}\n\n## {_HEADINGS[message['role']]}\n")
        for part in message["parts"]:
            out("".join(f"\n{line}" for line in _part(part)) + "\n")


def mark(name: str, /, **attributes: Any) -> str:
    """One mark. What stands in it can neither end the comment nor begin a line."""
    data = f" {json.dumps(attributes)}".replace(">", "\\u003e") if attributes else ""
    return f"<!-- agentd:{name}{data} -->"


def escaped(text: str) -> str:
    """`text` without a line that is a mark."""
    return _MARK.sub(r"\\", text)


def unescaped(text: str) -> str:
    """What `escaped` was given."""
    return _ESCAPED.sub("", text)


def _part(part: Mapping[str, Any]) -> Iterator[str]:
    match part["kind"]:
        case "text":
            yield from (mark("text"), escaped(part["text"]))
        case "reasoning":
            yield from (mark("reasoning"), "*Thinking:*", "", *fenced([(part["text"], "text")]))
        case "tool_call":
            yield mark("tool_call", id=part["id"], name=part["name"])
            yield from (f"**Call** {_code(part['name'])}", "", *fenced([(part["arguments_json"], "json")]))
        case "tool_result":
            yield mark("tool_result", call=part["call"], is_error=part["is_error"])
            yield from ("**Error**" if part["is_error"] else "**Result**", "", *fenced([_result(inner) for inner in part["parts"]]))
        case "citation":
            yield mark("citation", url=part["url"], title=part["title"], quote=part["quote"])
            yield f"*Source:* {one_line(part['title'] or part['quote'], 200)} {one_line(part['url'], 500)}".rstrip()
        case "image" | "file":
            yield mark(part["kind"], media=part["media"], bytes=part["bytes"], name=part.get("name", ""))
            yield f"*{attached(part)}*"
    yield END


def attached(part: Mapping[str, Any]) -> str:
    """An image or file, whose content no Markdown holds."""
    what = one_line(part.get("name") or "", 255) or "image"
    return f"[{what}, {one_line(part['media'], 100)}, {part['bytes']} bytes]"


def _result(inner: Mapping[str, Any]) -> tuple[str, str]:
    return (
        (inner["text"], "text") if inner["kind"] == "text" else (inner["head"], f"text (the beginning of {inner['bytes']} bytes)")
    )


def fenced(blocks: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Each text in a block with its label, behind fences that it does not hold."""
    for text, label in blocks:
        longest = max((len(run) for run in re.findall("`+", text)), default=0)
        fence = "`" * max(longest + 1, 3)
        yield from (f"{fence}{label}", escaped(text), fence)


def _code(text: str) -> str:
    """A name in the running text, whatever is in it."""
    return f"`{one_line(text, 100).replace('`', '')}`"
