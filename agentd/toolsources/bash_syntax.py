"""What a shell command would do, as far as its text tells: the simple commands in it, the files it names, and what is unclear.

Theory of operation: `bash_words` reads the words, tree-sitter-bash the grammar around them, and both must agree: each word and
each operator has to be accounted for by exactly one place of the grammar, and a kind of node that is not listed here is unclear.
The walk follows the directory the shell may be in (`cd` may fail, or stand in a branch: then several are possible) and the values
of loop variables. What a simple command does by its arguments is in `bash_commands`. Whatever is not fully understood becomes an
access `unclear`, which somebody is asked about; nothing is guessed.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from attrs import Factory, define, field

from agentd.toolsources.bash_commands import assigned, meanings
from agentd.toolsources.bash_meaning import Meaning, Word
from agentd.toolsources.bash_places import After, Where, same
from agentd.toolsources.bash_values import expanded
from agentd.toolsources.bash_words import Lexed, Token, Unclear, is_name, lex
from agentwire.types import Access

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_LONGEST = 64 * 1024
_COMMANDS, _DIRECTORIES, _DEPTH, _SHELLS = 50, 8, 40, 4
_STREAMS = frozenset({"/dev/null", "/dev/stdin", "/dev/stdout", "/dev/stderr"})
"""Files that a redirection may name without touching any."""


def accesses_of(command: str, cwd: str, roots: Sequence[str], home: str) -> list[Access]:
    """What `command` would do in `cwd`, in order and without repetitions. `roots`: the workspace, links resolved.

    Commands have their argv as words. Files are named that a redirection opens, that a known command reads or writes, and those
    outside of the workspace that any argument names. Looks at the file system for links only.
    """
    reading = _Reading(roots=tuple(roots), home=home)
    reading.script(command, Where((os.path.realpath(cwd),)))
    return list(dict.fromkeys(reading.accesses))


@define(kw_only=True)
class _Reading:
    """The accesses of one text, and of the texts in it that a shell would run."""

    roots: tuple[str, ...]
    home: str
    accesses: list[Access] = Factory(list)
    commands: int = 0
    depth: int = 0
    moved_only: bool = True  # nothing was done yet but changing the directory: what is there is what was there

    def script(self, text: str, where: Where) -> None:
        """Note what a shell would do with `text`."""
        self.depth += 1
        try:
            if len(text) > _LONGEST:
                raise Unclear("it is longer than 64 KiB")
            if self.depth > _SHELLS:
                raise Unclear("shells within shells")
            lexed = lex(text)
            root = _parser().parse(lexed.masked.encode()).root_node
            if root.has_error:
                raise Unclear("it cannot be parsed")
            walk = _Walk(self, lexed)
            walk.node(root, where)
            walk.finish()
        except Unclear as reason:
            self.unclear(str(reason))
        finally:
            self.depth -= 1

    def unclear(self, reason: str) -> None:
        self.accesses.append(Access(kind="unclear", target=reason))

    def command(self, words: Sequence[Word], where: Where, *, fed: str = "") -> After:
        """Note what a simple command does. `fed`: the name of the command whose output it reads."""
        self.commands += 1
        if self.commands > _COMMANDS:
            raise Unclear(f"more than {_COMMANDS} commands")
        entered = list[str]()
        for cwd in where.cwds:
            meaning = meanings(words, cwd, self.roots, self.home, fed=fed)
            self.accesses += meaning.accesses
            self._inner(meaning)
            entered += [meaning.enters] if meaning.enters is not None else []
        if not entered:
            self.moved_only = False
            return same(where)
        there = Where(tuple(dict.fromkeys(entered)))
        certain = self.moved_only and all(os.access(cwd, os.X_OK) and os.path.isdir(cwd) for cwd in entered)
        return After(there, where, certain)

    def _inner(self, meaning: Meaning) -> None:
        for words, cwd in meaning.commands:
            self.command(words, Where((cwd,)))
        for text, cwd in meaning.scripts:
            self.script(text, Where((cwd,)))


@define
class _Walk:
    """One text's grammar. Every token is to be used once (`used`); what is left over was read differently by the two readers.

    `variables`: of loops, with their present values; `here`: the directory in which words are expanded.
    """

    reading: _Reading
    lexed: Lexed
    variables: dict[str, Word] = Factory(dict)
    here: Word = Factory(lambda: Word("", opaque=True))
    used: set[int] = field(factory=set)
    depth: int = 0

    def finish(self) -> None:
        left = [token.text for number, token in enumerate(self.lexed.tokens) if number not in self.used and token.text != "\n"]
        if left:
            raise Unclear(f"it can be read in two ways, near {left[0][:40]!r}")

    def node(self, node: Node, where: Where, *, fed: str = "") -> After:
        handler = _HANDLERS.get(node.type)
        if handler is None:
            raise Unclear(f"shell grammar of the kind {node.type}")
        if len(where.cwds) > _DIRECTORIES or self.depth > _DEPTH:
            raise Unclear("it is too deeply nested, or changes its directory too often")
        self.depth += 1
        self.stand(where)
        try:
            fed = (self.around(node, where) if node.type in _GROUPS else "") or fed
            return handler(self, node, where, fed)
        finally:
            self.depth -= 1

    def stand(self, where: Where) -> None:
        self.here = Word(where.cwds[0], opaque=len(where.cwds) > 1)

    # --- sequences ---------------------------------------------------------------------------------------------------------

    def sequence(self, nodes: Iterable[Node], where: Where, fed: str = "") -> After:
        """Commands one after another; one that runs in the background changes nothing here."""
        after, start = same(where), where
        for node in nodes:
            if node.is_named:
                start = after.either
                after = self.node(node, start, fed=fed)
                continue
            if self.take(node) == "&":
                after = same(start)
        return after

    def all(self, node: Node, where: Where, fed: str) -> After:
        return self.sequence(node.children, where, fed)

    def list_(self, node: Node, where: Where, fed: str) -> After:
        left, operator, right = self.three(node)
        first = self.node(left, where, fed=fed)
        if operator == "&&":
            second = self.node(right, first.success, fed=fed)
            return After(second.success, first.failure | second.failure)
        second = self.node(right, first.failure, fed=fed)
        return After(first.success | second.success, second.failure)

    def three(self, node: Node) -> tuple[Node, str, Node]:
        parts = [child for child in node.children if child.type not in ("\n", "comment")]
        if len(parts) != 3 or parts[1].type not in ("&&", "||"):
            raise Unclear("an unusual list of commands")
        return parts[0], self.take(parts[1]), parts[2]

    def pipeline(self, node: Node, where: Where, fed: str) -> After:
        """Each of its commands has a shell of its own."""
        for child in node.children:
            if child.is_named:
                self.node(child, where, fed=fed)
                fed = self.output_of(child)
            else:
                self.take(child)
        return same(where)

    def output_of(self, node: Node) -> str:
        """The command whose output a pipe carries on; `?` if that is not plain."""
        tokens = [token for _, token in self.within(node)]
        plain = all(token.kind == "word" and not any(piece.variable for piece in token.pieces) for token in tokens)
        return " ".join("".join(piece.text for piece in token.pieces) for token in tokens) if plain else "?"

    def apart(self, node: Node, where: Where, fed: str) -> After:
        self.all(node, where, fed)
        return same(where)

    def negated(self, node: Node, where: Where, fed: str) -> After:
        after = self.all(node, where, fed)
        return After(after.failure, after.success)

    # --- branches and loops ------------------------------------------------------------------------------------------------

    def branch(self, node: Node, where: Where, fed: str) -> After:
        """`if` and `elif`: the condition, what follows if it holds, and else."""
        children = list(node.children)
        then = next((number for number, child in enumerate(children) if child.type == "then"), len(children))
        condition = self.sequence(children[:then], where, fed)
        end = next((n for n, child in enumerate(children) if child.type in ("elif_clause", "else_clause")), len(children))
        done = self.sequence(children[then:end], condition.success, fed).either
        other = condition.failure
        for child in children[end:]:
            if child.type in ("elif_clause", "else_clause"):
                after = self.node(child, other, fed=fed)
                done, other = done | after.success, after.failure
            else:
                self.sequence([child], other, fed)
        return same(done | other)

    def loop(self, node: Node, where: Where, fed: str) -> After:
        """`while` and `until`: the directory must be the same in each round."""
        kept = set(self.used)
        after = self.sequence(node.children, where, fed).either | where
        if after != where:
            self.used = kept
            after = self.sequence(node.children, after, fed).either | after
            if set(after.cwds) - set(where.cwds):
                raise Unclear("a loop that changes its directory")
        return same(after)

    def each(self, node: Node, where: Where, fed: str) -> After:
        """`for`: over words as they stand there, and the body once with each of them."""
        name, values = "", list[Word]()
        body: Node | None = None
        for child in node.children:
            if child.type == "do_group":
                body = child
            elif child.type == "variable_name":
                name = self.use(child).text
            elif child.is_named:
                values.append(self.word(self.use(child)))
            elif self.take(child) == "select":
                raise Unclear("the command `select`")
        if body is None or not values or not is_name(name) or _special(name) or name in self.variables:
            raise Unclear("an unusual loop")
        kept, everywhere = set(self.used), where
        for value in values:
            self.used = set(kept)
            self.variables[name] = value
            everywhere |= self.node(body, everywhere, fed=fed).either
        self.variables.pop(name, None)
        return same(everywhere)

    # --- simple commands ---------------------------------------------------------------------------------------------------

    def simple(self, node: Node, where: Where, fed: str) -> After:
        tokens = self.within(node)
        begin, end = self.lexed.runs[tokens[0][0]] if tokens else (0, 0)
        run = [(number, token) for number, token in enumerate(self.lexed.tokens[begin:end], begin) if number not in self.used]
        words: Sequence[Word]
        words, redirections = self.parts(run, node)
        for token, target in redirections:
            self.redirect(token, target, where)
            if token.text in _INPUTS:
                fed = "?"
        if not words:
            return same(where)
        self.reading_names(words)
        words, unclear = assigned(words, where.cwds[0], self.reading.roots)
        for reason in unclear:
            self.reading.unclear(reason)
        return self.reading.command(words, where, fed=fed) if words else same(where)

    def around(self, node: Node, where: Where) -> str:
        """The redirections behind a group of commands; `?` if they say what it reads."""
        tokens = self.within(node)
        begin, end = tokens[-1][0] + 1, self.lexed.runs[tokens[-1][0]][1]
        if tokens[-1][1].text == ")":
            end = self.lexed.runs[begin][1] if begin < len(self.lexed.tokens) else begin
        words, redirections = self.parts([*enumerate(self.lexed.tokens[begin:end], begin)], node)
        if words:
            raise Unclear("words behind a group of commands")
        for token, target in redirections:
            self.redirect(token, target, where)
        return "?" if any(token.text in _INPUTS for token, _ in redirections) else ""

    def within(self, node: Node) -> list[tuple[int, Token]]:
        start, end = node.start_byte, node.end_byte
        return [(number, token) for number, token in enumerate(self.lexed.tokens) if start <= token.start < end]

    def parts(self, tokens: Sequence[tuple[int, Token]], node: Node) -> tuple[list[Word], list[tuple[Token, Token]]]:
        """The words, all of them in `node`, and each redirection with its target."""
        words, redirections = list[Word](), list[tuple[Token, Token]]()
        for (number, token), (_, before) in zip(tokens, [(-1, None), *tokens], strict=False):
            if number in self.used or token.kind == "operator":
                raise Unclear(f"it can be read in two ways, near {token.text[:40]!r}")
            self.used.add(number)
            if before is not None and before.kind == "redirection":
                redirections.append((before, token))
            elif token.kind == "word":
                if (token.keyword and not words) or not node.start_byte <= token.start < node.end_byte:
                    raise Unclear(f"it can be read in two ways, near {token.text[:40]!r}")
                words.append(self.word(token))
        return words, redirections

    def redirect(self, token: Token, target: Token, where: Where) -> None:
        if token.text in ("<<", "<<-"):
            return
        self.stand(where)
        word = self.word(target)
        if token.text == "<<<":
            return
        if token.text in (">&", "<&") and not re.fullmatch(r"\d+|-|[A-Za-z_./][\w./-]*", target.text):
            raise Unclear("a redirection that bash may end earlier, or remove quotes from twice")
        if token.text in (">&", "<&") and (word.text.isdecimal() or word.text == "-") and not word.opaque:
            return
        if word.glob or word.opaque:
            raise Unclear("a redirection to a file whose name is not plain")
        if word.text in _STREAMS:
            return
        if word.text.startswith(("/dev/tcp/", "/dev/udp/")) or not word.text:
            raise Unclear("a redirection to the network, or nowhere")
        for cwd in where.cwds:
            path = os.path.realpath(os.path.join(cwd, word.text))
            self.reading.accesses.append(Access(kind="read" if token.text == "<" else "write", target=path))

    def reading_names(self, words: Sequence[Word]) -> None:
        """A loop's variable has the values of its loop and no others."""
        if words[0].text in ("read", "export", "unset") or "=" in words[0].text:
            named = {word.text.partition("=")[0] for word in words}
            if taken := named & set(self.variables):
                raise Unclear(f"the loop's variable {min(taken)} is changed")

    # --- tokens ------------------------------------------------------------------------------------------------------------

    def use(self, node: Node) -> Token:
        """The one word that stands where `node` does."""
        for number, token in self.within(node):
            if token.start == node.start_byte and token.end == node.end_byte and number not in self.used:
                self.used.add(number)
                return token
            break
        raise Unclear("it can be read in two ways")

    def take(self, node: Node) -> str:
        """An operator or a keyword: the grammar's token is ours."""
        if node.type == "\n":
            return node.type
        token = self.use(node)
        if token.text != node.type or (token.kind == "word" and not token.keyword):
            raise Unclear(f"it can be read in two ways, near {token.text[:40]!r}")
        return token.text

    def word(self, token: Token) -> Word:
        """What becomes of it, with what is known of variables."""
        return expanded(token, {"HOME": Word(self.reading.home), "PWD": self.here, **self.variables})


def _special(name: str) -> bool:
    return name == "_" or name.isupper()


Handler = Callable[[_Walk, "Node", Where, str], After]


def _nothing(_walk: _Walk, _node: Node, where: Where, _fed: str) -> After:
    return same(where)


_HANDLERS: Mapping[str, Handler] = {
    "program": _Walk.all,
    "list": _Walk.list_,
    "pipeline": _Walk.pipeline,
    "subshell": _Walk.apart,
    "compound_statement": _Walk.all,
    "negated_command": _Walk.negated,
    "if_statement": _Walk.branch,
    "elif_clause": _Walk.branch,
    "else_clause": _Walk.all,
    "while_statement": _Walk.loop,
    "for_statement": _Walk.each,
    "do_group": _Walk.all,
    "command": _Walk.simple,
    "comment": _nothing,
}

_GROUPS = ("subshell", "compound_statement", "if_statement", "while_statement", "for_statement")
"""What a redirection may stand behind."""
_INPUTS = ("<<", "<<-", "<<<", "<", "<>", "<&")


@cache
def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
