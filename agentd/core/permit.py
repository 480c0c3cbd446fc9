"""May this call run? One pure function over the rules, the mode, and what the call would do.

Theory of operation: a tool source says what a call would do (`Access`), and each access is judged alone; the strictest verdict is
the call's. A rule that denies is stronger than one that asks, that one than one that allows, wherever they are from. Where no rule
speaks, the mode does: what stays in the workspace and is read, or written there, may happen; what leaves it, or what cannot be
told, is asked about. The walls (`walls`) hold whatever a rule says: a command that is allowed still runs inside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve, frozen

from agentd.core import rules as _rules
from agentd.core.defaults import SYSTEM, about
from agentd.core.rules import Call
from agentd.ports import Sandbox, ToolSpec
from agentwire.types import Access, Mode, Rule, RuleScope, Verdict

_STRENGTH: dict[Verdict, int] = {"allow": 0, "ask": 1, "deny": 2}
PROTECTED = (".git/hooks", ".agentd")
"""Paths that no tool writes, at whatever depth: what is there runs, or counts, outside of every wall."""
_GIT = ".git"
"""What is in it only git writes without a question: its settings name programs, too."""


@frozen(kw_only=True)
class Policy:
    """What calls of one session are judged by. Paths are absolute, links resolved.

    `roots`: the workspace. `write`, `read`: what else may be written and read; `hide`: what no tool sees; `network`: of commands.
    """

    mode: Mode = "default"
    rules: tuple[Rule, ...] = ()
    roots: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    network: Verdict = "ask"
    home: str = "/"
    walled: bool = True

    @property
    def cwd(self) -> str:
        return self.roots[0] if self.roots else "/"


def of_lists(
    allow: Iterable[str] = (), ask: Iterable[str] = (), deny: Iterable[str] = (), *, scope: RuleScope, source: str = ""
) -> tuple[Rule, ...]:
    """Rules as a configuration file has them."""
    lists: dict[Verdict, Iterable[str]] = {"deny": deny, "ask": ask, "allow": allow}
    return tuple(Rule(rule=text, verdict=verdict, scope=scope, source=source) for verdict, texts in lists.items() for text in texts)


@frozen(kw_only=True)
class Judgement:
    """`rule`: the one that decided, None if the mode or the tool did; `why` in words; `proposes`: rules that would allow it."""

    verdict: Verdict
    why: str
    rule: Rule | None = None
    proposes: tuple[str, ...] = ()


def decide(policy: Policy, spec: ToolSpec, accesses: Sequence[Access]) -> Judgement:
    """What becomes of a call of `spec` that would do `accesses`."""
    networked = policy.network != "allow" and any(access.kind == "network" and access.target == "*" for access in accesses)
    accesses = _outside(policy, accesses)
    calls = [Call(spec.name, access, networked) for access in accesses] or [Call(spec.name, None)]
    judged = [(call, _judge(policy, spec, call)) for call in calls]
    judged = [(call, _network(call, one, judged)) for call, one in judged]
    worst = max((one for _, one in judged), key=lambda one: _STRENGTH[one.verdict])
    if worst.verdict != "ask" or any(one.verdict == "ask" and one.rule for _, one in judged):
        return worst  # whom a rule makes ask no further rule can help
    asked = [call for call, one in judged if one.verdict == "ask"]
    proposes = [_rules.proposal(spec.name, call.access, networked=networked) for call in _worth_asking(asked, judged)]
    remembered = not spec.personal and all(proposes) and not any(call.access and call.access.kind == "unclear" for call in asked)
    return evolve(worst, proposes=tuple(dict.fromkeys(proposes)) if remembered else ())


def _outside(policy: Policy, accesses: Sequence[Access]) -> Sequence[Access]:
    """Without the files of commands that are in the /tmp of their sandbox, which is nobody else's. One that lies beside the
    workspace is meant as what it is, and so is one that a rule speaks of."""
    walled = policy.walled and policy.mode != "bypass" and any(access.kind == "command" for access in accesses)
    return [access for access in accesses if not (walled and _scratch(policy, access))]


def _scratch(policy: Policy, access: Access) -> bool:
    place = next((f"{name}/" for name in _TMP if access.target.startswith(f"{name}/")), "")
    if access.kind not in ("read", "write") or not place or _by_rule(policy, Call("", access)):
        return False
    first = place + access.target.removeprefix(place).partition("/")[0]
    return not any(path == first or path.startswith(f"{first}/") for path in (*policy.roots, *policy.write, *policy.read))


_TMP = ("/tmp", "/var/tmp")  # noqa: S108 - the sandbox's own


def _worth_asking(asked: Sequence[Call], judged: Sequence[tuple[Call, Judgement]]) -> list[Call]:
    """For the network of commands the rules are about the commands."""
    commands = [call for call, _ in judged if call.access and call.access.kind == "command"]
    if not commands or not any(call.access and call.access.kind == "network" and call.access.target == "*" for call in asked):
        return list(asked)
    return [*commands, *(call for call in asked if call.access and call.access.kind not in ("network", "command"))]


def _judge(policy: Policy, spec: ToolSpec, call: Call) -> Judgement:
    spoken = _by_rule(policy, call) or _by_default(policy, spec, call)
    return _in_mode(policy, spec, _bounded(policy, spec, call, spoken))


def _bounded(policy: Policy, spec: ToolSpec, call: Call, judged: Judgement) -> Judgement:
    """What no rule can allow: a person's answer, a change in mode plan, and what is agentd's own or runs outside of the walls."""
    if judged.verdict == "deny" or judged.rule is None:
        return judged
    if spec.personal:
        return Judgement(verdict="ask", why="it is a question to you")
    kind, target = (call.access.kind, call.access.target) if call.access else ("", "")
    changes = kind == "write" or (call.access is None and spec.effect != "read") or (kind in _TOLD_BY_WALLS and not policy.walled)
    if policy.mode == "plan" and changes and not _reading(judged):
        return Judgement(verdict="deny", why="mode plan: nothing is changed")
    if kind in ("read", "write") and (_beneath(target, policy.hide) or (kind == "write" and protected(target))):
        return _read(policy, target) if kind == "read" else _write(policy, target)
    return judged


_TOLD_BY_WALLS = ("command", "unclear")
"""In mode plan commands may be allowed because the walls let them change nothing."""


def _reading(judged: Judgement) -> bool:
    return judged.rule is not None and judged.rule.scope == "built-in"


def _by_rule(policy: Policy, call: Call) -> Judgement | None:
    speaking = [rule for rule in policy.rules if _rules.matches(rule, call, policy.cwd, policy.home)]
    if not speaking:
        return None
    rule = max(speaking, key=lambda rule: _STRENGTH[rule.verdict])
    said = {"deny": "forbids it", "ask": "wants it to be asked about", "allow": "allows it"}[rule.verdict]
    return Judgement(verdict=rule.verdict, why=f"the rule {rule.rule} ({rule.source or rule.scope}) {said}", rule=rule)


def _in_mode(policy: Policy, spec: ToolSpec, judged: Judgement) -> Judgement:
    ruled = judged.rule is not None and judged.verdict == "deny"
    if policy.mode == "bypass" and not ruled and not spec.personal and judged.verdict != "allow":
        return Judgement(verdict="allow", why="mode bypass: only rules that deny hold", rule=None)
    if policy.mode == "dont-ask" and judged.verdict == "ask":
        return evolve(judged, verdict="deny", why=f"{judged.why}; mode dont-ask: nobody is asked")
    return judged


def _network(call: Call, judged: Judgement, all_judged: Sequence[tuple[Call, Judgement]]) -> Judgement:
    """A command's use of the network is allowed with rules `network:` for all its commands."""
    if call.access is None or call.access.kind != "network" or call.access.target != "*" or judged.verdict == "allow":
        return judged
    if judged.rule is not None and judged.verdict == "deny":
        return judged
    commands = [one for other, one in all_judged if other.access and other.access.kind == "command"]
    if commands and all(one.verdict == "allow" and one.rule and one.rule.scope != "built-in" for one in commands):
        return commands[0]
    return judged


# --- where no rule speaks --------------------------------------------------------------------------------------------------------


def _by_default(policy: Policy, spec: ToolSpec, call: Call) -> Judgement:
    access = call.access
    if spec.personal:
        return Judgement(verdict="ask", why="it is a question to you")
    if access is None:
        return _tool(policy, spec)
    match access.kind:
        case "command":
            return _command(policy, call)
        case "read":
            return _read(policy, access.target)
        case "write":
            return _write(policy, access.target)
        case "network":
            return _reach(policy, access.target)
        case _:
            return Judgement(verdict="ask", why=f"it cannot be told what it would do: {access.target}")


def _tool(policy: Policy, spec: ToolSpec) -> Judgement:
    if policy.mode == "plan" and spec.effect != "read":
        return Judgement(verdict="deny", why="mode plan: nothing is changed")
    return Judgement(verdict=spec.policy, why=f"{spec.name} is declared so")


def _command(policy: Policy, call: Call) -> Judgement:
    assert call.access is not None
    offline = evolve(call, networked=False)  # whether it gets the network is another access
    known = about(call.access.words[0] if call.access.words else "", policy.mode)
    rule = next((rule for rule in known if _rules.matches(rule, offline, policy.cwd, policy.home)), None)
    if rule is not None:
        return Judgement(verdict="allow", why=f"the built-in rule {rule.rule} allows it", rule=rule)
    if policy.mode == "plan":
        return Judgement(verdict="deny", why="mode plan: nothing is changed")
    return Judgement(verdict="ask", why=f"no rule knows the command {' '.join(call.access.words)[:200]}")


def _read(policy: Policy, path: str) -> Judgement:
    if _beneath(path, policy.hide):
        return Judgement(verdict="deny", why=f"{path} is hidden from tools")
    if _beneath(path, (*policy.roots, *policy.write, *policy.read, *SYSTEM)):
        return Judgement(verdict="allow", why="it reads in the workspace, or of the system")
    return Judgement(verdict="ask", why=f"{path} is outside of the workspace")


def _write(policy: Policy, path: str) -> Judgement:
    if _beneath(path, policy.hide) or protected(path):
        return Judgement(verdict="deny", why=f"{path} is protected: what is there counts outside of the sandbox")
    if policy.mode == "plan":
        return Judgement(verdict="deny", why="mode plan: nothing is changed")
    if f"/{_GIT}/" in f"{path}/":
        return Judgement(verdict="ask", why=f"{path} is git's own: its settings may name programs")
    if _beneath(path, (*policy.roots, *policy.write)):
        return Judgement(verdict="allow", why="it writes in the workspace")
    return Judgement(verdict="ask", why=f"{path} is outside of the workspace")


def _reach(policy: Policy, host: str) -> Judgement:
    if host == "*":
        return Judgement(verdict=policy.network, why="it wants the network (sandbox.network)")
    return Judgement(verdict="ask", why=f"it reaches {host}")


def hidden(policy: Policy, tool: str, agreed: Sequence[Access], path: str) -> bool:
    """Whether a tool that looks through a directory leaves `path` out: read by itself it would be refused or asked about.

    `agreed`: what the call may do; a rule that wanted this to be asked about has been answered.
    """
    if policy.mode != "bypass" and _beneath(path, policy.hide):
        return True
    spoken = _by_rule(policy, Call(tool, Access(kind="read", target=path)))
    if spoken is None or spoken.verdict == "allow":
        return False
    asked = [one.rule for one in (_by_rule(policy, Call(tool, access)) for access in agreed) if one]
    return spoken.verdict == "deny" or (policy.mode != "bypass" and spoken.rule not in asked)


def protected(path: str) -> bool:
    """Whether the path is in one of PROTECTED, at whatever depth."""
    return any(f"/{name}/" in f"{path}/" for name in PROTECTED)


def _beneath(path: str, directories: Iterable[str]) -> bool:
    return any(path == directory or path.startswith(directory.rstrip("/") + "/") for directory in directories)


# --- the walls -------------------------------------------------------------------------------------------------------------------


def walls(policy: Policy, spec: ToolSpec, accesses: Sequence[Access]) -> Sandbox | None:
    """What surrounds the processes of a call that was allowed to do `accesses`; None: there are none by configuration."""
    if not policy.walled:
        return None
    accesses = _outside(policy, accesses)
    network = spec.network or any(access.kind == "network" for access in accesses)
    kept_back = _kept_back(policy, accesses)
    unseen = tuple(path for kind, path in kept_back if kind == "read")
    if policy.mode == "bypass":
        return Sandbox(whole=True, network=True, hide=unseen)
    hide = (*policy.hide, *unseen)
    if policy.mode == "plan":
        return Sandbox(read=(*policy.roots, *policy.write, *policy.read), hide=hide, network=network)
    agreed = tuple(access.target for access in accesses if access.kind == "write" and not _beneath(access.target, policy.roots))
    keep = tuple(f"{root}/{name}" for root in policy.roots for name in PROTECTED)
    keep += tuple(path for kind, path in kept_back if kind == "write")
    shown = tuple(access.target for access in accesses if access.kind == "read")
    return Sandbox(
        write=(*policy.roots, *policy.write, *agreed),
        read=(*policy.read, *shown),
        hide=hide,
        keep=keep,
        network=network,
    )


def _kept_back(policy: Policy, accesses: Sequence[Access]) -> list[tuple[str, str]]:
    """(kind, path) of what rules forbid, and of what they want to be asked about and nobody was."""
    found = [(rule.verdict, _rules.literal_path(rule.rule, policy.cwd, policy.home)) for rule in policy.rules]
    return [
        about
        for verdict, about in found
        if about is not None
        and (verdict == "deny" or (verdict == "ask" and policy.mode != "bypass" and not _agreed(accesses, *about)))
    ]


def _agreed(accesses: Sequence[Access], kind: str, path: str) -> bool:
    return any(access.kind == kind and _beneath(access.target, (path,)) for access in accesses)
