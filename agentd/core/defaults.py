"""What may happen without a question where no rule says anything: commands that read, and those with which a project is built,
tested and kept. All of them run inside the walls: without network, and writing nowhere but in the workspace.

What runs another command (`timeout 9 x`, `xargs x`, `find -exec x`, `bash -c x`) stands here too: `x` is a command of its own,
judged by itself. Options by which a program does what its name does not say are no matter of rules: such a call is unclear."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from agentwire.types import Mode, Rule

_ETC = """
    os-release debian_version lsb-release issue hosts hostname passwd group resolv.conf nsswitch.conf services protocols shells
    timezone localtime ssl/certs ssl/openssl.cnf ca-certificates pki/tls/certs alternatives mime.types magic ld.so.conf ld.so.conf.d
    ld.so.cache gitconfig inputrc locale.conf python3 npmrc fonts
"""
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/proc/cpuinfo", "/proc/meminfo", "/proc/version"),
    *(f"/etc/{name}" for name in _ETC.split()),
)
"""What any program may read; of /etc only what holds no secret. The sandbox shows less of it."""


def _rules(text: str) -> tuple[Rule, ...]:
    """Programs, each with whatever arguments; of `a: b c` the commands `a b` and `a c`."""
    found = []
    for line in text.strip().splitlines():
        verbs = re.fullmatch(r"\s*(\S+): (.+)", line)
        names = [f"{verbs[1]} {verb}" for verb in verbs[2].split()] if verbs else line.split()
        found += [Rule(rule=f"shell({name} *)", verdict="allow", scope="built-in", source="built-in") for name in names]
    return tuple(found)


READING_COMMANDS = _rules(
    """
    ls pwd cat head tail wc file stat du df tree nl od xxd hexdump strings cmp diff comm sort uniq cut paste tr fold column expand
    grep egrep fgrep rg ag fd find locate which whereis type basename dirname realpath readlink date cal uname id whoami groups
    hostname nproc free uptime ps echo printf true false test [ [[ : cd seq sleep expr jq yq md5sum sha1sum sha256sum cksum
    base64 awk sed read exit wait tac rev
    timeout nice nohup time env command xargs
    bash: -c
    sh: -c
    git: status diff log show branch tag remote rev-parse rev-list ls-files ls-tree blame describe shortlog grep cat-file reflog
    git: merge-base name-rev for-each-ref show-ref symbolic-ref var version help whatchanged count-objects
    """
)
BUILT_IN = _rules(
    """
    make cmake ninja meson cc gcc g++ clang clang++ ld ar tsc node python python3 pytest tox nox ruff mypy black isort flake8 pylint
    rake rspec rubocop ruby perl tsx ts-node
    pyright coverage eslint prettier jest vitest mocha javac java rustc rustfmt gofmt gradle ./gradlew mvn ./mvnw ctest shellcheck
    npm: test run run-script start ls list pack version exec
    yarn: test run list
    pnpm: test run list exec
    npx: tsc eslint prettier jest vitest mocha
    cargo: build test check run clippy fmt doc bench metadata tree
    go: build test vet run fmt list mod generate env doc
    dotnet: build test run
    bundle: exec
    uv: run
    poetry: run
    pipenv: run
    hatch: run
    pip: list show freeze check
    pip3: list show freeze check
    git: init clone add commit checkout switch restore reset stash merge rebase cherry-pick revert mv rm apply am
    git: fetch pull config worktree bisect clean submodule notes format-patch archive
    export unset set umask mkdir touch tee
    """
)
_OWN_TOOLS = {
    "venv/bin": "python python3 pytest ruff mypy black isort flake8 pylint pyright coverage tox nox",
    ".venv/bin": "python python3 pytest ruff mypy black isort flake8 pylint pyright coverage tox nox",
    "node_modules/.bin": "tsc eslint prettier jest vitest mocha",
}
"""Where a project has tools of its own. Each is just what it is called by, so `/elsewhere/bin/python` is none of them."""
BUILT_IN += _rules(
    "\n".join(f"{dot}{place}/{name}" for place, names in _OWN_TOOLS.items() for name in names.split() for dot in ("", "./"))
)
FILE_COMMANDS = _rules("rmdir mv cp rm ln install chmod tar gzip gunzip zip unzip patch dd truncate split")
"""In mode accept-edits."""


def _by_program(rules: Iterable[Rule]) -> Mapping[str, tuple[Rule, ...]]:
    found: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        program = rule.rule.removeprefix("shell(").partition(" ")[0]
        found[program] = (*found.get(program, ()), rule)
    return found


_READING, _BUILT_IN, _FILE = map(_by_program, (READING_COMMANDS, BUILT_IN, FILE_COMMANDS))


def about(program: str, mode: Mode) -> tuple[Rule, ...]:
    """The built-in rules that may speak of a command of that program: there are too many to try them all for each."""
    return (
        *_READING.get(program, ()),
        *(() if mode == "plan" else _BUILT_IN.get(program, ())),
        *(_FILE.get(program, ()) if mode == "accept-edits" else ()),
    )
