"""How every command describes its arguments: one kind of parser, the global flags everywhere, examples in every help."""

from __future__ import annotations

import argparse
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        # argparse asks shutil for the width, whose import costs more than the parser; and it makes a formatter for each argument.
        super().__init__(prog, width=_width(), max_help_position=32)


def _width() -> int:
    try:
        return min(os.get_terminal_size(1).columns, 110) - 2
    except OSError:
        return 98


def make(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser with the global flags. `examples`: lines to copy, shown under its options."""
    description, epilog = _texts(description, examples)
    parser = argparse.ArgumentParser(
        prog=prog, formatter_class=_Formatter, allow_abbrev=False, description=description, epilog=epilog
    )
    add_global(parser)
    return parser


def verbs(parser: argparse.ArgumentParser) -> Any:
    """Where the noun's verbs are added, by `verb`."""
    # `prog` is given because argparse would format a whole usage to find it.
    return parser.add_subparsers(dest="verb", metavar="VERB", required=True, prog=parser.prog)


def verb(group: Any, name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """One verb of a noun, with the global flags."""
    sentence, epilog = _texts(description, examples)
    parser: argparse.ArgumentParser = group.add_parser(
        name, help=description, formatter_class=_Formatter, allow_abbrev=False, description=sentence, epilog=epilog
    )
    add_global(parser)
    return parser


def add_global(parser: argparse.ArgumentParser) -> None:
    """-v, -q, --no-color: before the noun, after it, or after the verb, wherever they come to mind."""
    # Without a default: a verb's parser would overwrite what the noun's has read.
    parser.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="say more on stderr")
    parser.add_argument("-q", "--quiet", action="store_true", default=argparse.SUPPRESS, help="only answers and errors")
    parser.add_argument("--no-color", action="store_true", default=argparse.SUPPRESS, help="no colours (NO_COLOR does the same)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json: one document on stdout."""
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")


def add_conversation(parser: argparse.ArgumentParser) -> None:
    """Which session, which model, what to say: shared by `chat` and `run`."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "-c", "--continue", dest="continue_last", action="store_true", help="go on with the newest session of this directory"
    )
    which.add_argument("-s", "--session", metavar="ID", default="", help="go on with this session; the beginning of its id will do")
    parser.add_argument("--model", metavar="NAME", default="", help="provider/model or an alias; see `agentctl model list`")
    parser.add_argument(
        "--fallback-model",
        metavar="NAME,NAME",
        default="",
        help="who is asked where the model fails, also in the middle of a reply",
    )
    parser.add_argument("prompt", nargs="*", default=[], help="what to say; everything after -- is the prompt")


def models(first: str, others: str) -> str:
    """Models in the order in which they are asked, as the daemon takes them; each once."""
    return ",".join(dict.fromkeys(name.strip() for name in f"{first},{others}".split(",") if name.strip()))


def parse(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """The arguments in `argv`. Options may stand between the words of a prompt; what follows -- is words."""
    if parser.get_default("prompt") is None:
        return parser.parse_args(argv)
    options, words = (argv, []) if "--" not in argv else (argv[: argv.index("--")], argv[argv.index("--") + 1 :])
    args = parser.parse_intermixed_args(options)
    if words:
        args.prompt = [*args.prompt, *words]
    return args


def number(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1."""
    value = number(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected a number from 1")
    return value


def dollars(text: str) -> float:
    """An amount of money: `0.25`, also `$0.25`."""
    try:
        value = float(text.removeprefix("$"))
    except ValueError:
        value = 0.0
    if not 0 < value < 1_000_000:
        raise argparse.ArgumentTypeError(f"expected an amount of US dollars such as 0.25, got {text!r}")
    return value


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def span(text: str) -> float:
    """A span of time in seconds: `30s`, `15m`, `12h`, `7d`."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdecimal()) or int(number) == 0:
        raise argparse.ArgumentTypeError(f"expected a span of time such as 30s, 15m, 12h or 7d, got {text!r}")
    return float(int(number) * _UNITS[unit])


def _texts(description: str, examples: str) -> tuple[str, str]:
    """Description and epilog."""
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    return description[:1].upper() + description[1:] + ".", f"examples:\n{lines}"
