"""Programs by their arguments: those that have a language in them, or options by which they run or write something else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import evolve

from agentd.toolsources.bash_meaning import Run, Word, forbid
from agentd.toolsources.bash_words import Unclear

Program = Callable[[Run], None]


def _without(*, short: str = "", long: str = "", whole: str = "", writes: bool = False, text: int = 0) -> Program:
    """A program that is plain without these options. `text`: how many of its first operands are no files."""

    def program(run: Run) -> None:
        forbid(run, run.args, short=short, long=long, whole=whole)
        operands = [word for word in run.args if not word.text.startswith("-")]
        (run.writes if writes else run.reads)(operands[text:])
        _stray(run, operands[:text], write=writes)

    return program


def _stray(run: Run, but: list[Word], *, write: bool = False) -> None:
    evolve(run, args=tuple(word for word in run.args if not any(word is one for one in but))).strays(write=write)


# --- searching -------------------------------------------------------------------------------------------------------------------


def _grep(run: Run) -> None:
    """The first operand is what is looked for, unless `-e` said it."""
    given = any(text[:1] == "-" and text[1:2] not in ("", "-") and text[-1] in "ef" for text in run.texts)
    operands = [word for word in run.args if not word.text.startswith("-")]
    files = operands if given else operands[1:]
    if run.name == "rg":
        forbid(run, run.args, long="pre pre-glob hostname-bin search-zip", short="z")
    run.reads(files)
    _stray(run, operands[:1])


# --- languages -------------------------------------------------------------------------------------------------------------------


def _awk(run: Run) -> None:
    at = 0
    while at < len(run.args) and run.texts[at].startswith("-"):
        text = run.texts[at]
        if re.fullmatch(r"-F.+", text) or re.fullmatch(r"-v\w+=.*", text):
            at += 1
        elif text in ("-F", "-v"):
            at += 2
        else:
            raise Unclear(f"{run.name}: the option {text[:40]}")
    if at >= len(run.args) or run.args[at].glob:
        raise Unclear(f"{run.name} without a program")
    program = run.texts[at]
    told = re.search(r"system|getline|extension|@|ARGV|ARGC|ENVIRON|PROCINFO|\\\n|print[\s\S]*>(?!=)", program.replace("||", ""))
    if told or "|" in program.replace("||", ""):
        raise Unclear(f"{run.name}: its program may run, read or write something")
    run.reads(run.args[at + 1 :])


_SED_SET = r"\[\^?(?:\[:[a-z]+:\]|[^]^/\\\n\[])(?:\[:[a-z]+:\]|[^]/\\\n\[])*\]"
_SED_ADDRESS = rf"(?:\d+(?:~\d+)?|\$|/(?:[^/\\\n\[]|\\.|{_SED_SET})*/I?)"
_SED_COMMAND = re.compile(
    rf"""\s*(?:{_SED_ADDRESS}\s*(?:,\s*[+~]?{_SED_ADDRESS}\s*)?)?!?\s*
    (?:[pdDPgGhHxnNq=l](?=[\s;}}]|\Z)|[qQ]\s*\d*(?=[\s;}}]|\Z)|(?P<s>[sy])|[{{}}]|[aic](?:\\\n|\s+)[^\n]*|\Z)""",
    re.VERBOSE,
)


def sed_is_plain(script: str) -> bool:
    """Whether a script of sed only edits text: no file is read or written by it, nothing is run."""
    at = 0
    while at < len(script):
        found = _SED_COMMAND.match(script, at)
        if found is None:
            return False
        at = found.end()
        if found["s"]:
            end = _substitution(script, at)
            if end is None:
                return False
            at = end
        while at < len(script) and script[at] in "; \t\n}":
            at += 1
    return True


def _substitution(script: str, at: int) -> int | None:
    """The end of `s/a/b/flags` whose delimiter stands at `at`; None if it is not plain."""
    mark = script[at : at + 1]
    if not mark or mark in "\\\n" or mark.isalnum():
        return None
    for _ in range(2):
        at += 1
        begin = at
        while at < len(script) and script[at] != mark:
            at += 2 if script[at] == "\\" else 1
        if at >= len(script) or "[" in re.sub(rf"\\.|{_SED_SET}", "", script[begin:at]):
            return None  # the mark may stand in a set of letters, where it is one of them
    flags = re.match(r"[gpiI0-9mM]*(?=[\s;}]|\Z)", script[at + 1 :])
    return at + 1 + flags.end() if flags else None


def _sed(run: Run) -> None:
    scripts, files, changes, at = list[str](), list[Word](), False, 0
    while at < len(run.args):
        word, text = run.args[at], run.texts[at]
        at += 1
        if re.fullmatch(r"-[nErsuz]+|--quiet|--silent|--regexp-extended|--null-data|--separate|--posix", text):
            continue
        if found := re.fullmatch(r"-[nErsuz]*(?:i(?:[.~][\w.~-]*)?|-in-place)|--in-place", text):
            changes = bool(found)
        elif re.fullmatch(r"-[nErsuz]*e|--expression", text):
            scripts.append(run.texts[at] if at < len(run.args) else "\0")
            at += 1
        elif text.startswith("-") and text != "-":
            raise Unclear(f"sed: the option {text[:40]}")
        else:
            files.append(word)
    if not scripts and files:
        scripts.append(files.pop(0).text)
    if not all(sed_is_plain(script) for script in scripts) or any(word.glob and word.text[:1] in "*?[" for word in files):
        raise Unclear("sed: its script may run, read or write something")
    (run.writes if changes else run.reads)(files)


def _interpreter(code: str, values: str, plain: str = "", alone: str = "\0") -> Program:
    """A language: it may run a file, or a module, not a text or what it is fed. `code`: letters that take a text, or load it;
    `values`: that take a word; `plain`: the long options that are known; `alone`: one that needs no file."""

    def program(run: Run) -> None:
        at = 0
        while at < len(run.args) and run.texts[at].startswith("-") and run.texts[at] != "-":
            text = run.texts[at]
            if text in ("--version", "-V", "--help", "-h", "-v") and len(run.args) == 1:
                return
            if text == "-m" and values and "m" in values:
                break
            if any(letter in text[1:] for letter in code) if text[1:2] != "-" else text[2:].partition("=")[0] not in plain.split():
                raise Unclear(f"{run.name}: the option {text[:40]}")
            at += 2 if text[1:] in list(values) else 1
        if at >= len(run.args) and alone in run.texts:
            return
        if at >= len(run.args) or run.texts[at] in ("-", "/dev/stdin") or run.args[at].glob:
            raise Unclear(f"{run.name}: what it runs is not in its arguments")
        run.strays()

    return program


# --- building --------------------------------------------------------------------------------------------------------------------


def _make(run: Run) -> None:
    forbid(run, run.args, long="eval", short="E")
    for number, text in enumerate(run.texts):
        name, equals, value = text.partition("=")
        if equals and not text.startswith("-") and (name.strip("+?:!") in _MAKE_OWN or re.search(r"[$`;|&<>]", value)):
            raise Unclear(f"make: the variable {name[:40]}")
        if text in ("-f-", "--file=-") or (text in ("-f", "--file", "--makefile") and run.texts[number + 1 : number + 2] == ["-"]):
            raise Unclear("make: what it runs is not in its arguments")
    run.strays(write=True)


_MAKE_OWN = frozenset(
    {"SHELL", ".SHELLFLAGS", "MAKE", "MAKEFLAGS", "MAKEFILES", "MAKESHELL", "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH"}
)


def _tar(run: Run) -> None:
    """Archives that are made or unpacked; a first word without a dash is one with it."""
    first = run.texts[0] if run.args else ""
    letters = [text for text in run.texts if re.fullmatch(r"-[A-Za-z0-9]+", text)] + ([first] if not first.startswith("-") else [])
    if any(letter in text for text in letters for letter in "IFPMSg"):
        raise Unclear("tar: an option that runs a program, or leaves the directory")
    forbid(
        run,
        run.args,
        long="to-command checkpoint-action use-compress-program rsh-command rmt-command info-script new-volume-script"
        " absolute-names checkpoint unlink-first recursive-unlink",
    )
    if any(re.match(r"[\w.@-]+:", text) for text in run.texts):
        raise Unclear("tar: an archive on another machine")
    unpacks = "x" in first or "--extract" in run.texts or "--get" in run.texts
    run.writes(word for word in run.args[1:2] if not unpacks and "t" not in first and not word.text.startswith("-"))
    run.strays(write=True)


def _copies(run: Run) -> None:
    """`cp a b`: the last is written, the others are read; with -t it is the other way round."""
    forbid(run, run.args, short="tTS", long="target-directory strip-program suffix")
    operands = [word for word in run.args if not word.text.startswith("-")]
    run.reads(operands[:-1])
    run.writes(operands[-1:])


def _last_writes(run: Run) -> None:
    """`uniq a b`, `xxd -r a b`: a second file is written."""
    operands = [word for word in run.args if not word.text.startswith("-")]
    run.reads(operands[:1])
    if len(operands) > 1 or any(re.fullmatch(r"-[a-z]", text) for text in run.texts):
        run.writes(word for word in operands[1:] if not word.text.isdecimal())
    run.strays()


def _dd(run: Run) -> None:
    for word in run.args:
        name, _, value = word.text.partition("=")
        if name in ("if", "of"):
            (run.writes if name == "of" else run.reads)([Word(value)])


def _date(run: Run) -> None:
    """It tells the time; it is not set."""
    forbid(run, run.args, short="sf", long="set file")
    for number, text in enumerate(run.texts):
        if text[:1] not in ("+", "-") and (number == 0 or run.texts[number - 1] not in ("-d", "--date", "-r")):
            raise Unclear("date: an operand")
    run.strays()


def _only_options(run: Run) -> None:
    """`hostname`: with an operand it is set."""
    forbid(run, run.args, short="FbS", long="file boot")
    if any(not text.startswith("-") for text in run.texts):
        raise Unclear(f"{run.name}: an operand")


def _jq(run: Run) -> None:
    forbid(run, run.args, short="fLi", long="from-file inplace in-place")
    operands = [word for word in run.args if not word.text.startswith("-")]
    run.reads(operands[1:])
    _stray(run, operands[:1])
    if any(re.search(r"\b(load|env|ENV|strenv|eval|system|import|include|input_filename)\b", text) for text in run.texts):
        raise Unclear(f"{run.name}: its program reads something else")


def _remote(run: Run) -> None:
    """Whatever else it does by its options runs here."""
    forbid(run, run.args, short="oFSEePRLWDJIi", long="rsh rsync-path config")
    run.strays(write=True)


def _compiler(run: Run) -> None:
    forbid(run, run.args, whole="-wrapper -specs --specs -fplugin -B -load -Xclang", long="specs")
    if any(text.startswith(("@", "-B", "-specs", "-Xclang")) or re.search("plugin|linker", text) for text in run.texts):
        raise Unclear(f"{run.name}: an option that loads something")
    for number, text in enumerate(run.texts):
        if text.startswith("-o"):
            run.writes([Word(text[2:])] if len(text) > 2 else run.args[number + 1 : number + 2])
    run.strays()


def _cargo(run: Run) -> None:
    forbid(run, run.args, long="config", short="Z")
    run.strays(write=True)


def _go(run: Run) -> None:
    if any("extld" in text for text in run.texts):
        raise Unclear("go: a linker of its own")
    forbid(run, run.args, whole="-exec -toolexec -overlay -w -u -modfile --exec --toolexec --overlay --modfile -o --o -vettool")
    run.strays(write=True)


PROGRAMS: Mapping[str, Program] = {
    "grep": _grep,
    "egrep": _grep,
    "fgrep": _grep,
    "rg": _grep,
    "ag": _without(long="pager", text=1),
    "fd": _without(short="xX", long="exec exec-batch", text=1),
    "fdfind": _without(short="xX", long="exec exec-batch", text=1),
    "locate": _without(text=9),
    "awk": _awk,
    "gawk": _awk,
    "mawk": _awk,
    "nawk": _awk,
    "sed": _sed,
    "gsed": _sed,
    "sort": _without(short="oT", long="output compress-program temporary-directory files0-from"),
    "tree": _without(short="o"),
    "file": _without(short="Cm", long="compile magic-file"),
    "date": _date,
    "hostname": _only_options,
    "uniq": _last_writes,
    "xxd": _last_writes,
    "tr": _without(text=9),
    "jq": _jq,
    "yq": _jq,
    "dd": _dd,
    "cp": _copies,
    "install": _copies,
    "ln": _copies,
    "split": _without(long="filter", writes=True),
    "csplit": _without(writes=True),
    "patch": _without(writes=True),
    "zip": _without(short="T", long="unzip-command", writes=True),
    "unzip": _without(writes=True),
    "tar": _tar,
    "bsdtar": _tar,
    "rsync": _remote,
    "scp": _remote,
    "ssh": _remote,
    "curl": _without(short="KoOTD", long="config output upload-file remote-name dump-header", text=9),
    "wget": _without(short="eOPia", long="execute use-askpass output-document directory-prefix input-file config", text=9),
    "make": _make,
    "gmake": _make,
    "cmake": _without(whole="-E -P", writes=True),
    "ninja": _without(short="ft", writes=True),
    "gcc": _compiler,
    "g++": _compiler,
    "cc": _compiler,
    "c++": _compiler,
    "clang": _compiler,
    "clang++": _compiler,
    "cargo": _cargo,
    "go": _go,
    "rustc": _compiler,
    "ld": _compiler,
    "perl": _interpreter("eEiIMmnpdDx", ""),
    "python": _interpreter("c", "WXm"),
    "pypy": _interpreter("c", "WXm"),
    "node": _interpreter("eprC", "", "test watch enable-source-maps no-warnings trace-warnings", alone="--test"),
    "ruby": _interpreter("erIpnix", ""),
    "ts-node": _interpreter("eprCO", ""),
    "tsx": _interpreter("epr", ""),
}
