"""What the daemon weighs: memory when it has just started and after a turn, CPU while nothing happens."""

from __future__ import annotations

import sys
import time
from contextlib import closing

from benchmarks.common import Client, Lab, environment, rule, running, tokens
from benchmarks.figures import Figure

_IDLE = 20.0
_SDK = "import time, trio, openai; openai.AsyncOpenAI(api_key='none'); print('ready', flush=True); time.sleep(60)"


def weight(lab: Lab) -> list[Figure]:
    """A fresh daemon left alone for 20 s, then one turn; the floors are the relay, and the SDK alone."""
    with lab.server(rule("", tokens(50))) as port, lab.relay(port) as (relay, _), lab.daemon(port) as daemon:
        time.sleep(1.0)  # noqa: TID251 - the last of the start
        before = daemon.process.cpu
        time.sleep(_IDLE)  # noqa: TID251 - what is measured
        idle, fresh, floor = daemon.process.cpu - before, daemon.process.rss, relay.rss
        with closing(Client(daemon)) as client:
            client.turn(client.session(), "go")
        after = daemon.process.rss
        with running([sys.executable, "-c", _SDK], environment(lab.home)) as (sdk, _):
            sdk_alone = sdk.rss
    return [
        Figure(name="fresh daemon, RSS", value=fresh, unit="MB", floor=floor, floor_name="MB relay", bar=45, rule="45 MB"),
        Figure(name="fresh daemon, CPU in 20 s", value=idle * 1000, unit="ms", bar=10, rule="10 ms"),
        Figure(
            name="after an openai turn, RSS",
            value=after,
            unit="MB",
            floor=sdk_alone,
            floor_name="MB trio and the openai client alone",
            bar=95,
            rule="95 MB",
        ),
    ]
