"""The only place that names adapters: from a Config to a daemon that is ready to run."""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache, partial

import trio
from attrs import asdict

from agentd.core.api import Caller
from agentd.core.api_models import ModelMethods
from agentd.core.api_store import StoreMethods
from agentd.core.assembly import assemble
from agentd.core.budget import Budgets
from agentd.core.index import index_change
from agentd.core.model_list import ModelList
from agentd.core.naming import Naming
from agentd.core.permit import Policy, of_lists
from agentd.core.prompt import Facts
from agentd.core.pulls import Pulls
from agentd.core.router import Router
from agentd.core.session_tools import SessionTools
from agentd.core.settings import Settings
from agentd.daemon import Daemon, Parts, Process
from agentd.heartbeat import Heartbeat
from agentd.ipc import Listener
from agentd.log_file import bound_output
from agentd.ports import Spawner, ToolSource
from agentd.rpc import Hello, Outlet, Session
from agentd.spawn import TrioSpawner
from agentd.store import files
from agentd.store.keeping import restoring, upkeep
from agentd.store.keeping.keeper import StoreKeeper
from agentd.store.log import EventLog
from agentd.store.opening import open_sound
from agentd.systemd import watchdog
from agentd.toolsources.files import specs as file_specs
from agentd.toolsources.functions import FunctionTools
from agentd.toolsources.late import Late
from agentd.toolsources.sandbox.bubblewrap import Bubblewrap
from agentd.toolsources.shell.tools import ShellTools
from agentd.toolsources.web import specs as web_specs
from agentd.wiring_models import aliases_of, foreign
from agentd.wiring_providers import Providers
from agentwire import __version__
from agentwire.config import Config, ToolsConfig
from agentwire.config_models import DEFAULT_MODELS
from agentwire.errors import ConfigError, InvalidParams
from agentwire.methods import StoreRestored
from agentwire.paths import Paths
from agentwire.types import Verdict

_DAY = 86400.0
_DEMO = (
    "{model} is a small model on this machine, often wrong. Better: set OPENAI_API_KEY or another, then `agentctl daemon restart`."
)


class WallClock:
    """ports.Clock on the system's clock: the one place that reads it."""

    def now(self) -> float:
        return time.time()

    def facts(self) -> Facts:
        return _facts(int(self.now() // 60))


@lru_cache(maxsize=1)  # it is asked for with every request
def _facts(minute: int) -> Facts:
    today = time.strftime("%A %d %B %Y", time.localtime(minute * 60))
    return Facts(date=today, platform=_PLATFORM, user=_USER)


_PLATFORM = f"{platform.system()} {platform.release()} {platform.machine()}"
_USER = os.environ.get("USER") or os.environ.get("LOGNAME") or "the user"


@asynccontextmanager
async def build(config: Config, process: Process, umask: int) -> AsyncIterator[tuple[Daemon, Parts, Listener]]:
    """Everything that a run of the daemon needs, wired. `umask` is the user's, for the files that tools make.

    Resource handling: the log and the providers' connections are closed when the scope ends.
    Error handling: ConfigError, StoreError.
    """
    clock = WallClock()
    async with open_sound(config.paths.database, index_change, clock) as (store, soundness):
        keep = config.store.backups if config.store.backup == "daily" else 0
        keeper = StoreKeeper(store, index_change, clock, soundness, keep=keep)
        providers = await _providers(config)
        latest = _Latest(config)
        walls = Bubblewrap(config.paths.cache, lambda: latest.config.sandbox.mode)
        spawner = TrioSpawner(umask=umask, walls=walls)
        sources: list[ToolSource] = [
            Late("files", file_specs.ALL, lambda: _file_tools(spawner, umask)),
            FunctionTools(config.paths.tools, spawner, lambda: latest.config.tools.functions, walled=True),
        ]
        try:
            yield _assemble(config, process, clock, store, keeper, providers, sources, spawner, walls, latest)
        finally:
            with trio.move_on_after(2, shield=True):
                await providers.aclose()


def _file_tools(spawner: Spawner, umask: int) -> ToolSource:
    from agentd.toolsources.files.ripgrep import find
    from agentd.toolsources.files.source import FileTools

    return FileTools(spawner, umask=umask, ripgrep=find())


def _web_tools(private: Callable[[], Sequence[str]]) -> ToolSource:
    from agentd.toolsources.web.source import WebTools

    return WebTools(private)


def restore_now(path: str, source: str) -> StoreRestored:
    """What `store/restore` does, at once: nobody has the store open."""
    restored = restoring.prepare(path, source, WallClock().now())
    backup = upkeep.describe(restored.source)
    files.settle(path)
    return StoreRestored(backup=backup, kept=restored.kept)


async def check(config: Config) -> None:
    """Raises ConfigError for what no daemon can be built from."""
    _router(config, await _providers(config))


async def _providers(config: Config) -> Providers:
    """Made in a worker thread if there is code of others to import."""
    if any(foreign(name, config) for name in config.providers.remote):
        return await trio.to_thread.run_sync(Providers, config, abandon_on_cancel=True)
    return Providers(config)


def _assemble(
    config: Config,
    process: Process,
    clock: WallClock,
    store: EventLog,
    keeper: StoreKeeper,
    providers: Providers,
    sources: Sequence[ToolSource],
    spawner: Spawner,
    walls: Bubblewrap,
    latest: _Latest,
) -> tuple[Daemon, Parts, Listener]:
    daemon = Daemon(config, clock, secrets.token_hex(8), process)
    router = _router(config, providers)
    current, pulls, listing = _Current(latest, router, providers), Pulls(providers.pullers), ModelList(router, providers)
    naming = Naming(router, listing)
    sources = [
        *sources,
        ShellTools(spawner, lambda: current.tools.timeout),
        Late("web", web_specs.ALL, lambda: _web_tools(lambda: current.tools.private_hosts)),
        SessionTools(store, lambda session: core.sessions.handles(session)),  # noqa: PLW0108 - there is no core yet
    ]
    core = assemble(
        store=store,
        models=router,
        sources=sources,
        clock=clock,
        facts=clock.facts,
        settings=lambda: current.settings,
        host=daemon,
        listing=listing.models,
        resolve=naming.full_name,
        spawner=spawner,
        groups=[StoreMethods(keeper, daemon), ModelMethods(pulls, router, DEFAULT_MODELS), naming],
    )

    def open_session(caller: Caller, outlet: Outlet, nursery: trio.Nursery) -> Session:
        return Session(core.api, core.bus, store, caller, current.hello(daemon), outlet, nursery)

    heartbeat = Heartbeat(watchdog(os.environ), [partial(bound_output, config.paths.output)])
    parts = Parts(
        store=store,
        bus=core.bus,
        sessions=core.sessions,
        services=[walls.run, *(source.run for source in sources), providers.run, pulls.run, core.jobs.run, core.direct.run],
        background=[core.saver.run, core.upkeep.run, heartbeat.run, keeper.run],
        prewarm=router.prewarm,
        providers=providers.statuses,
        circuits=router.circuits,
        sandbox=walls.status,
        recovery=core.recovery,
        reconfigure=current.replace,
        notices=lambda: keeper.warnings,
        restored=keeper.restored,
    )
    return daemon, parts, Listener(config.paths.socket, open_session)


class _Latest:
    """The configuration in force."""

    def __init__(self, config: Config) -> None:
        self.config = config


class _Current:
    """All that go by the configuration in force."""

    def __init__(self, latest: _Latest, router: Router, providers: Providers) -> None:
        self._latest, self._router, self._providers = latest, router, providers
        self.settings = _settings(latest.config)

    @property
    def tools(self) -> ToolsConfig:
        return self._latest.config.tools

    async def replace(self, config: Config) -> None:
        """What begins from now on goes by this one."""
        for name in await self._providers.replace(config):
            self._router.health.renewed(name)
        self._latest.config, self.settings = config, _settings(config)
        self._router.reconfigure(config.model, aliases_of(config))

    def hello(self, daemon: Daemon) -> Hello:
        model = self._latest.config.model
        return Hello(
            version=__version__,
            pid=os.getpid(),
            boot=daemon.boot,
            model=model,
            environment=self._latest.config.environment,
            notice=lambda: _DEMO.format(model=model) if model.startswith("local/") else "",
            prompting=daemon.expect_prompt,
        )


def _settings(config: Config) -> Settings:
    clean = config.cleanup
    return Settings(
        model=config.model,
        max_steps=config.turn.max_steps,
        policy=_policy(config),
        approval_deadline=config.turn.approval_deadline,
        unload_after=config.daemon.unload_after,
        clean_idle=clean.idle_days * _DAY,
        clean_age=clean.age_days * _DAY,
        jobs=config.tools.jobs,
        max_repeats=config.turn.max_repeats,
        max_seconds=config.turn.max_seconds,
        budgets=Budgets(**asdict(config.budget)),
        values=config.values,
        warnings=config.warnings,
    )


def _policy(config: Config) -> Policy:
    """What holds for every session. What is agentd's own no tool sees."""
    rules, sandbox, paths, home = config.permissions, config.sandbox, config.paths, os.path.expanduser("~")
    return Policy(
        mode=rules.mode,
        rules=of_lists(rules.allow, rules.ask, rules.deny, scope="configuration", source="config.toml"),
        write=_real(sandbox.write),
        read=_real(sandbox.read),
        hide=(*_real(_own(paths)), *_real(sandbox.hide)),
        network=_VERDICTS[sandbox.network],
        home=home,
        walled=sandbox.mode == "required",
    )


def _own(paths: Paths) -> tuple[str, ...]:
    """Directories that are agentd's alone, and its files. Not what these lie in: AGENTD_CONFIG and AGENTD_SOCKET may have put them
    into a project, or into /tmp."""
    directories = (paths.data, os.path.dirname(paths.history), paths.logs, paths.cache, os.path.dirname(paths.env_file))
    runtime = (paths.runtime,) if "agentd" in os.path.basename(paths.runtime) or paths.runtime.endswith("/run") else ()
    return (*directories, *runtime, paths.config_file, paths.socket)


_VERDICTS: dict[str, Verdict] = {"ask": "ask", "allow": "allow", "deny": "deny"}


def _real(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.realpath(os.path.expanduser(path)) for path in paths)


def _router(config: Config, providers: Providers) -> Router:
    """Error handling: ConfigError for an alias that leads nowhere, and for a default model of no provider: it would fail every
    session, and the first prewarming."""
    router = Router(providers, config.model, aliases_of(config))
    try:
        router.route("")
    except InvalidParams as error:
        source = next((value.source for value in config.values if value.key == "model"), "configuration")
        raise ConfigError(f"{source}: model: {error.message}, got {config.model!r}", key="model") from None
    return router
