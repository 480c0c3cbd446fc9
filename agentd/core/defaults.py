"""What may happen without a question where no rule says anything: commands that read, and those with which a project is built,
tested and kept. All of them run inside the walls: without network, and writing nowhere but in the workspace."""

from __future__ import annotations

import re

from agentwire.types import Rule

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/etc", "/proc/cpuinfo", "/proc/meminfo", "/proc/version")
"""What any program may read; the sandbox shows less of it."""


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
    hostname nproc free uptime ps echo printf true false test [ : cd seq sleep expr jq yq md5sum sha1sum sha256sum cksum
    base64 awk sed
    git: status diff log show branch tag remote rev-parse rev-list ls-files ls-tree blame describe shortlog grep cat-file reflog
    git: merge-base name-rev for-each-ref show-ref symbolic-ref var version help whatchanged count-objects
    """
)
BUILT_IN = _rules(
    """
    make cmake ninja meson cc gcc g++ clang clang++ ld ar tsc node python python3 pytest tox nox ruff mypy black isort flake8 pylint
    pyright coverage eslint prettier jest vitest mocha javac java rustc rustfmt gofmt gradle ./gradlew mvn ./mvnw ctest shellcheck
    npm: test run run-script start ls list pack version exec
    yarn: test run list
    pnpm: test run list exec
    npx: tsc eslint prettier jest vitest mocha
    cargo: build test check run clippy fmt doc bench metadata tree
    go: build test vet run fmt list mod generate env doc
    dotnet: build test run
    bundle: exec
    git: init clone add commit checkout switch restore reset stash merge rebase cherry-pick revert mv rm apply am branch tag
    git: fetch pull config worktree bisect clean submodule notes format-patch archive
    export unset set umask wait
    """
)
FILE_COMMANDS = _rules("mkdir rmdir touch mv cp rm ln tee install chmod tar gzip gunzip zip unzip patch dd truncate split")
"""In mode accept-edits."""
