"""What a simple command does by its arguments: what it runs in turn, what it reads and writes, and what nobody can tell.

Each program that can do more than its name says has a function here, or in one of the `bash_*` files beside; a program without one
is taken as its name, with every argument that leads out of the workspace.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Mapping, Sequence

from attrs import evolve

from agentd.toolsources.bash_git import git
from agentd.toolsources.bash_meaning import Meaning, Run, Word, beneath, names, parse_options
from agentd.toolsources.bash_programs import PROGRAMS
from agentd.toolsources.bash_words import Unclear, is_name
from agentwire.types import Access

_UNCLEAR = names("""
    eval source . trap alias unalias enable hash bind complete compgen declare typeset local readonly let mapfile readarray coproc
    fc history getopts select case function pushd popd dirs shopt fg bg disown suspend caller sudo doas su pkexec runuser setpriv
    unshare nsenter chroot fakeroot busybox toybox parallel watch strace ltrace gdb lldb script scriptreplay expect entr screen
    tmux at batch crontab systemd-run flock setsid stdbuf unbuffer ionice taskset chrt less more most man info vi vim vimdiff view
    nvim nano emacs ed ex pico joe rvim csh tcsh fish ksh mksh start-stop-daemon inotifywait socat ncat nc telnet ftp sftp lftp
    gnuplot m4 bc dc mail mutt tclsh lua luajit Rscript php deno bun osascript irb ghci
    """)
"""Programs that run what they are told in a language of their own, become somebody else, or change what later words mean."""
_RUNNERS = names("sudo doas pkexec parallel watch strace ltrace entr setsid stdbuf unbuffer ionice chrt coproc fakeroot")
_READERS = names("""
    cat head tail wc stat du nl od hexdump strings cmp diff comm cut paste fold column expand unexpand ls readlink realpath basename
    md5sum sha1sum sha256sum sha512sum sha224sum sha384sum b2sum cksum sum base64 tac rev pr fmt tsort zcat
    """)
_WRITERS = names("rm rmdir mkdir touch mv chmod chown chgrp truncate tee shred unlink mkfifo mknod gzip gunzip bzip2 xz")
_TEXT = names("echo printf true false : test [ [[ exit sleep seq expr")
"""Their arguments are not files."""
_ANY_VALUE = names("echo test [ [[ exit sleep seq true false :")
"""What their arguments are does not matter."""

HARMLESS_NAMES = names("""
    NODE_ENV CI FORCE_COLOR NO_COLOR CLICOLOR CLICOLOR_FORCE TERM COLUMNS LINES LANG LC_ALL LC_CTYPE TZ DEBUG VERBOSE
    RUST_LOG RUST_BACKTRACE PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED PYTHONHASHSEED PYTHONIOENCODING PYTHONUTF8 CGO_ENABLED
    GOOS GOARCH CARGO_TERM_COLOR PYTHONPATH HUSKY TAP_COLORS
    """)
"""Environment variables that may be set before a command; PYTHONPATH to directories of the workspace."""


def meanings(words: Sequence[Word], cwd: str, roots: tuple[str, ...], home: str, *, fed: str = "") -> Meaning:
    """What the command `words` does in `cwd`. What is not understood is an access `unclear`."""
    meaning = Meaning()
    try:
        if words:
            _command(words, cwd, roots, home, fed, meaning)
    except Unclear as reason:
        meaning.accesses.append(Access(kind="unclear", target=str(reason)))
    return meaning


def assigned(words: Sequence[Word], cwd: str, roots: tuple[str, ...]) -> tuple[Sequence[Word], list[str]]:
    """The command behind variables that are set for it, and what is unclear about these. They must be harmless; the shell's own
    small ones may be set alone."""
    unclear: list[str] = []
    for number, word in enumerate(words):
        if not word.assigns:
            return words[number:], unclear
        name, _, value = word.text.partition("=")
        try:
            if name in HARMLESS_NAMES:
                _harmless(name, value, cwd, roots, opaque=word.opaque)
            elif len(words) > 1 or not name.islower() or name.endswith("_proxy"):
                unclear.append(f"the variable {name[:40]} is set")
        except Unclear as reason:
            unclear.append(str(reason))
    return (), unclear


def _harmless(name: str, value: str, cwd: str, roots: tuple[str, ...], *, opaque: bool) -> None:
    directories = [os.path.realpath(os.path.join(cwd, one)) for one in value.split(":")]
    if name == "PYTHONPATH" and (opaque or not all(beneath(one, roots) for one in directories)):
        raise Unclear("PYTHONPATH leads out of the workspace")
    if name != "PYTHONPATH" and not re.fullmatch(r"[\w.,@ *+-][\w.,:@ *+-]*|[A-Za-z_]+/[A-Za-z_]+|", value):
        raise Unclear(f"the variable {name} is set to a path")


def _command(words: Sequence[Word], cwd: str, roots: tuple[str, ...], home: str, fed: str, meaning: Meaning) -> None:
    first = words[0]
    meaning.accesses.append(Access(kind="command", words=tuple(word.text for word in words)))
    if first.glob or first.opaque or not first.text.isascii() or not re.fullmatch(r"[\w@%+:,./\[!-]+", first.text):
        raise Unclear("the command's name is not plain")
    name = os.path.basename(first.text)
    run = Run(name=name, args=tuple(words[1:]), cwd=cwd, roots=roots, home=home, fed=fed, meaning=meaning)
    if any(word.opaque for word in run.args) and name not in _ANY_VALUE and name != "printf":
        raise Unclear(f"{name}: a variable among its arguments")
    if name in _UNCLEAR:
        _anything(run)
    if "/" in first.text and not beneath(os.path.normpath(os.path.join(cwd, first.text)), roots):  # a link: a venv's python is one
        meaning.accesses.append(Access(kind="read", target=run.resolve(first.text)))
    _MEANINGS.get(re.sub(r"^(python|pypy)[\d.]+$", r"\1", name), _plain)(run)


def _anything(run: Run) -> None:
    """What it may run is noted, as well as can be told: for rules that forbid it."""
    inner = next((number for number, text in enumerate(run.texts) if not text.startswith("-")), None)
    if run.name == "eval" and not any(word.opaque or word.glob for word in run.args):
        run.meaning.scripts.append((" ".join(run.texts), run.cwd))
    elif inner is not None and run.name in _RUNNERS:
        run.meaning.commands.append((run.args[inner:], run.cwd))
    raise Unclear(f"the command {run.name} may do anything")


def _plain(run: Run) -> None:
    if run.name in _TEXT:
        return
    if run.name in _READERS:
        run.reads(word for word in run.args if not word.text.startswith("-"))
    elif run.name in _WRITERS:
        run.writes(word for word in run.args if not word.text.startswith("-") and not _mode(run, word.text))
    run.strays(write=run.name in _WRITERS)


def _mode(run: Run, text: str) -> bool:
    """`chmod 644 x`: what is no file."""
    return run.name in ("chmod", "chown", "chgrp") and run.args[0].text == text


# --- the shell's own -------------------------------------------------------------------------------------------------------------


def _cd(run: Run) -> None:
    operands = [word for word in run.args if word.text not in ("-P", "-L", "--")]
    if len(operands) > 1 or (operands and (operands[0].glob or operands[0].text in ("-", ""))):
        raise Unclear("cd: it cannot be told where to")
    text = operands[0].text if operands else run.home
    if text.startswith("-"):
        raise Unclear("cd: an option")
    run.meaning.enters = run.resolve(text)
    run.meaning.accesses.append(Access(kind="read", target=run.meaning.enters))
    if run.meaning.enters != os.path.normpath(os.path.join(run.cwd, text)):
        raise Unclear("cd: through a link, so that .. may be one place or another")


def _test(run: Run) -> None:
    closing = {"[": "]", "[[": "]]"}.get(run.name)
    texts = run.texts
    if closing and (not texts or texts[-1] != closing):
        raise Unclear("a condition that is not plain")
    if any("[" in text or text in ("-v", "-R") for text in texts):
        raise Unclear("a condition about a variable's name")
    if run.name == "[[" and any(text in ("-eq", "-ne", "-lt", "-le", "-gt", "-ge", "=~") for text in texts):
        raise Unclear("a condition with arithmetic")
    if any(word.opaque for word in run.args) and not re.fullmatch(r"!|-[nzedfrwxsL]|\$\S*|[\w./-]+", texts[0]):
        raise Unclear("a condition that is not plain")
    if any(word.opaque and word.glob for word in run.args):
        raise Unclear("a condition with a variable that may become several words")
    compared = texts[1:2] and texts[1] in ("=", "==", "!=", "-eq", "-ne", "-gt", "-lt", "-ge", "-le")
    if any(word.opaque for word in run.args[:2]) and not (texts[0][:1] == "-" or compared):
        raise Unclear("a condition that is not plain")


def _printf(run: Run) -> None:
    if run.args and (run.args[0].text.startswith("-") or run.args[0].opaque):
        raise Unclear("printf: an option")


def _export(run: Run) -> None:
    for word in run.args:
        name, equals, value = word.text.partition("=")
        if name not in HARMLESS_NAMES or not equals:
            raise Unclear(f"export: the variable {name[:40]}")
        _harmless(name, value, run.cwd, run.roots, opaque=word.opaque)


def _names_only(run: Run) -> None:
    """`read`, `unset`: of the shell's own small variables."""
    for text in run.texts:
        if text not in ("-r", "-s") and not (is_name(text) and text.islower() and not text.endswith("_proxy")):
            raise Unclear(f"{run.name}: {text[:40]}")


def _set(run: Run) -> None:
    for text in run.texts:
        if not re.fullmatch(r"[-+][eux]*o?|pipefail|errexit|nounset|xtrace", text):
            raise Unclear(f"set: {text[:40]}")


def _numbers(run: Run) -> None:
    """`wait`, `umask`, `type`...: no options but plain words."""
    for text in run.texts:
        if not re.fullmatch(r"[A-Za-z0-9_.+%][\w.+-]*|-[aptPS]", text):
            raise Unclear(f"{run.name}: {text[:40]}")


def _builtin(run: Run) -> None:
    if run.texts[:1] in (["-v"], ["-V"]):
        return
    run.runs(run.args[parse_options(run, flags="p") :])


def _exec(run: Run) -> None:
    run.unclear("it replaces the shell")
    run.meaning.commands += [(run.args, run.cwd)] if run.args else []


# --- programs that run another ---------------------------------------------------------------------------------------------------


def _timeout(run: Run) -> None:
    at = parse_options(
        run, flags="v", values="ks", long_flags="preserve-status foreground verbose", long_values="kill-after signal"
    )
    if not re.fullmatch(r"[\d.]+[smhd]?", run.texts[at] if at < len(run.args) else ""):
        raise Unclear("timeout: how long is not plain")
    run.runs(run.args[at + 1 :])


def _nice(run: Run) -> None:
    args = run.args[1:] if run.args and re.fullmatch(r"-\d+", run.args[0].text) else run.args
    at = 0 if args is not run.args else parse_options(run, values="n", long_values="adjustment")
    run.runs(args[at:])


def _nohup(run: Run) -> None:
    run.runs(run.args[parse_options(run) :])


def _time(run: Run) -> None:
    run.runs(run.args[parse_options(run, flags="pv") :])


def _env(run: Run) -> None:
    at = parse_options(run)
    words = [evolve(word, assigns="=" in word.text) for word in run.args[at:]]
    rest, unclear = assigned(words, run.cwd, run.roots)
    for reason in unclear:
        run.unclear(reason)
    run.meaning.commands += [(rest, run.cwd)] if rest else []


def _xargs(run: Run) -> None:
    at = parse_options(
        run,
        flags="0rtx",
        values="nPIdLsE",
        long_flags="null no-run-if-empty verbose exit",
        long_values="max-args max-procs replace delimiter max-lines",
    )
    words = run.args[at:]
    run.runs(words)
    inner = os.path.basename(words[0].text)
    if not _lists_names(run.fed) or inner not in (_READERS | {"grep", "egrep", "fgrep", "echo", "file"}):
        run.unclear("what is read decides what is done")


_LISTING = (
    r"find( [^-\s]\S*| -(i?name|i?path|type|maxdepth|mindepth|not|o|a|prune|size|mtime|print|print0|empty))*",
    r"grep -[rinEFwIs]*l[rinEFwIs]*( [^-\s]\S*| --(include|exclude|exclude-dir)=\S+)*",
    r"git ls-files( [^-\s]\S*| -[zmo]| --others| --exclude-standard| --)*",
    r"rg (-l|--files)( [^-\s]\S*| -[giw])*",
    "ls",
)
"""What writes nothing but names of files of the workspace."""


def _lists_names(command: str) -> bool:
    return not re.search(r"printf|[\n\t]", command) and any(re.fullmatch(form, command) for form in _LISTING)


def _shell(run: Run) -> None:
    """`sh -c 'text'` is that text; a script is a file like another program's."""
    args = run.args
    options = [text for text in run.texts if text.startswith(("-", "+"))]
    if len(args) >= 2 and re.fullmatch(r"-[eux]*c", args[0].text) and not (args[1].glob or args[1].opaque):
        run.meaning.scripts.append((args[1].text, run.cwd))
        if len(args) > 2:
            run.unclear("a text with arguments")
        return
    if not args or options or args[0].glob:
        raise Unclear(f"{run.name}: what it runs is not in its arguments")
    run.reads(args[:1])
    run.strays()


def _after_verb(run: Run, verbs: Sequence[str]) -> bool:
    return bool(run.args) and run.args[0].text in verbs


def _runner(run: Run) -> None:
    """`bundle exec x`, `uv run x`, `poetry run x`: x is the command."""
    if _after_verb(run, ("exec", "run")):
        words = run.args[1:]
        if not words or words[0].text.startswith("-"):
            raise Unclear(f"{run.name}: an option before the command")
        run.runs(words)
    run.strays()


def _npx(run: Run) -> None:
    words = run.args[1:] if run.texts[:1] == ["--"] else run.args
    if not words or words[0].text.startswith("-"):
        raise Unclear("npx: an option before the command")
    run.runs(words)


def _npm(run: Run) -> None:
    """Its options are settings, the shell of its scripts among them: before `--` only harmless ones."""
    texts = run.texts
    end = texts.index("--") if "--" in texts else len(texts)
    for text in texts[:end]:
        if text.startswith("-") and text not in _NPM_OPTIONS:
            raise Unclear(f"{run.name}: the option {text[:40]}")
    if texts[:1] in (["exec"], ["x"], ["dlx"]):
        words = [word for word in run.args[1:] if word.text != "--"]
        run.runs(words)
        if end < 1 or (words and words[0].text.startswith("-")):
            raise Unclear(f"{run.name}: an option before the command")
    run.strays()


_NPM_OPTIONS = names("""
    -s --silent -q --quiet -d --verbose --if-present -w --workspaces -ws --no-fund --no-audit --json --long --all --dry-run
    --depth=0 -D --save-dev --save-exact -E --production --frozen-lockfile --ci --coverage --watch=false --version -v --help -h -r
    --recursive
    """)


def _find(run: Run) -> None:
    texts, at = run.texts, 0
    if any(word.glob and word.text[:1] in "*?[" for word in run.args):
        raise Unclear("find: a pattern that may stand for an option")
    while at < len(texts) and texts[at] in ("-H", "-L", "-P"):
        at += 1
    start = at
    while at < len(texts) and texts[at][:1] not in ("-", "(", "!", ")", ","):
        at += 1
    run.reads(run.args[start:at])
    while at < len(texts):
        text = texts[at]
        at += 1
        if text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = next((n for n in range(at, len(texts)) if texts[n] == ";" or (texts[n] == "+" and texts[n - 1] == "{}")), -1)
            if end < 0:
                raise Unclear("find: a command without its end")
            run.runs(run.args[at:end])
            if any("{}" in word and word != "{}" for word in texts[at:end]) or texts[at] == "{}":
                raise Unclear("find: a name within a word of a command")
            at = end + 1
        elif text in ("-delete", "-fls", "-fprint", "-fprint0", "-fprintf", "-files0-from", "-f"):
            raise Unclear(f"find: {text}")
        elif text in ("-newer", "-samefile", "-anewer", "-cnewer") or text.startswith("-newer"):
            run.reads(run.args[at : at + 1])


_MEANINGS: Mapping[str, Callable[[Run], None]] = {
    "cd": _cd,
    "test": _test,
    "[": _test,
    "[[": _test,
    "printf": _printf,
    "export": _export,
    "read": _names_only,
    "unset": _names_only,
    "set": _set,
    "wait": _numbers,
    "umask": _numbers,
    "type": _numbers,
    "which": _numbers,
    "command": _builtin,
    "builtin": _builtin,
    "exec": _exec,
    "timeout": _timeout,
    "nice": _nice,
    "nohup": _nohup,
    "time": _time,
    "env": _env,
    "xargs": _xargs,
    "sh": _shell,
    "bash": _shell,
    "dash": _shell,
    "zsh": _shell,
    "bundle": _runner,
    "uv": _runner,
    "poetry": _runner,
    "pipenv": _runner,
    "hatch": _runner,
    "npx": _npx,
    "npm": _npm,
    "pnpm": _npm,
    "yarn": _npm,
    "find": _find,
    "git": git,
    **PROGRAMS,
}
