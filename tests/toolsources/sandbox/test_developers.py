"""What developers do works inside of the walls as they expect, without network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agentd.ports import Sandbox
from tests.fakes.walls import Place, has

C = '#include <stdio.h>\nint main(void) { puts("made"); return 0; }\n'
JOBS = {
    "git init, add, commit": "mkdir new && cd new && git init && echo x >f && git add f && git commit -m first && git log",
    "git in the workspace, which had no repository": "rm -rf .git/hooks; cd sub && git init -q && git status",
    "git clone of a local repository": (
        "git init -q a && cd a && echo x >f && git add f && git commit -qm one && cd .. && git clone -q a b && cat b/f && "
        "git -C b fetch && git -C b pull && git -C b checkout -qb other && git -C b worktree add ../c && git -C b gc -q"
    ),
    "git stash, branch, merge, rebase": (
        "git init -q r && cd r && echo 1 >f && git add . && git commit -qm 1 && git checkout -qb side && echo 2 >>f && "
        "git commit -qam 2 && git checkout -q main && echo 3 >g && git add . && git commit -qm 3 && git merge -q side -m m && "
        "echo 4 >>f && git stash -q && git stash pop -q && git checkout -q f && git rebase -q side"
    ),
    "git config, remote": "git init -q r && cd r && git config user.name Eve && git remote add origin x && git config user.name",
    "make and gcc": f"printf '%s' '{C}' >p.c && printf 'p: p.c\\n\\tgcc -O2 -o p p.c\\n' >Makefile && make -j2 && ./p",
    "a shell's temporary files": 'f=$(mktemp) && echo x >$f && cat $f && mktemp -d && cat <<END\nhere\nEND\nbash -c "cat <(echo)"',
    "ssh's version": "ssh -V",
    "node": "node -e 'console.log(require(\"os\").cpus().length, process.version)'",
    "node's threads and processes": (
        'node -e \'const {Worker}=require("worker_threads");new Worker("process.exit()",{eval:true}).on("exit",()=>'
        'console.log(require("child_process").execSync("echo child").toString()))\''
    ),
    "node's server": (
        'node -e \'const h=require("http");const s=h.createServer((q,r)=>r.end("ok")).listen(0,"127.0.0.1",()=>'
        'h.get({port:s.address().port},r=>r.on("data",d=>{console.log(""+d);s.close()})))\''
    ),
    "npm": (
        "mkdir p && cd p && npm init -y && npm pkg set scripts.test='node t.js' && "
        "echo 'require(\"assert\").equal(1,1)' >t.js && npm test"
    ),
    "npm, a package of the same machine": (
        "mkdir -p lib app && (cd lib && npm init -y && echo 'module.exports=5' >index.js) && cd app && npm init -y && "
        "npm install --no-audit --no-fund ../lib && node -p 'require(\"lib\")'"
    ),
    "npx of what is there": "mkdir p && cd p && npm init -y && npm exec --offline -c 'echo run'",
    "the name of the user": "id -un && whoami && getent passwd $(id -u)",
    "the time": "date && TZ=Europe/Berlin date +%Z",
    "a cache of one's own": "mkdir -p ~/.cache/x ~/.npm/y ~/.cargo/registry/z && echo x >~/.cache/x/y && cat ~/.cache/x/y",
    "files in home that stay for the call": "echo x >~/.pyhistory && cat ~/.pyhistory",
    "a background child and its end": "sleep 0.01 & wait $! && echo over",
    "pipes and many processes": "for i in 1 2 3 4 5 6 7 8; do (echo $i | cat | grep $i) & done; wait",
    "tar, find, sed, awk": "mkdir d && echo a >d/f && tar czf d.tgz d && tar tzf d.tgz && find . | sed s/f/g/ | awk '{print $1}'",
    "links": "ln -s readme.txt soft && ln readme.txt hard && cat soft hard && mv hard new && chmod 755 new",
    "perl": "perl -e 'print 6*7'",
    "java": "java -version",
}


LONG = [name for name in JOBS if name.startswith(("npm", "npx", "java", "git clone"))]


@pytest.mark.parametrize("job", [pytest.param(JOBS[name], id=name, marks=[pytest.mark.slow] * (name in LONG)) for name in JOBS])
async def test_a_developers_job(place: Place, job: str) -> None:
    """It ends well."""
    (place.workspace / "sub").mkdir()
    program = job.split(maxsplit=1)[0]
    if program in ("node", "java") and not has(program):
        pytest.skip(f"{program} is not here")
    done = await place.run(job)
    assert (done.code, done.said) == (0, done.said)


PYTHON = {
    "threads and processes": (
        "import multiprocessing as m, threading\n"
        "if __name__ == '__main__':\n"
        "    for way in ('fork', 'spawn', 'forkserver'):\n"
        "        with m.get_context(way).Pool(2) as p: print(p.map(abs, [-1, -2]))\n"
        "    t = threading.Thread(target=print, args=['thread']); t.start(); t.join()\n"
        "    q = m.Queue(); q.put(1); print(q.get())\n"
    ),
    "asyncio": "import asyncio; asyncio.run(asyncio.create_subprocess_exec('true'))",
    "shared memory": "from multiprocessing import shared_memory as s; m = s.SharedMemory(None, True, 9); m.close(); m.unlink()",
    "temporary files": "import tempfile; tempfile.TemporaryDirectory(); tempfile.NamedTemporaryFile()",
    "ssl": "import ssl; assert ssl.create_default_context().cert_store_stats()['x509'] > 10",
    "names": "import socket, getpass; print(socket.gethostbyname('localhost'), getpass.getuser(), socket.gethostname())",
    "a terminal": "import pty; assert pty.spawn(['true']) == 0",
}


@pytest.mark.parametrize("code", PYTHON.values(), ids=PYTHON)
async def test_python_of_the_daemon(place: Place, code: str) -> None:
    """Also the interpreter that we run on, wherever it lies, works inside with its libraries."""
    (place.workspace / "code.py").write_text(code)
    done = await place.run(sys.executable, "code.py")
    assert (done.code, done.said) == (0, done.said)


@pytest.mark.parametrize("words", [("pip", "--version"), ("pytest", "-q", "test_it.py"), ("venv", "--without-pip", "made")])
async def test_modules_of_the_daemons_python(place: Place, words: tuple[str, ...]) -> None:
    """`python -m pytest` and `python -m pip` in the workspace."""
    if words[0] == "pytest" and "PYTHONPATH" in os.environ:
        pytest.skip("this Python has its libraries elsewhere")
    (place.workspace / "test_it.py").write_text("def test_it(tmp_path): (tmp_path / 'x').write_text('x')\n")
    done = await place.run(sys.executable, "-m", *words)
    assert (done.code, done.said) == (0, done.said)


async def test_a_virtual_environment_in_the_workspace(place: Place) -> None:
    """One that the environment names is used, and can be changed, because it is in the workspace."""
    tell, venv = "python -c 'import sys; print(sys.prefix)'", str(place.workspace / "v")
    made = await place.run(f"{sys.executable} -m venv --without-pip v && . v/bin/activate && echo x >v/lib/new && {tell}")
    assert (made.code, made.said.strip()) == (0, venv)
    again = await place.run(f"{tell} && echo y >v/lib/new", PATH=f"{venv}/bin:/usr/bin:/bin", VIRTUAL_ENV=venv)
    assert (again.code, again.said.strip()) == (0, venv)


async def test_programs_that_lie_elsewhere(place: Place) -> None:
    """What is on PATH works with the libraries beside it, without anybody having to say so; what lies around that is not seen."""
    tool = place.root / "elsewhere" / "tool"
    for name in ("bin", "lib"):
        (tool / name).mkdir(parents=True)
    (tool / "lib/words").write_text("from the library\n")
    (tool / "bin/say").write_text(f"#!/bin/sh\ncat {tool}/lib/words\n")
    (tool / "bin/say").chmod(0o755)
    (place.root / "elsewhere/private").write_text("no")
    path = f"{tool}/bin:/usr/bin:/bin"
    assert (await place.run("say", PATH=path)).said == "from the library\n"
    assert (await place.run(f"cat {place.root}/elsewhere/private", PATH=path)).code != 0


async def test_the_users_settings_of_git(place: Place) -> None:
    """A commit has the user's name."""
    assert (await place.run("git config user.email")).said == "ada@example.org\n"


async def test_the_cache_outlives_the_call(place: Place) -> None:
    """What npm and pip fetched is there for the next call; the user's own cache is not touched."""
    await place.run("mkdir -p ~/.npm ~/.cache/pip && echo 1 >~/.npm/a && echo 2 >~/.cache/pip/b")
    assert (await place.run("cat ~/.npm/a ~/.cache/pip/b")).said == "1\n2\n"
    assert not _exists(place.home / ".npm") and not _exists(place.home / ".cache/pip")


async def test_temporary_files_stay_for_the_workspace(place: Place) -> None:
    """What one command puts into /tmp the next one finds; that of another workspace does not, nor does one that writes nowhere."""
    assert (await place.run("echo 'echo made' >/tmp/script")).code == 0
    assert (await place.run("sh /tmp/script")).said == "made\n"
    other = Sandbox(write=(str(place.outside),))
    for walls, cwd in ((other, place.outside), (Sandbox(read=(str(place.workspace),)), place.workspace)):
        assert (await place.run("cat /tmp/script", walls=walls, cwd=cwd)).code != 0


async def test_an_empty_workspace_stays_one(place: Place) -> None:
    """`git clone URL .` finds nothing there, and after a call there is nothing that the call did not make."""
    empty = place.root / "empty"
    source = place.root / "workspace/source"
    empty.mkdir()
    assert (await place.run(f"git init -q {source} && cd {source} && echo x >f && git add f && git commit -qm one")).code == 0
    root = str(empty)
    walls = Sandbox(write=(root,), read=(str(source),), keep=(f"{root}/.git/hooks", f"{root}/.agentd"))
    done = await place.run(f"ls -A && git clone -q {source} . && git log --oneline && cat f", walls=walls, cwd=empty)
    assert (done.code, done.said) == (0, done.said)
    assert _names(empty) == [".git", "f"]
    (empty / ".git/hooks").rename(empty / ".git/none")
    assert (await place.run("git status && echo y >>f && git commit -qam two", walls=walls, cwd=empty)).code == 0
    assert _names(empty) == [".git", "f"]
    assert not _exists(empty / ".git/hooks")


async def test_hooks_of_a_new_repository_are_put_aside(place: Place) -> None:
    """Where there was no repository a hook can be made, but nobody outside will run it."""
    fresh = place.root / "fresh"
    fresh.mkdir()
    walls = Sandbox(write=(str(fresh),), keep=(f"{fresh}/.git/hooks", f"{fresh}/.agentd"))
    assert (
        await place.run(
            "git init -q && echo evil >.git/hooks/pre-commit && mkdir .agentd && echo x >.agentd/config.toml",
            walls=walls,
            cwd=fresh,
        )
    ).code == 0
    assert _names(fresh) == [".agentd.1.put-aside", ".git"]
    assert not _exists(fresh / ".git/hooks") and _exists(fresh / ".git/hooks.1.put-aside/pre-commit")


def _exists(path: Path) -> bool:
    return path.exists()


def _names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())
