"""`agentctl paths`: where everything is kept."""

from __future__ import annotations

from agentctl import arguments
from agentctl.output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from agentwire.paths import Paths


def parser() -> ArgumentParser:
    """The arguments of `paths`."""
    examples = 'agentctl paths\nsqlite3 -readonly "$(agentctl paths --json | jq -r .database)" .tables'
    made = arguments.make("agentctl paths", "where configuration, data, logs and the socket are", examples)
    arguments.add_json(made)
    return made


def main(paths: Paths, args: Namespace) -> int:
    """Prints the paths; touches none of them and asks no daemon."""
    out = Output(args)
    if args.json:
        out.document(vars(paths))
    else:
        out.table(("WHAT", "WHERE"), [(name, str(value)) for name, value in vars(paths).items()])
    return 0
