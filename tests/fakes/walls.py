"""A place with secrets around it, and commands run inside of real walls there, or without any."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import evolve, frozen

from agentd.ports import Process, Profile, Sandbox
from agentd.spawn import TrioSpawner
from agentd.toolsources.sandbox.bubblewrap import Bubblewrap

SECRET = "the-secret-that-nobody-inside-may-know"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


@frozen
class Inside:
    """What a command said, on stdout and stderr together, and how it ended."""

    code: int
    said: str


@frozen
class Place:
    """`workspace` may be written; `outside` not be seen, a secret and a socket in it; the user's credentials are in `home`."""

    root: Path
    workspace: Path
    outside: Path
    home: Path
    port: int
    abstract: str
    spawner: TrioSpawner

    @property
    def walls(self) -> Sandbox:
        """As those of a call in the default mode."""
        root = str(self.workspace)
        hide = (str(self.root / "cache"), str(self.workspace / "hidden"), str(self.workspace / "hidden.txt"))
        return Sandbox(write=(root,), hide=hide, keep=(f"{root}/.git/hooks", f"{root}/.agentd"))

    def profile(self, walls: Sandbox | None, **variables: str) -> Profile:
        environment = {
            "PATH": PATH,
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "OUTSIDE": str(self.outside),
            "DAEMON": str(os.getpid()),
            "PORT": str(self.port),
            "ABSTRACT": self.abstract,
        }
        return Profile(
            cwd=str(self.workspace), environment={**environment, **variables}, sandbox=walls, gated=True, silent=True, merged=True
        )

    async def run(
        self, *argv: str, walls: Sandbox | None = None, cwd: Path | None = None, bare: bool = False, **variables: str
    ) -> Inside:
        """A shell script, or a command with its arguments."""
        command = ["sh", "-c", argv[0]] if len(argv) == 1 else list(argv)
        spawner, inside = (TrioSpawner(), None) if bare else (self.spawner, walls or self.walls)
        profile = self.profile(inside, **variables)
        async with spawner.start(command, evolve(profile, cwd=str(cwd or self.workspace))) as process:
            await process.go()
            said = await everything(process)
            return Inside(await process.wait(), said.decode(errors="replace"))


async def everything(process: Process) -> bytes:
    said = b""
    while data := await process.receive():
        said += data
    return said


@contextmanager
def place() -> Iterator[Place]:
    """Made in a directory of its own, whose name no link is part of."""
    with ExitStack() as stack:
        root = Path(os.path.realpath(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentd-walls-"))))
        for name in ("workspace/hidden", "workspace/.git/hooks", "outside", "home/.ssh", "home/.aws", "home/.local/bin"):
            (root / name).mkdir(parents=True)
        for name in (
            "workspace/hidden/data",
            "workspace/hidden.txt",
            "outside/secret",
            "home/.ssh/id_rsa",
            "home/.aws/credentials",
        ):
            (root / name).write_text(SECRET)
        (root / "home/.gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n")
        (root / "workspace/readme.txt").write_text("hello\n")
        stack.enter_context(_listening(socket.AF_UNIX, str(root / "outside/agentd.sock")))
        stack.enter_context(_listening(socket.AF_UNIX, str(root / "workspace/hidden/agentd.sock")))
        abstract = f"agentd-test-{os.getpid()}"
        stack.enter_context(_listening(socket.AF_UNIX, f"\0{abstract}"))
        port = stack.enter_context(_listening(socket.AF_INET, ("127.0.0.1", 0))).getsockname()[1]
        walls = Bubblewrap(str(root / "cache"), home=str(root / "home"))
        spawner = TrioSpawner(umask=0o022, walls=walls)
        yield Place(root, root / "workspace", root / "outside", root / "home", port, abstract, spawner)


@contextmanager
def _listening(family: socket.AddressFamily, address: str | tuple[str, int]) -> Iterator[socket.socket]:
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        yield listener


def has(program: str) -> bool:
    return shutil.which(program, path=PATH) is not None


def with_network(walls: Sandbox) -> Sandbox:
    return evolve(walls, network=True)
