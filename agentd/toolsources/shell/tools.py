"""The tools `shell` and `job`: a command line in the session's directory, and those that go on behind it.

A command is judged by what its text says that it does (bash_syntax.py), and held by the walls around it, whatever it does.
"""

from __future__ import annotations

import os.path
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import trio
from attrs import evolve, frozen

from agentd.ports import FixedTools, Place, Profile, Spawner, ToolContext, ToolOutcome, ToolSpec
from agentd.toolsources.arguments import structured
from agentd.toolsources.environment import FALLBACK_PATH, built
from agentd.toolsources.shell import job
from agentd.toolsources.shell.hints import hints, leaves_behind
from agentd.toolsources.shell.output import Output
from agentd.toolsources.shell.running import Ran, Running
from agentwire.errors import ToolError
from agentwire.types import Access, BlobRef, Text

LONGEST = 86400.0
"""Seconds that a command may ask for."""
LONGEST_COMMAND = 64 * 1024
"""Characters; the system takes no more than twice as many bytes, and what is longer is not understood (bash_syntax)."""
SHOWN = 30_000
"""Characters of a result that a model is shown: half from the beginning, half from the end."""
_SAID = 4096
"""Characters of the end of the output in which a failure is looked for."""
_PLAIN = {
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "npm_config_update_notifier": "false",
    "PYTHONUNBUFFERED": "1",
}
"""Nobody sits there: no colours, pager, editor, questions or advertisements; what Python says comes in the order it was said."""
_OFFLINE = {"PIP_RETRIES": "0", "npm_config_fetch_retries": "0", "UV_HTTP_RETRIES": "0", "CARGO_NET_RETRY": "0"}
"""Without a network there is nothing to be gained from trying again, which npm does for more than a minute."""

_SHELL = """\
Run a command line with bash in the session's directory; returns its output (stdout and stderr as they came) and exit code.
- Each call is a shell of its own: directories and variables do not carry over. Use `cwd`, or `cd DIR && ...`. Its input is empty.
- Plain commands need no question; variables, substitutions and `source` may. Do not activate a virtual environment: call \
`.venv/bin/python -m pytest` and the like by their paths.
- It runs in a sandbox: it writes in the workspace and in /tmp, reads the system, and has no network. `network: true` gives it the \
network (to clone, install, download); the user may be asked. Without it each command has a localhost of its own: a server and \
those who talk to it need it, too.
- It is killed after `timeout` seconds. A server, a watcher or whatever else goes on: `background: true` starts it as a job and \
returns its number; look after it with `job`. What is started with `&` ends with the call.
- To read, find, search and change files use read, glob, grep, write and edit, not cat, find, sed or echo. Long output is shown by \
its beginning and its end."""


@frozen(kw_only=True)
class ShellArguments:
    command: Annotated[str, msgspec.Meta(pattern=r"^[^\0]+$", max_length=LONGEST_COMMAND)]
    timeout: Annotated[float, msgspec.Meta(gt=0, le=LONGEST)] | None = None
    cwd: Annotated[str, msgspec.Meta(pattern=r"^[^\0]*$")] = ""
    network: bool = False
    background: bool = False
    description: str = ""


class ShellTools(FixedTools):
    """`timeout`: seconds that a command gets which does not say."""

    name = "shell"

    def __init__(self, spawner: Spawner, timeout: Callable[[], float]) -> None:
        self._spawner, self._timeout = spawner, timeout
        self._home = os.path.expanduser("~")
        self._shell = shutil.which("bash", path=FALLBACK_PATH) or "/bin/sh"
        self.offered = (_shell_spec(), job.spec())

    def accesses(self, name: str, arguments: Mapping[str, Any], place: Place) -> Sequence[Access]:
        if name == job.NAME:
            job.parse(arguments)
            return ()
        from agentd.toolsources.bash_syntax import accesses_of  # not before there is a command

        asked = structured(arguments, ShellArguments)
        cwd = os.path.realpath(self._cwd(asked, place))
        found = accesses_of(asked.command, cwd, place.roots, self._home)
        if not any(cwd == root or cwd.startswith(root.rstrip("/") + "/") for root in place.roots):
            found = [Access(kind="read", target=cwd), *found]
        return [*found, Access(kind="network", target="*")] if asked.network else found

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        if name == job.NAME:
            return await job.call(job.parse(arguments), context)
        if name != "shell":
            raise ToolError(f"there is no tool called {name}")
        asked = structured(arguments, ShellArguments)
        offline = _OFFLINE if context.sandbox is not None and not context.sandbox.network else {}
        profile = Profile(
            cwd=self._cwd(asked, context),
            environment=built({**_PLAIN, **offline, **context.environment}, context.call),
            sandbox=context.sandbox,
            gated=True,
            silent=True,
            merged=True,
        )
        argv = [self._shell, "-c", asked.command]
        if asked.background:
            return await job.begin(asked.command, argv, profile, context)
        output = Output()
        ran = await Running(output, context.progress).run(self._spawner, argv, profile, asked.timeout or self._timeout())
        text = await trio.to_thread.run_sync(output.text) if output.long else output.text()
        text = "\n".join([*filter(None, [text.rstrip("\n")]), *_remarks(ran, text, asked.command, context)])
        return ToolOutcome(outcome="error" if ran.failed else "ok", parts=(await _part(text, context),))

    def _cwd(self, asked: ShellArguments, place: Place) -> str:
        return os.path.join(place.cwd, os.path.expanduser(asked.cwd))


def _shell_spec() -> ToolSpec:
    properties = {
        "command": {"type": "string", "description": "the command line; it may have several lines"},
        "description": {"type": "string", "description": "what it does, in five to ten words, for the user"},
        "timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": LONGEST,
            "description": "seconds it may take, if it needs longer than usual",
        },
        "cwd": {"type": "string", "description": "another directory to run it in, absolute or relative to the session's"},
        "network": {"type": "boolean", "description": "give it the network"},
        "background": {"type": "boolean", "description": "start it as a job, and do not wait for its end"},
    }
    parameters = {"type": "object", "properties": properties, "required": ["command"], "additionalProperties": False}
    return ToolSpec(name="shell", description=_SHELL, parameters=parameters, effect="once", policy="ask")


async def _part(text: str, context: ToolContext) -> Text | BlobRef:
    """Of a long text the beginning and the end are shown; the whole is kept, to be read on in."""
    if len(text) <= SHOWN or context.blob is None:
        return Text(text=text)
    whole = await context.blob(text.encode("utf-8", "replace"), "text/plain")
    return evolve(whole, head=text[: SHOWN // 2], tail=text[-SHOWN // 2 :])


def _remarks(ran: Ran, text: str, command: str, context: ToolContext) -> list[str]:
    """Behind the output, where a model looks first: how it ended, and what could be done about it."""
    remarks = [_ending(ran)]
    if ran.left or leaves_behind(command):
        remarks.append("what it had left running was ended with it; background: true starts what is to go on")
    if ran.failed:
        remarks += hints(text[-_SAID:], context.sandbox)
    return [f"[{remark}]" for remark in remarks]


def _ending(ran: Ran) -> str:
    """Seconds are told where they matter; otherwise the same command says the same."""
    if ran.timed_out:
        return f"killed after {round(ran.seconds, 1):g} s, which is its timeout; give it more, or run it with background: true"
    how = f"exit code {ran.code}" if ran.code >= 0 else f"killed by signal {-ran.code} ({signal.strsignal(-ran.code)})"
    return f"{how}, {ran.seconds:.0f} s" if ran.seconds >= 2 else how
