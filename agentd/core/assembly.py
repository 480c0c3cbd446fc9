"""Core put together from its ports: the daemon and the tests do it in the same way."""

from __future__ import annotations

import os.path
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from attrs import frozen

from agentd.core.accounts import Accounts
from agentd.core.agent_loop import AgentLoop
from agentd.core.api import Api, Methods
from agentd.core.api_contents import ContentMethods
from agentd.core.api_daemon import DaemonMethods, Host
from agentd.core.api_jobs import JobMethods
from agentd.core.api_permissions import PermissionMethods
from agentd.core.api_sessions import SessionMethods
from agentd.core.api_tools import ToolMethods
from agentd.core.api_turns import TurnMethods
from agentd.core.api_usage import UsageMethods
from agentd.core.approvals import Approvals
from agentd.core.attachments import Attachments
from agentd.core.bus import Bus
from agentd.core.direct import DirectCalls
from agentd.core.jobs import Background
from agentd.core.live import DraftSaver
from agentd.core.once import Once
from agentd.core.permissions import Permissions
from agentd.core.prompt import Facts
from agentd.core.recovery import Recovery
from agentd.core.sessions import Sessions
from agentd.core.settings import Current
from agentd.core.tools import Tools
from agentd.core.upkeep import Upkeep
from agentd.core.users import Users
from agentd.ports import Clock, Models, Spawner, Store, ToolSource
from agentwire.types import ModelInfo


@frozen(kw_only=True)
class Core:
    """`saver` and `upkeep` run as long as core does. `recovery(resume=, clean=, grace=)` takes up what the last boot left."""

    bus: Bus
    users: Users
    loop: AgentLoop
    sessions: Sessions
    saver: DraftSaver
    upkeep: Upkeep
    jobs: Background
    direct: DirectCalls
    api: Api
    recovery: Callable[..., Recovery]


def assemble(
    *,
    store: Store,
    models: Models,
    sources: Sequence[ToolSource],
    clock: Clock,
    facts: Callable[[], Facts],
    settings: Current,
    host: Host,
    listing: Callable[[bool], Awaitable[Sequence[ModelInfo]]],
    resolve: Callable[[str], Awaitable[str]],
    spawner: Spawner,
    groups: Sequence[Methods] = (),
) -> Core:
    """`listing` lists all models (if true, their hosts are asked anew), `resolve` makes a model's full name of what a user wrote,
    `spawner` starts background jobs, `groups` are further methods."""
    bus, saver, tools, attachments = Bus(), DraftSaver(store), Tools(sources), Attachments(store)
    accounts = Accounts(store, models, clock, settings)
    users, jobs = Users(store), Background(store, spawner, settings)
    permissions = Permissions(settings, os.path.realpath, users)
    loop = AgentLoop(store, bus, models, tools, permissions, attachments, accounts, jobs, saver, clock, facts, settings)
    sessions = Sessions(store, bus, loop, accounts, users, jobs)
    approvals = Approvals(store, lambda: sessions.loaded, tools, permissions)
    upkeep = Upkeep(store, sessions, clock, settings)
    once = Once(store)
    direct = DirectCalls(store, sessions, once, tools, permissions, jobs)
    own = (
        DaemonMethods(store, sessions, host, settings, listing),
        SessionMethods(store, sessions, upkeep, once, settings, resolve, approvals),
        TurnMethods(sessions, once, settings, resolve, attachments, approvals),
        ContentMethods(store, sessions, once),
        UsageMethods(store, sessions, accounts),
        JobMethods(sessions, jobs),
        ToolMethods(store, sessions, tools, direct),
        PermissionMethods(sessions, once, tools, permissions, users, approvals),
    )
    return Core(
        bus=bus,
        users=users,
        jobs=jobs,
        direct=direct,
        loop=loop,
        sessions=sessions,
        saver=saver,
        upkeep=upkeep,
        api=Api(sessions, (*own, *groups)),
        recovery=partial(Recovery, store, sessions, tools, accounts),
    )
