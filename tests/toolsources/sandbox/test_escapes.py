"""What a hostile command tries from inside of real walls: each attempt fails. Where that can be shown without harm, it is shown
that the same attempt succeeds without walls: so it is the walls that hold, and the attempt is one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from attrs import evolve

from agentd.ports import Sandbox
from tests.fakes.walls import SECRET, Place, has, with_network

# --- the file system -------------------------------------------------------------------------------------------------------------

READS = {
    "a file outside": "cat $OUTSIDE/secret",
    "the listing of a directory outside": "ls $OUTSIDE/secret",
    "a private key": "cat $HOME/.ssh/id_rsa",
    "credentials in the home directory": "cat $HOME/.aws/credentials",
    "a file outside, by a link in the workspace": "ln -s $OUTSIDE/secret link; cat link",
    "a file outside, by a link to its directory": "ln -s $OUTSIDE there; cat there/secret",
    "a file outside, by dots": "cat ../outside/secret",
    "a file outside, by the root of a process": "cat /proc/self/root$OUTSIDE/secret",
    "a hidden directory in the workspace": "cat hidden/data",
    "its listing": "ls hidden/data",
    "a hidden file in the workspace": "cat hidden.txt",
    "a hidden directory under another name": "mv hidden seen && cat seen/data",
    "a hidden file by a second name": "ln hidden.txt seen && cat seen",
    "a copy of a hidden file": "cp hidden.txt seen && cat seen",
}
WRITES = {
    "a file outside": "echo x >$OUTSIDE/new",
    "a file in the home directory": "echo x >$HOME/.gitconfig",
    "another beside the toolchains": "echo x >$HOME/.local/bin/ls",
    "a hook of git": "echo x >.git/hooks/pre-commit",
    "a hook of git, in a directory put in its place": "mv .git/hooks aside && mkdir .git/hooks && echo x >.git/hooks/pre-commit",
    "a hook of git, after its directory was removed": "rm -rf .git/hooks && mkdir .git/hooks && echo x >.git/hooks/pre-commit",
    "a hook of git, in a repository put in its place": "mv .git aside && mkdir -p .git/hooks && echo x >.git/hooks/pre-commit",
    "a hook of git, by a link": "ln -s .git/hooks by && echo x >by/pre-commit",
    "configuration of agentd that is not there yet": "mkdir -p .agentd && echo x >.agentd/config.toml",
    "the same, put in its place": "rmdir .agentd; mkdir -p new && echo x >new/config.toml && mv -T new .agentd",
    "a hidden file": "echo x >hidden.txt",
    "a file in a hidden directory": "echo x >hidden/new",
    "a hidden directory's end": "rm -rf hidden",
}


@pytest.mark.parametrize("attempt", READS.values(), ids=READS)
async def test_nothing_is_read(place: Place, attempt: str) -> None:
    """The command fails, and the secret is not in what it says; without walls it says it."""
    inside = await place.run(attempt)
    assert inside.code != 0
    assert SECRET not in inside.said
    assert (await place.run(attempt, bare=True)).code == 0


@pytest.mark.parametrize("attempt", WRITES.values(), ids=WRITES)
async def test_nothing_is_written(place: Place, attempt: str) -> None:
    """The command fails, and all is as it was; without walls it succeeds."""
    before = _everything(place)
    assert (await place.run(attempt)).code != 0
    assert {path: text for path, text in _everything(place).items() if path in before} == before
    assert not (place.workspace / ".agentd").exists()
    assert (await place.run(attempt, bare=True)).code == 0


def _everything(place: Place) -> dict[str, str]:
    """All files, but for the cache of the walled-in."""
    files = [path for path in sorted(place.root.rglob("*")) if path.is_file() and "cache" not in path.parts]
    return {str(path): path.read_text() for path in files}


async def test_a_hidden_directory_is_hidden_for_ever(place: Place) -> None:
    """What it lies in cannot be moved to where the next command would see it."""
    (place.workspace / "deep/er").mkdir(parents=True)
    (place.workspace / "deep/er/key").write_text(SECRET)
    walls = evolve(place.walls, hide=(str(place.workspace / "deep/er"),))
    assert (await place.run("mv deep moved", walls=walls)).code != 0
    assert SECRET not in (await place.run("cat deep/er/key moved/er/key", walls=walls)).said


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/sudoers", "/etc/gshadow", "/root/.ssh", "/var/lib/dpkg", "/home", "/boot", "/srv"]
)
async def test_the_system_is_not_all_there(place: Place, path: str) -> None:
    """What no build needs does not exist inside."""
    assert (await place.run(f"ls -d {path}")).code != 0


@pytest.mark.parametrize("path", ["/x", "/usr/x", "/usr/bin/x", "/etc/x", "/etc/passwd", "/etc/alternatives/x", "/opt/x", "/lib/x"])
async def test_the_system_is_not_written(place: Place, path: str) -> None:
    """Also by root."""
    assert (await place.run(f"echo x >{path}")).code != 0
    assert not _exists(path) or path == "/etc/passwd"


async def test_tmp_is_not_everybodys(place: Place) -> None:
    """It can be written, and nobody outside sees it."""
    name = f"/tmp/agentd-{os.getpid()}-private"
    assert (await place.run(f"echo x >{name} && cat {name}")).code == 0
    assert not _exists(name)


def _exists(path: str) -> bool:
    return Path(path).exists()


async def test_devices_are_not_there(place: Place) -> None:
    """Only those that every program knows, and none can be made."""
    assert set((await place.run("ls /dev")).said.split()) <= set(
        "console core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero".split()  # noqa: SIM905
    )
    assert (await place.run("mknod disk b 8 0")).code != 0


# --- processes -------------------------------------------------------------------------------------------------------------------


async def test_no_other_process_is_seen(place: Place) -> None:
    """Of all processes of the machine those inside are seen, the daemon least of all."""
    seen = (await place.run("for each in /proc/[0-9]*; do echo ${each#/proc/}; done")).said.split()
    assert len(seen) <= 3
    for attempt in ("cat /proc/$DAEMON/environ", "cat /proc/1/root$OUTSIDE/secret", "cat /proc/1/cwd/../outside/secret"):
        assert (await place.run(attempt)).code != 0
    assert (await place.run("cat /proc/$DAEMON/environ", bare=True)).code == 0


async def test_no_other_process_is_signalled(place: Place) -> None:
    """Neither by its number nor by a signal to everybody."""
    assert (await place.run("kill -0 $DAEMON")).code != 0
    assert (await place.run("kill -0 $DAEMON", bare=True)).code == 0
    await place.run("kill -TERM -1")


async def test_nothing_is_inherited(place: Place) -> None:
    """Its three files, and no others: not the filter, not the pipe that tells its pid."""
    listing = f"{sys.executable} -c \"import os; print(sorted(os.listdir('/proc/self/fd'))[:-1])\""
    assert (await place.run(listing)).said.strip() == "['0', '1', '2']"


# --- the kernel ------------------------------------------------------------------------------------------------------------------

SYSCALL = "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); call = lambda *a: (libc.syscall(*a), ctypes.get_errno())"
NUMBERS = {
    "x86_64": {
        "ptrace": 101,
        "keyctl": 250,
        "bpf": 321,
        "perf": 298,
        "uffd": 323,
        "uring": 425,
        "fsopen": 430,
        "tree": 428,
        "clone3": 435,
    },
    "aarch64": {
        "ptrace": 117,
        "keyctl": 219,
        "bpf": 280,
        "perf": 241,
        "uffd": 282,
        "uring": 425,
        "fsopen": 430,
        "tree": 428,
        "clone3": 435,
    },
}[os.uname().machine]
KERNEL = {
    "tracing another process": (f"call({NUMBERS['ptrace']}, 0, 0, 0, 0)", 1),
    "keys of the user": (f"call({NUMBERS['keyctl']}, 0, -3, 0)", 1),
    "programs for the kernel": (f"call({NUMBERS['bpf']}, 0, 0, 0)", 1),
    "counters": (f"call({NUMBERS['perf']}, 0, 0, -1, -1, 0)", 1),
    "page faults": (f"call({NUMBERS['uffd']}, 0)", 1),
    "rings": (f"call({NUMBERS['uring']}, 1, 0)", 38),
    "a new file system": (f"call({NUMBERS['fsopen']}, b'tmpfs', 0)", 1),
    "a copy of a mount": (f"call({NUMBERS['tree']}, -100, b'/', 1)", 1),
    "clone3, whose flags nobody sees": (f"call({NUMBERS['clone3']}, 0, 0)", 38),
    "a user namespace": ("(libc.unshare(0x10000000), ctypes.get_errno())", 1),
    "a mount": ("(libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0), ctypes.get_errno())", 1),
    "an unmount": ("(libc.umount2(b'/proc', 2), ctypes.get_errno())", 1),
    "another root": ("(libc.chroot(b'.'), ctypes.get_errno())", 1),
    "the terminal's input": ("(libc.ioctl(os.openpty()[1], 0x5412, b'x'), ctypes.get_errno())", 1),
    "the console's selection": ("(libc.ioctl(os.openpty()[1], 0x541c, b'x'), ctypes.get_errno())", 1),
    "the same, by a number that looks like another": (
        "(libc.ioctl(os.openpty()[1], ctypes.c_ulong(0x100005412), b'x'), ctypes.get_errno())", 1
    ),
    "packets": ("(libc.socket(17, 3, 0), ctypes.get_errno())", 97),
    "the kernel's ciphers": ("(libc.socket(38, 5, 0), ctypes.get_errno())", 97),
    "the machine's host": ("(libc.socket(40, 1, 0), ctypes.get_errno())", 97),
    "the kernel's audit": ("(libc.socket(16, 3, 9), ctypes.get_errno())", 97),
}  # fmt: skip


@pytest.mark.parametrize(("attempt", "errno"), KERNEL.values(), ids=KERNEL)
async def test_the_kernel_refuses(place: Place, attempt: str, errno: int) -> None:
    """Calls that lead around the walls, or into the kernel, are refused by the filter: also with the network allowed."""
    inside = await place.run(sys.executable, "-c", f"{SYSCALL}\nprint({attempt})", walls=with_network(place.walls))
    assert inside.said.strip() == f"(-1, {errno})"


@pytest.mark.parametrize(
    "attempt",
    [
        "unshare -U true",
        "unshare -m true",
        "unshare -n true",
        "nsenter -t 1 -m true",
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /usr",
        "umount -l /etc",
        "chroot . /bin/true",
        "chown 65534 readme.txt",
        "hostname other",
        "cat /proc/sys/kernel/printk >/proc/sys/kernel/printk",
        "echo x >/proc/sysrq-trigger",
        "head -c 1 /proc/kcore",
    ],
)
async def test_programs_of_the_administrator_do_nothing(place: Place, attempt: str) -> None:
    """Root inside is nobody."""
    assert has(attempt.split(maxsplit=1)[0]) or attempt.startswith("echo")
    assert (await place.run(attempt)).code not in (0, 127)


async def test_nobody_gets_rights_by_a_program(place: Place) -> None:
    """A set-user-id bit gives nothing, and there is no capability left to anybody."""
    status = (await place.run("grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:' /proc/self/status")).said
    values = dict(line.split(":\t") for line in status.splitlines())
    assert {name: int(value, 16) for name, value in values.items()} == {
        **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0),
        "NoNewPrivs": 1,
        "Seccomp": 2,
    }


# --- the network -----------------------------------------------------------------------------------------------------------------

CONNECT = "import os, socket; s = socket.socket(socket.AF_{family}); s.connect({address})"
ADDRESSES = {
    "a port of this machine": ("INET", "('127.0.0.1', int(os.environ['PORT']))"),
    "a socket outside": ("UNIX", "os.environ['OUTSIDE'] + '/agentd.sock'"),
    "a socket in a hidden directory": ("UNIX", "'hidden/agentd.sock'"),
    "an abstract socket": ("UNIX", "'\\0' + os.environ['ABSTRACT']"),
}


@pytest.mark.parametrize(("family", "address"), ADDRESSES.values(), ids=ADDRESSES)
async def test_nothing_is_reached(place: Place, family: str, address: str) -> None:
    """Whatever listens on this machine, the daemon first of all, is not to be reached; without walls it is."""
    attempt = (sys.executable, "-c", CONNECT.format(family=family, address=address))
    assert (await place.run(*attempt)).code != 0
    assert (await place.run(*attempt, bare=True)).code == 0


async def test_there_is_no_network(place: Place) -> None:
    """But for a loopback of its own, which servers that tests start need."""
    assert (await place.run("cat /proc/net/route | wc -l")).said.strip() in ("0", "1")
    serve = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    assert (await place.run(sys.executable, "-c", serve)).code == 0


@pytest.mark.parametrize("name", ["a socket outside", "a socket in a hidden directory"])
async def test_the_network_leads_no_further(place: Place, name: str) -> None:
    """Who may use the network reaches ports, not the files of sockets."""
    family, address = ADDRESSES[name]
    attempt = (sys.executable, "-c", CONNECT.format(family=family, address=address))
    assert (await place.run(*attempt, walls=with_network(place.walls))).code != 0
    port = (sys.executable, "-c", CONNECT.format(family="INET", address=ADDRESSES["a port of this machine"][1]))
    assert (await place.run(*port, walls=with_network(place.walls))).code == 0


async def test_the_keys_agent_belongs_to_the_network(place: Place) -> None:
    """`git push` over ssh is signed by the user's agent; what has no network does not see it."""
    agent = str(place.outside / "agentd.sock")
    connect = (sys.executable, "-c", CONNECT.format(family="UNIX", address="os.environ['SSH_AUTH_SOCK']"))
    assert (await place.run(*connect, SSH_AUTH_SOCK=agent)).code != 0
    assert (await place.run(*connect, walls=with_network(place.walls), SSH_AUTH_SOCK=agent)).code == 0


# --- other walls -----------------------------------------------------------------------------------------------------------------


async def test_plan_changes_nothing(place: Place) -> None:
    """Where nothing may be written, the workspace is seen as it is."""
    walls = Sandbox(read=(str(place.workspace),))
    assert (await place.run("cat readme.txt", walls=walls)).said == "hello\n"
    assert (await place.run("echo x >readme.txt", walls=walls)).code != 0


async def test_home_as_the_workspace(place: Place) -> None:
    """A session in the home directory itself works on its files, but sees no credentials, and changes nothing that others run."""
    walls = Sandbox(write=(str(place.home),))
    assert (await place.run("echo x >notes && cat $HOME/notes", walls=walls, cwd=place.home)).said == "x\n"
    for attempt in (
        "cat $HOME/.ssh/id_rsa",
        "cat $HOME/.aws/credentials",
        "echo x >$HOME/.gitconfig",
        "echo x >$HOME/.local/bin/ls",
    ):
        assert (await place.run(attempt, walls=walls, cwd=place.home)).code != 0


async def test_home_to_be_read(place: Place) -> None:
    """Who may read the whole of the home directory does not read the credentials in it."""
    walls = evolve(place.walls, read=(str(place.home),))
    (place.home / "notes").write_text("mine\n")
    assert (await place.run("cat $HOME/notes", walls=walls)).said == "mine\n"
    for attempt in ("cat $HOME/.ssh/id_rsa", "cat $HOME/.aws/credentials", "echo x >$HOME/notes"):
        assert (await place.run(attempt, walls=walls)).code != 0


async def test_bypass_hides_what_is_to_be_hidden(place: Place) -> None:
    """Without walls but for processes: all is there, and can be written, but not what is hidden."""
    walls = Sandbox(whole=True, network=True, hide=place.walls.hide)
    assert (await place.run("cat $OUTSIDE/secret && echo x >$OUTSIDE/new", walls=walls)).code == 0
    for attempt in ("cat hidden/data", "cat hidden.txt", "kill -0 $DAEMON"):
        assert (await place.run(attempt, walls=walls)).code != 0


async def test_what_is_shown_in_a_hidden_directory(place: Place) -> None:
    """A folder in what is hidden can be shown, unchanged: that of the tools, in the configuration's."""
    (place.workspace / "hidden/tools").mkdir()
    (place.workspace / "hidden/tools/a.py").write_text("seen")
    walls = evolve(place.walls, show=(str(place.workspace / "hidden/tools"),))
    assert (await place.run("cat hidden/tools/a.py", walls=walls)).said == "seen"
    for attempt in ("cat hidden/data", "echo x >hidden/tools/a.py"):
        assert (await place.run(attempt, walls=walls)).code != 0


@pytest.mark.slow
async def test_a_link_that_comes_and_goes(place: Place) -> None:
    """A job puts a link to the outside where something is mounted for others, and takes it away, all the time: nobody sees more."""
    fresh = place.root / "fresh"
    fresh.mkdir()
    (fresh / "file").touch()
    walls = Sandbox(write=(str(fresh),), keep=(f"{fresh}/.git/hooks", f"{fresh}/.agentd"))
    swap = "mkdir .git; while :; do mkdir .git/hooks; rmdir .git/hooks; ln -s ../../outside .git/hooks; rm .git/hooks; done"
    profile = evolve(place.profile(walls), cwd=str(fresh))
    async with place.spawner.start(["sh", "-c", f"({swap}) 2>/dev/null"], profile) as job:
        await job.go()
        for _ in range(300):
            seen = await place.run("cat .git/hooks/secret ../outside/secret; ls -A ../outside", walls=walls, cwd=fresh)
            assert SECRET not in seen.said
