"""Bash itself is the judge: on random texts it runs no command, and writes no file, that was not told beforehand.

Nothing that bash runs here exists: every command is one that is not found, whose words its own handler reports.
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from agentd.toolsources.bash_syntax import accesses_of

BASH = shutil.which("bash")
ATOMS = (
    *(
        "p",
        "q",
        "a",
        "f",
        "d",
        "-h",
        "*",
        "?",
        "[fg]",
        "~",
        "{",
        "}",
        "{}",
        "{a,b}",
        "!",
        "#",
        "=",
        "a=b",
        "CI=1",
        "x=1",
        "1",
        "2",
        "-",
    ),
    *(
        "if",
        "then",
        "else",
        "elif",
        "fi",
        "for",
        "in",
        "do",
        "done",
        "while",
        "case",
        "esac",
        "function",
        "time",
        "[[",
        "]]",
        "select",
    ),
    *(
        ";",
        ";",
        "&",
        "&&",
        "||",
        "|",
        "|&",
        "(",
        ")",
        "((",
        "<",
        ">",
        ">>",
        ">|",
        "&>",
        ">&",
        "<&",
        "<<",
        "<<<",
        "<<-",
        "<>",
        "2>",
        ">&2",
    ),
    *(
        "\n",
        "\n",
        " ",
        " ",
        " ",
        "\t",
        "\\\n",
        "\\",
        "\\ ",
        '\\"',
        "\\'",
        '"',
        '"',
        "'",
        "'",
        "$",
        "$x",
        "${x}",
        '"$f"',
        "$(p)",
        "`p`",
    ),
    *(
        "$((1))",
        "$'a'",
        "E",
        "'E'",
        "\nE\n",
        "cd d",
        "cd ..",
        "./",
        "../",
        "true",
        "false",
        "echo",
        "eval",
        "$?",
        "$PWD",
        "command",
        "é",
    ),
    *("for f in a b; do p $f; done", "if p; then q; fi", "{ p; }", "(p)", "while false; do p; done"),
)
COMMANDS = ("p", "q", "p a", 'q "b c"', "k 'd e'", "p > f", "q < g", "p 2>&1", "cd d", "p ../g", "echo a", "true", "false")
BETWEEN = (" ; ", " && ", " || ", " | ", "\n", " & ", ";", "&&", "|", " ")
REPORT = '() { local l; printf -v l "%q " "$@"; printf "%s\\n" "$l" >&9; return $((RANDOM % 2)); }'


def some_text(chance: random.Random) -> str:
    """Either a heap of pieces, or commands one after another with a few pieces dropped into them."""
    if chance.random() < 0.4:
        return "".join(chance.choice(ATOMS) + chance.choice(("", " ", " ")) for _ in range(chance.randint(1, 12)))
    letters = list("".join(chance.choice(COMMANDS) + chance.choice(BETWEEN) for _ in range(chance.randint(1, 5))))
    for _ in range(chance.randint(0, 4)):
        letters.insert(chance.randrange(len(letters) + 1), chance.choice(ATOMS))
    return "".join(letters)


def done_by_bash(text: str, directory: Path) -> tuple[list[list[str]], set[str]]:
    """The commands that it ran, with their words, and the files that are there now and were not."""
    (directory / "d").mkdir(parents=True)
    (directory / "f").touch()
    (directory / "g").touch()
    heard, told = os.pipe()
    environment = {"PATH": "/nonexistent", "HOME": "/nonexistent", "BASH_FUNC_command_not_found_handle%%": REPORT}
    process = subprocess.Popen(
        [str(BASH), "-c", f'exec 9>&{told} {told}>&-\neval "$0"', text],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[told],
        start_new_session=True,
    )
    os.close(told)
    try:
        with open(heard, encoding="utf-8", errors="replace") as pipe:
            lines = pipe.read().splitlines()  # to its end: also what runs in the background is over
        process.wait(10)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    made = {str(path) for path in directory.rglob("*") if path.is_file()} - {str(directory / name) for name in ("f", "g")}
    return [shlex.split(line) for line in lines if "$'" not in line], made


def foretold(ran: list[str], commands: list[tuple[str, ...]]) -> bool:
    """Word by word, but for file names and values that are not known."""

    def same(words: tuple[str, ...]) -> bool:
        fixed = [word for word in words if not any(letter in word for letter in "*?[$")]
        return list(words) == ran or (len(fixed) < len(words) and ran[0] == words[0] and all(word in ran for word in fixed))

    return any(same(words) for words in commands)


@pytest.mark.slow
@pytest.mark.skipif(BASH is None, reason="there is no bash to be the judge")
@pytest.mark.parametrize("seed", range(8))
def test_bash_does_what_was_told(seed: int, tmp_path: Path) -> None:
    """Where nothing is unclear, all that happens was told."""
    chance, compared = random.Random(seed), 0
    for number in range(250):
        directory = tmp_path.resolve() / str(number)
        text = some_text(chance)
        accesses = accesses_of(text, str(directory), (str(directory),), "/nonexistent")
        if any(access.kind == "unclear" for access in accesses) or "while" in text:
            continue
        compared += 1
        ran, made = done_by_bash(text, directory)
        commands = [access.words for access in accesses if access.kind == "command"]
        assert [one for one in ran if not foretold(one, commands)] == [], text
        assert made <= {access.target for access in accesses if access.kind == "write"}, text
    assert compared > 30
