"""`agentctl` as its users run it: a process with arguments, standard streams and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Newline-delimited JSON on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


def start(home: Path, *arguments: str, stdin: int = subprocess.DEVNULL, **environment: str) -> subprocess.Popen[bytes]:
    """A running command, with pipes for its output."""
    environ = {**os.environ, "AGENTD_HOME": str(home), **environment}
    command = [sys.executable, "-m", "agentctl", *arguments]
    return subprocess.Popen(command, env=environ, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home)


def end(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> Answer:
    """Waits for a command's end."""
    out, err = process.communicate(stdin, timeout=30)
    return Answer(process.returncode, out.decode(), err.decode())


def agentctl(home: Path, *arguments: str, stdin: bytes | None = None, **environment: str) -> Answer:
    """A command from beginning to end."""
    where = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    return end(start(home, *arguments, stdin=where, **environment), stdin)
