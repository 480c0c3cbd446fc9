"""What a shell command would do: its simple commands, the files it names, and what nobody can tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.core.permit import Judgement, Policy, decide, of_lists
from agentd.ports import ToolSpec
from agentd.toolsources.bash_meaning import names
from agentd.toolsources.bash_syntax import accesses_of
from tests.toolsources.shell_strings import HOSTILE, ORDINARY, RULES

HOME = "/home/somebody"


@pytest.fixture
def workspace(tmp_path: Path) -> str:
    (tmp_path / "sub").mkdir()
    (tmp_path / "file").write_text("text")
    return str(tmp_path.resolve())


def told(command: str, workspace: str) -> list[str]:
    """Its accesses in short: the words of a command, `<` and `>` before a file that is read or written, `?` for what is unclear."""
    marks = {"read": "<", "write": ">", "unclear": "?"}
    found = accesses_of(command, workspace, (workspace,), HOME)
    return [
        " ".join(one.words) if one.kind == "command" else marks[one.kind] + one.target.replace(workspace, "W")
        for one in found
        if one.kind != "unclear"
    ] + ["?" for one in found if one.kind == "unclear"][:1]


@pytest.mark.parametrize(
    ("command", "accesses"),
    [
        ("git status", ["git status"]),
        ("'git' \"status\" --s\\hort", ["git status --short"]),
        ("git log --oneline | head -n 5", ["git log --oneline", "head -n 5"]),
        ("make && echo done || echo failed; pwd &", ["make", "echo done", "echo failed", "pwd"]),
        ("(make; ls)", ["make", "ls"]),
        ("{ make; ls; } > log", [">W/log", "make", "ls"]),
        ("if test -f file; then make; elif ls; then pwd; else true; fi", ["test -f file", "make", "ls", "pwd", "true"]),
        ("while read -r line; do echo $line; done < file", ["<W/file", "read -r line", "echo $line"]),
        ("for one in a b; do echo $one; done", ["echo a", "echo b"]),
        ("! ls", ["ls"]),
        ("make 2>&1 >/dev/null", ["make"]),
        ("make >> log 2> errors", [">W/log", ">W/errors", "make"]),
        ("cat <<'END' > out\nrm -rf / $(id)\nEND\nls", [">W/out", "cat", "ls"]),
        ("ls # rm -rf /", ["ls"]),
        ("cat file sub/none", ["cat file sub/none", "<W/file"]),
        ("cat ~/.ssh/id_rsa", [f"cat {HOME}/.ssh/id_rsa", f"<{HOME}/.ssh/id_rsa"]),
        ("cat /etc/shadow", ["cat /etc/shadow", "</etc/shadow"]),
        ("rm -rf sub", ["rm -rf sub", ">W/sub"]),
        ("cp file /etc/x", ["cp file /etc/x", "<W/file", ">/etc/x"]),
        ("timeout 5 nice -n 3 make", ["timeout 5 nice -n 3 make", "nice -n 3 make", "make"]),
        ("bash -c 'ls; pwd'", ["bash -c ls; pwd", "ls", "pwd"]),
        ("git -C sub --no-pager log", ["<W/sub", "git log"]),
        ("find . -name x -exec rm {} +", ["find . -name x -exec rm {} +", "<W", "rm {}", ">W/{}"]),
        ("eval 'rm file'", ["eval rm file", "rm file", ">W/file", "?"]),
        ("sudo rm file", ["sudo rm file", "rm file", ">W/file", "?"]),
    ],
)
def test_what_is_told(workspace: str, command: str, accesses: list[str]) -> None:
    """Each simple command with its words, and the files."""
    assert told(command, workspace) == accesses


@pytest.mark.parametrize(
    ("command", "reads"),
    [
        ("cd sub && cat ../file", "<W/file"),
        ("cd sub; cat ../../x", "<{parent}/x"),
        ("cd sub || cat ../x", "<{parent}/x"),
        ("(cd sub); cat sub/../file", "<W/file"),
        ("cd sub | cat ../x", "<{parent}/x"),
        ("if cd sub; then cat ../file; fi", "<W/file"),
        ("cd ..", "<{parent}"),
        ("cd sub && cat < ../file | tail > out", "<W/file"),
        ("cd sub && cat < x | tail > out", ">W/sub/out"),
        ("cd sub && (ls) > out", ">W/sub/out"),
        ("cd sub && > out", ">W/sub/out"),
    ],
)
def test_the_directory_is_followed(workspace: str, command: str, reads: str) -> None:
    """A path is one from where the shell is by then; where it may be in two places, both count."""
    assert reads.replace("{parent}", str(Path(workspace).parent)) in told(command, workspace)


def test_what_a_pattern_stands_for_is_told(workspace: str) -> None:
    """Rules may be about one of the files, and one may be a link that leads elsewhere."""
    (Path(workspace) / "sub" / "a.key").touch()
    (Path(workspace) / "sub" / "b").symlink_to("/root")
    assert told("cat sub/*", workspace) == ["cat sub/*", "<W/sub", "<W/sub/a.key", "</root"]
    assert told("rm sub/*.key", workspace) == ["rm sub/*.key", ">W/sub", ">W/sub/a.key"]


def test_a_link_out_of_the_workspace_is_seen(workspace: str) -> None:
    """What counts is where a path leads."""
    (Path(workspace) / "out").symlink_to("/root")
    assert "</root/x" in told("cat out/x", workspace)
    assert ">/root/x" in told("echo > out/x", workspace)


@pytest.mark.parametrize(
    "command", ["echo " + "x" * 70_000, "; ".join(["ls"] * 51), "ls $(id)", "ls `id`", "ls \x00", "ls (", "if ls"]
)
def test_what_is_not_understood_is_said(workspace: str, command: str) -> None:
    """It is unclear, whatever else is in it."""
    assert told(command, workspace)[-1] == "?"


# --- past the rules, and without a question ---------------------------------------------------------------------------------------

SHELL = ToolSpec(name="shell", description="", parameters={})


def judged(command: str, workspace: str, *rules: str) -> Judgement:
    policy = Policy(roots=(workspace,), home=HOME, walled=False, rules=of_lists(rules, scope="user"))
    return decide(policy, SHELL, accesses_of(command, workspace, (workspace,), HOME))


def test_there_are_enough_of_them() -> None:
    """Each is there once."""
    assert len(HOSTILE) == len(set(HOSTILE)) >= 800
    assert len(ORDINARY) == len(set(ORDINARY)) >= 140


@pytest.mark.parametrize("command", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_slips_past_a_rule(workspace: str, command: str) -> None:
    """With rules that allow five commands whatever their arguments, it is asked about all the same."""
    assert judged(command, workspace, *RULES).verdict != "allow"


@pytest.mark.parametrize("command", ORDINARY, ids=range(len(ORDINARY)))
def test_ordinary_work_is_not_asked_about(workspace: str, command: str) -> None:
    """In mode default, with no rule of the user's."""
    found = judged(command, workspace)
    assert (found.verdict, found.why) == ("allow", found.why)


@pytest.mark.parametrize(
    "command",
    [
        "rm x",
        "/bin/rm x",
        "'r'm x",
        "ls; rm x",
        "timeout 5 nice rm x",
        "env CI=1 rm x",
        "sudo -n rm x",
        "bash -c 'ls; rm x'",
        "eval 'rm x'",
        "find . -exec rm {} +",
        "ls | xargs rm",
        "npx rm x",
        "exec rm x",
        "command rm x",
        "watch rm x",
        "PATH=/x rm x",
        "uv run rm x",
        "for f in a; do rm $f; done",
        "if ls; then rm x; fi",
    ],
)
def test_what_is_forbidden_is_found(workspace: str, command: str) -> None:
    """Also behind what runs it, in any mode."""
    accesses = accesses_of(command, workspace, (workspace,), HOME)
    for mode in ("default", "bypass"):
        policy = Policy(roots=(workspace,), mode=mode, rules=of_lists(deny=["shell(rm *)"], scope="user"))
        assert decide(policy, SHELL, accesses).verdict == "deny"


def test_what_is_proposed_for_a_command(workspace: str) -> None:
    """A rule for each that needs one; none for what nobody understands."""
    assert judged("cd sub && fly 'a b' && ls", workspace).proposes == ("shell(fly 'a b')",)
    assert judged("fly > ../x", workspace).proposes == (f"write({Path(workspace).parent}/x)", "shell(fly)")
    assert judged("fly $(x)", workspace).proposes == ()
    rules = judged("fly 'it is \"*\"' | swim", workspace).proposes
    assert judged("fly 'it is \"*\"' | swim", workspace, *rules).verdict == "allow"
    assert judged("fly 'it is \"x\"' | swim", workspace, *rules).verdict == "ask"


PIECES = st.sampled_from(
    [
        *(
            "-c",
            "-e",
            "-n",
            "-x",
            "-C",
            "--",
            "-",
            "x",
            "/etc",
            "*",
            "-exec",
            "{}",
            ";",
            "'s/a/b/'",
            "p",
            "=",
            "a=b",
            "-o",
            "-i",
            "-m",
        ),
        *(
            "'a b'",
            "\\;",
            "+",
            "5",
            "''",
            '"$x"',
            "$x",
            "..",
            "~",
            "]",
            "-t",
            "status",
            "set",
            "--output=x",
            "<<E",
            ">",
            "|",
            "(",
            "\n",
        ),
    ]
)
PROGRAMS = st.sampled_from(
    sorted(
        names(
            """
            git find sed awk xargs tar make python npm env timeout cd test [ [[ printf cp rm dd sort jq node date bash npx rg export
            read set time nice sudo eval gcc go cargo uv chmod hostname uniq
            """
        )
    )
)


@given(text=st.one_of(st.text(max_size=40), st.text("ab \n\t'\"\\$(){}[]|&;<>#*?~=-`!/.E0", max_size=40)))
def test_any_text_is_read(text: str) -> None:
    """Whatever it is, something is told, or that it is unclear."""
    accesses_of(text, "/w", ("/w",), HOME)


@given(program=PROGRAMS, pieces=st.lists(PIECES, max_size=5))
def test_any_arguments_are_read(program: str, pieces: list[str]) -> None:
    """Also those that no program takes."""
    accesses_of(" ".join([program, *pieces]), "/w", ("/w",), HOME)
