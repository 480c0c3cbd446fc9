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
from agentd.core.api_sessions import SessionMethods
from agentd.core.api_turns import TurnMethods
from agentd.core.api_usage import UsageMethods
from agentd.core.attachments import Attachments
from agentd.core.bus import Bus
from agentd.core.live import DraftSaver
from agentd.core.once import Once
from agentd.core.permissions import Permissions
from agentd.core.prompt import Facts
from agentd.core.recovery import Recovery
from agentd.core.sessions import Sessions
from agentd.core.settings import Current
from agentd.core.tools import Tools
from agentd.core.upkeep import Upkeep
from agentd.ports import Clock, Models, Store, ToolSource
from agentwire.types import ModelInfo


@frozen(kw_only=True)
class Core:
    """`saver` and `upkeep` run as long as core does. `recovery(resume=, clean=, grace=)` takes up what the last boot left."""

    bus: Bus
    loop: AgentLoop
    sessions: Sessions
    saver: DraftSaver
    upkeep: Upkeep
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
    resolve: Callable[[str], str],
    groups: Sequence[Methods] = (),
) -> Core:
    """`listing` lists all models (if true, their hosts are asked anew), `resolve` makes a model's full name of what a user wrote,
    `groups` are further methods."""
    bus, saver, tools, attachments = Bus(), DraftSaver(store), Tools(sources), Attachments(store)
    accounts = Accounts(store, models, clock, settings)
    permissions = Permissions(settings, os.path.realpath)
    loop = AgentLoop(store, bus, models, tools, permissions, attachments, accounts, saver, clock, facts, settings)
    sessions = Sessions(store, bus, loop, accounts)
    upkeep = Upkeep(store, sessions, clock, settings)
    once = Once(store)
    own = (
        DaemonMethods(store, sessions, host, settings, listing),
        SessionMethods(store, sessions, upkeep, once, settings, resolve),
        TurnMethods(sessions, once, settings, resolve, attachments),
        ContentMethods(store, sessions, once),
        UsageMethods(store, sessions, accounts),
    )
    return Core(
        bus=bus,
        loop=loop,
        sessions=sessions,
        saver=saver,
        upkeep=upkeep,
        api=Api(sessions, (*own, *groups)),
        recovery=partial(Recovery, store, sessions, tools, accounts),
    )
