"""`agentctl run`: one prompt in, the answer out."""

from __future__ import annotations

import json
import select
import sys

from agentctl import arguments
from agentctl.output import Output
from agentwire.errors import InvalidParams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from agentwire.paths import Paths

EXAMPLES = """\
agentctl run "what does this repository do?"
git diff | agentctl run "review this"
agentctl run -c "and in one sentence?"
agentctl run --output-format json "2 + 2" | jq -r .result
agentctl run --allow "shell(npm ci)" "update the packages"
agentctl run --attach chart.png "what does it show?"
agentctl run --json-schema person.json "who wrote Faust?" | jq .name
agentctl run -- -1 times -1?"""
MAX_STDIN = 1024 * 1024
"""Bytes of standard input: what one input of a session can hold."""
_PATIENCE = 2.0
"""Seconds of silence on stdin after which somebody may wonder what we wait for."""


def parser() -> ArgumentParser:
    """The arguments of `run`."""
    made = arguments.make("agentctl run", "one prompt in, the answer on stdout; standard input is appended to the prompt", EXAMPLES)
    arguments.add_conversation(made)
    made.add_argument(
        "--output-format",
        choices=("text", "json", "stream-json"),
        default="text",
        help="text as it comes; one JSON document at the end; or every event as a line of JSON, the document last",
    )
    made.add_argument(
        "--max-turns", type=arguments.positive, metavar="N", default=0, help="model requests this turn may make (exit 53)"
    )
    made.add_argument(
        "--max-budget", type=arguments.dollars, metavar="USD", default=0.0, help="US dollars this turn may cost (exit 6)"
    )
    made.add_argument(
        "--mode",
        choices=("default", "accept-edits", "plan", "dont-ask", "bypass"),
        default="",
        help="the session's permission mode from now on; nobody is asked during a run: what would ask is denied (exit 4)",
    )
    made.add_argument("--allow", metavar="RULE", action="append", default=[], help="a permission rule for the session; repeatable")
    made.add_argument("--deny", metavar="RULE", action="append", default=[], help="the same, and it is stronger; repeatable")
    made.add_argument(
        "--attach",
        metavar="FILE",
        action="append",
        default=[],
        help="an image, a PDF or a text that goes with the prompt; repeatable",
    )
    made.add_argument(
        "--json-schema", metavar="FILE", default="", help="a JSON schema: the answer is JSON that follows it, and nothing else"
    )
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Runs one turn. Also what `chat` does without a terminal, then with the defaults of what it has no options for."""
    from agentctl.blobs import Attachment
    from agentctl.oneshot import REPORTS, Run, Wanted

    out = Output(args)
    schema = _schema(getattr(args, "json_schema", ""))
    shape = getattr(args, "output_format", "text")
    report = REPORTS["answer" if schema and shape == "text" else shape](out)
    attached = [Attachment(path) for path in getattr(args, "attach", [])]
    wanted = Wanted(
        _prompt(args.prompt, out),
        attached=attached,
        model=args.model,
        fallback=args.fallback_model,
        max_steps=getattr(args, "max_turns", 0),
        schema=schema,
        max_cost=getattr(args, "max_budget", 0.0),
        mode=getattr(args, "mode", ""),
        rules=[(verdict, rule) for verdict in ("deny", "allow") for rule in getattr(args, verdict, [])],
    )
    return Run(paths, out, report).perform(wanted, continue_last=args.continue_last, session=args.session)


def _schema(path: str) -> Any:
    """The JSON in the file, None without one. Raises InvalidParams if it is none; whether it is a schema, the daemon says."""
    if not path:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            schema = json.load(file)
    except OSError as error:
        raise InvalidParams(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidParams(f"{path} is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise InvalidParams(f"{path} is no JSON schema: expected an object")
    return schema


def _prompt(words: list[str], out: Output) -> str:
    """The words, then what stdin holds if it is no terminal. Raises InvalidParams if both are empty."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else _read_stdin(out)
    prompt = "\n\n".join(text for text in (" ".join(words), piped) if text.strip())
    if not prompt:
        raise InvalidParams("there is no prompt: agentctl run 'your question', or pipe it in")
    return prompt


def _read_stdin(out: Output) -> str:
    if not select.select([sys.stdin], [], [], _PATIENCE)[0]:
        out.detail("reading the rest of the prompt from standard input (its end: Ctrl-D, or < /dev/null)")
    data = sys.stdin.buffer.read(MAX_STDIN + 1)
    if len(data) > MAX_STDIN:
        raise InvalidParams("standard input holds more than 1 MiB; put it in a file and name the file")
    return data.decode("utf-8", "replace").strip()
