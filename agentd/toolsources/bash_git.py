"""git, by its verbs: those that are known, without the options by which it runs something or writes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve

from agentd.toolsources.bash_meaning import Run, Word, forbid, names
from agentd.toolsources.bash_words import Unclear
from agentwire.types import Access

_GLOBAL_FLAGS = names("--no-pager -P --no-optional-locks --literal-pathspecs --icase-pathspecs --version --help -h -v")
_OUTPUT = "output ext-diff"
_BAD: Mapping[str, tuple[str, str]] = {
    # verb: letters, names of options that run a program, write a file anywhere, or bring hooks
    "clone": ("cu", "config upload-pack template separate-git-dir server-option bundle-uri"),
    "init": ("", "template separate-git-dir"),
    "fetch": ("", "upload-pack server-option"),
    "pull": ("x", "upload-pack server-option exec"),
    "push": ("", "receive-pack exec"),
    "ls-remote": ("", "upload-pack exec"),
    "rebase": ("x", "exec"),
    "grep": ("O", "open-files-in-pager"),
    "archive": ("o", "output remote exec"),
    "format-patch": ("o", "output output-directory"),
    "am": ("", "exec"),
    "apply": ("", "unsafe-paths"),
    "help": ("w", "web"),
    "tag": ("", ""),
    "log": ("", _OUTPUT),
    "diff": ("", _OUTPUT),
    "show": ("", _OUTPUT),
    "whatchanged": ("", _OUTPUT),
    "reflog": ("", _OUTPUT),
    "stash": ("", _OUTPUT),
}
_VERBS = names("""
    status branch remote rev-parse rev-list ls-files ls-tree blame describe shortlog cat-file merge-base name-rev for-each-ref
    show-ref symbolic-ref var version count-objects add commit checkout switch restore reset merge cherry-pick revert mv rm config
    worktree bisect clean submodule notes check-ignore diff-tree diff-index diff-files gc fsck sparse-checkout bundle cherry
    range-diff interpret-trailers stripspace write-tree commit-tree update-index read-tree hash-object pack-refs prune
    """)
_RUNS: Mapping[str, frozenset[str]] = {"bisect": frozenset({"run", "view", "visualize"}), "submodule": frozenset({"foreach"})}
_SETTINGS = ("user.", "init.defaultbranch", "pull.", "push.default", "push.autosetupremote", "color.", "core.autocrlf", "core.eol")
"""Of `git config`: what may be set without a question. Other keys name programs that run outside of every wall."""
_TEXT_OPTIONS = frozenset({"-m", "--message", "--grep", "-S", "-G", "--author", "--date", "--format", "--pretty", "-e"})
"""The word behind one is no file."""


def git(run: Run) -> None:
    """Of its options before the verb only those that change nothing are known; `-C` is the directory of what follows."""
    at, cwd = 0, run.cwd
    while at < len(run.args) and run.args[at].text.startswith("-"):
        text = run.args[at].text
        if text == "-C" and at + 1 < len(run.args) and not run.args[at + 1].glob:
            cwd = evolve(run, cwd=cwd).resolve(run.args[at + 1].text)
            run.meaning.accesses.append(Access(kind="read", target=cwd))
            at += 2
        elif text in _GLOBAL_FLAGS:
            at += 1
        else:
            raise Unclear(f"git: the option {text[:40]}")
    if at:  # as its verb has it, so that rules about the verb hold
        first, args = _command(run), run.args[at:]
        run.meaning.accesses.remove(first)
        run.meaning.accesses.append(Access(kind="command", words=(first.words[0], *(word.text for word in args))))
        run = evolve(run, args=args, cwd=cwd)
    if run.args:
        _verb(run, run.args[0].text, run.args[1:])


def _command(run: Run) -> Access:
    return next(access for access in run.meaning.accesses if access.kind == "command")


def _verb(run: Run, verb: str, args: Sequence[Word]) -> None:
    if verb not in _VERBS and verb not in _BAD:
        raise Unclear(f"git: the verb {verb[:40]}, which may be an alias")
    short, long = _BAD.get(verb, ("", ""))
    if verb in _BAD:
        forbid(run, args, short=short, long=long)
    words = [word.text for word in args]
    if any("::" in text.partition("=")[2] or text.split("://")[0].partition("::")[1] for text in _remote(verb, words)):
        raise Unclear("git: a remote that is a program")
    if words[:1] and words[0] in _RUNS.get(verb, ()):
        raise Unclear(f"git: {verb} {words[0]} runs a command")
    if verb == "config":
        _config(words)
    _files(run, verb, args)


def _remote(verb: str, words: Sequence[str]) -> Sequence[str]:
    return words if verb in ("clone", "fetch", "pull", "push", "ls-remote", "remote", "submodule", "archive") else ()


def _config(words: Sequence[str]) -> None:
    given = [word for word in words if not word.startswith("-")]
    options = {word for word in words if word.startswith("-")}
    reading = options & {"--get", "--get-all", "--get-regexp", "-l", "--list"} or given[:1] in (["get"], ["list"])
    if options - {
        "--get",
        "--get-all",
        "--get-regexp",
        "-l",
        "--list",
        "--local",
        "--show-origin",
        "--bool",
        "--int",
        "--name-only",
    }:
        raise Unclear("git config: an option")
    if reading or len(given) < 2:
        return
    key = given[1] if given[0] == "set" else given[0]
    if not key.lower().startswith(_SETTINGS) or "signingkey" in key.lower():
        raise Unclear(f"git config: the setting {key[:40]}")


def _files(run: Run, verb: str, args: Sequence[Word]) -> None:
    """What its words name outside of the workspace: it writes there, where it makes a directory of it."""
    kept, skip = [], False
    for word in args:
        if not skip:
            kept.append(word if word.text.partition("=")[0] not in _TEXT_OPTIONS else evolve(word, text=""))
        skip = word.text in _TEXT_OPTIONS or (
            verb == "commit" and word.text[:1] == "-" and word.text[1:2] != "-" and word.text[-1] == "m"
        )
    writes = verb in ("clone", "init", "worktree", "mv", "bundle", "submodule", "config")
    evolve(run, args=tuple(kept)).strays(write=writes)
