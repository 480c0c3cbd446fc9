"""Recorded work on small repositories, replayed by a scripted model through the real tools in the default sandbox and mode.

Nobody is there to be asked, so a question would be a denial: none may come. In the end the working tree is as the work leaves it,
and nothing outside of it has changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.fakes.real import Home, Models, call, rule, say

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "/usr/bin:/bin")])


@frozen(kw_only=True)
class Step:
    """One call: its tool and arguments, the outcome, and what its result says."""

    tool: str
    arguments: dict[str, Any]
    outcome: str = "ok"
    says: str = ""


def shell(command: str, says: str = "", *, outcome: str = "ok", **more: Any) -> Step:
    return Step(tool="shell", arguments={"command": command, **more}, outcome=outcome, says=says)


def use(tool: str, says: str = "", *, outcome: str = "ok", **arguments: Any) -> Step:
    return Step(tool=tool, arguments=arguments, outcome=outcome, says=says)


@frozen(kw_only=True)
class Task:
    """`files`: of the repository `origin` that the work begins with. `ends`: files as they are then, by a text that is in them."""

    files: dict[str, str]
    steps: Sequence[Step]
    ends: dict[str, str]


CALC = "def add(a, b):\n    return a - b\n"
TEST_CALC = "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
PACKAGE = '{"name": "sum", "version": "1.0.0", "type": "module", "scripts": {"test": "node --test", "build": "node build.js"}}\n'

TASKS: dict[str, Task] = {
    "mends a failing pytest": Task(
        files={"calc.py": CALC, "test_calc.py": TEST_CALC, "README.md": "# Calc\n"},
        steps=[
            use("todo", todos=[{"text": "mend add", "state": "in_progress"}]),
            shell("git clone -q origin project && ls project", "calc.py"),
            use("grep", "calc.py", pattern="def add", path="project"),
            use("read", "return a - b", path="project/calc.py"),
            shell("cd project && python -m pytest -q 2>&1 | tail -15", "1 failed"),
            # Another length: CPython takes a .pyc for current that has its source's whole second and size, and a scripted model
            # edits within the second of the clone.
            use("edit", path="project/calc.py", old="a - b", new="sum((a, b))"),
            shell("cd project && python -m pytest -q", "1 passed"),
            shell(
                'cd project && git add -A && git commit -q -m "Mend the sum: it was a difference" && git log --oneline | head -3',
                "Mend",
            ),
            use("todo", todos=[{"text": "mend add", "state": "done"}]),
        ],
        ends={"project/calc.py": "sum((a, b))", "origin/calc.py": "a - b"},
    ),
    "adds a feature to a node package": Task(
        files={"package.json": PACKAGE, "sum.js": "export const sum = (...n) => n.reduce((a, b) => a + b, 0)\n"},
        steps=[
            shell("git clone -q origin app"),
            use("glob", "sum.js", pattern="app/**/*.js"),
            use("read", "export const sum", path="app/sum.js"),
            use(
                "edit",
                path="app/sum.js",
                old="export const sum",
                new="export const mean = (...n) => sum(...n) / n.length\nexport const sum",
            ),
            use(
                "write",
                path="app/sum.test.js",
                content="import test from 'node:test'\nimport assert from 'node:assert'\nimport { mean } from './sum.js'\n"
                "test('mean', () => assert.equal(mean(1, 2, 3), 2))\n",
            ),
            shell("cd app && npm test 2>&1 | tail -20", "pass 1"),
            shell(
                "cd app && git add . && git commit -qm 'Add the mean' && git status --short && git show --stat HEAD", "sum.test.js"
            ),
        ],
        ends={"app/sum.js": "mean"},
    ),
    "builds with make": Task(
        files={
            "Makefile": "hello: hello.c\n\t$(CC) -o hello hello.c\n\ncheck: hello\n\t./hello | grep -q world\n",
            "hello.c": '#include <stdio.h>\nint main(void) { puts("hello") return 0; }\n',
        },
        steps=[
            shell("git clone -q origin c"),
            shell("cd c && make check", "error", outcome="error"),
            use("read", "puts", path="c/hello.c"),
            use("edit", path="c/hello.c", old='puts("hello") return', new='puts("hello, world"); return'),
            shell("cd c && make check && echo built", "built"),
            shell(
                "cd c && printf 'hello\\n*.o\\n' > .gitignore && git add -A && git commit -qm 'Mend' && git diff HEAD~1 --stat",
                "hello.c",
            ),
        ],
        ends={"c/hello.c": "world", "c/.gitignore": "*.o"},
    ),
    "looks around and writes a script": Task(
        files={"a.txt": "one\ntwo\n", "b.txt": "three\n"},
        steps=[
            shell("cd origin; git status --short; git branch -a; wc -l *.txt | tail -1", "3 total"),
            shell("cat > count.py <<'EOF'\nimport sys\nprint(sum(len(open(name).readlines()) for name in sys.argv[1:]))\nEOF", ""),
            shell("python count.py origin/a.txt origin/b.txt", "3"),
            shell("for f in origin/a.txt origin/b.txt; do head -1 $f; done", "one"),
            shell("grep -rn two origin || true; ls -la | head -20; pwd", "a.txt"),
            shell("git -C origin log --oneline 2>&1 | wc -l && du -sh origin > size.txt; cat size.txt", "origin"),
        ],
        ends={"count.py": "sys.argv"},
    ),
}
FAST = "mends a failing pytest"


def recorded(task: Task) -> list[dict[str, Any]]:
    """The model makes the recorded calls, one a step, whatever the tools say."""
    rules = [rule("", call(step.tool, **step.arguments), after_tools=index) for index, step in enumerate(task.steps)]
    return [*rules, rule("", say("All is done."), after_tools=len(task.steps))]


def prepare(home: Home, task: Task) -> Path:
    """A workspace with the repository `origin` in it, of a person who has told git who he is."""
    home.write(".gitconfig", "[user]\n\tname = Ann\n\temail = ann@example.test\n[init]\n\tdefaultBranch = main\n")
    for name, content in task.files.items():
        home.write(f"work/origin/{name}", content)
    origin = home.path / "work/origin"
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Begin"]):
        subprocess.run(["git", *command], cwd=origin, check=True, env={"HOME": str(home.path), "PATH": PATH})
    return home.path / "work"


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == FAST else pytest.mark.slow) for name in TASKS])
async def test_a_model_that(name: str) -> None:
    """Every call ends as recorded, without a question, and the files are as the work leaves them."""
    task = TASKS[name]
    with Home() as home, Models(recorded(task)) as models:
        work = prepare(home, task)
        home.write("precious.txt", "untouched")
        async with home.start(models).connect() as peer:
            session = (await peer.call("session/create", cwd=str(work), environment={"PATH": PATH, "LANG": "C.UTF-8"}))["id"]
            await peer.call("session/watch", session=session)
            await peer.prompt(session, "do it")
            end = (await peer.until("turn_finished"))["data"]
            log = await peer.log(session)
        said = [event["data"] for event in log if event["kind"] == "tool_finished"]
        for step, result in zip(task.steps, said, strict=True):
            text = "".join(part.get("text", "") for part in result["parts"])
            assert (step.tool, step.arguments, result["outcome"]) == (step.tool, step.arguments, step.outcome), text
            assert step.says in text, (step, text)
        assert (end["outcome"], end["denials"]) == ("done", 0)
        for path, content in task.ends.items():
            assert content in (work / path).read_text()
        assert (home.path / "precious.txt").read_text() == "untouched"
