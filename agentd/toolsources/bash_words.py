"""The words and operators of a shell command text, read strictly: what is not plainly understood is `Unclear`.

Theory of operation: this reads quotes, escapes, comments, here-documents and redirections as bash and dash do, and refuses the
rest: substitutions, arithmetic, brace expansion, ANSI-C quoting, `case`, arrays, characters that nobody sees. What it gives is a
list of tokens, and the text masked: every word is as many letters `w`; data, comments and redirections are blanks, and a `w` stands
for a command that is nothing but redirections. The masked text is all that the grammar (bash_syntax.py) has to understand, so that
neither an odd word can mislead it, nor a redirection, which it takes for one of all the commands before.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Literal

from attrs import Factory, define, evolve, frozen

KEYWORDS = frozenset({"if", "then", "elif", "else", "fi", "for", "in", "while", "until", "do", "done", "{", "}", "!", "function"})
"""Words that mean something where a command may stand. The others (`case`, `select`, `[[`...) are refused, or commands."""
_CLOSING = ("}", "fi", "done")
_OPERATOR = re.compile(r"&&|\|\||\|&|;|&|\||\(|\)")
_REDIRECTION = re.compile(r"(\d*)(&>>|&>|<<<|<<-|<<|>>|>\||<>|>&|<&|<|>)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\}|([?#$!]))")
_NO_VARIABLE = frozenset(" \t\n\"|)/.,;:%'")
"""After a dollar sign that is one."""
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./^-]+")
_BRACES = re.compile(r"\{[^{},]*\}")
_HEREDOC_END = re.compile(r"'([A-Za-z0-9_.-]+)'|\"([A-Za-z0-9_.-]+)\"|([A-Za-z0-9_.-]+)")


class Unclear(Exception):
    """It cannot be told what the command does; the text says why."""


@frozen
class Piece:
    """Part of a word: literal text, or the value of the variable `text`. What is not `quoted` may be a wildcard, or be split."""

    text: str
    quoted: bool
    variable: bool = False


@frozen
class Token:
    """`text`: of an operator or a redirection, which may have the number of a file (`fd`); of a word as it was written."""

    kind: Literal["word", "operator", "redirection"]
    start: int
    end: int
    text: str
    pieces: tuple[Piece, ...] = ()
    fd: str = ""

    @property
    def keyword(self) -> bool:
        return self.kind == "word" and self.text in KEYWORDS


@frozen
class Lexed:
    """`masked` is as long as the text, and a token is in both at the same place. `runs`: for each token where what stands with it
    between two operators begins and ends."""

    tokens: tuple[Token, ...]
    masked: str
    runs: tuple[tuple[int, int], ...]


def lex(text: str) -> Lexed:
    """Error handling: Unclear."""
    return _Lexer(text).run()


@define
class _Lexer:
    text: str
    at: int = 0
    tokens: list[Token] = Factory(list)
    mask: list[str] = Factory(list)
    heredocs: list[tuple[str, bool, bool]] = Factory(list)
    """Those whose text begins with the next line: what ends it, whether it is literal, whether tabs are stripped."""

    def run(self) -> Lexed:
        self.mask = [" "] * len(self.text)
        while self.at < len(self.text):
            self._step()
        if self.heredocs:
            raise Unclear("a here-document without its end")
        runs = tuple(self._runs())
        return Lexed(tuple(self.tokens), "".join(self.mask), runs)

    def _runs(self) -> Iterator[tuple[int, int]]:
        begin = 0
        for number, token in enumerate([*self.tokens, None]):
            if token is None or token.kind == "operator":
                self._hide(self.tokens[begin:number], self.tokens[begin - 1].text if begin else "")
                yield from [(begin, number)] * (number - begin + (token is not None))
                begin = number + 1

    def _hide(self, run: Sequence[Token], before: str) -> None:
        """Blank out the redirections of a run. `before`: the operator that it follows."""
        words, first = list[Token](), -1
        for number, token in enumerate(run):
            follows = number > 0 and run[number - 1].kind == "redirection"
            if token.kind == "redirection" and (follows or number == len(run) - 1):
                raise Unclear("a redirection without a file")
            if token.kind == "redirection" or follows:
                first = token.start if first < 0 else first
                self.mask[token.start : token.end] = " " * (token.end - token.start)
            elif token.keyword and first >= 0 and not words:
                raise Unclear(f"the word {token.text} behind a redirection")
            else:
                words.append(token)
        closed = words[-1].text in _CLOSING if words and words[-1].keyword else before == ")"
        if first >= 0 and all(word.keyword for word in words) and not closed:
            self.mask[first] = "w"

    def _step(self) -> None:
        text, at = self.text, self.at
        if text.startswith("\\\n", at):
            self.at += 2
            if text[self.at : self.at + 1] not in (" ", "\t"):
                self._continued(at)
        elif text[at] in " \t":
            self.at += 1
        elif text[at] == "\n":
            self._newline()
        elif text[at] == "#":
            end = text.find("\n", at)
            self._visible(text[at : end if end >= 0 else len(text)])
            self.at = end if end >= 0 else len(text)
        elif found := _REDIRECTION.match(text, at):
            self._redirection(found)
        elif found := _OPERATOR.match(text, at):
            self._operator(found[0])
        else:
            self._word()

    def _continued(self, at: int) -> None:
        """A line that goes on is read where only blanks are left out with it, or a whole word follows blanks."""
        odd = self.text[at - 1 : at] not in (" ", "\t") or self.text[self.at : self.at + 1] in ("#", "\\", *"&|;<>()")
        if odd and self.text[self.at : self.at + 2] not in ("||", "&&"):
            raise Unclear("a word or an operator on two lines")

    def _visible(self, text: str) -> None:
        for letter in text:
            if not letter.isprintable() and letter not in "\n\t":
                raise Unclear(f"a character that is not visible, U+{ord(letter):04X}")

    def _add(self, token: Token, masked: str) -> None:
        self.tokens.append(token)
        self.mask[token.start : token.end] = masked.ljust(token.end - token.start)
        self.at = token.end

    # --- operators ---------------------------------------------------------------------------------------------------------

    def _operator(self, text: str) -> None:
        at, before = self.at, self.tokens[-1] if self.tokens else None
        if text == ";" and self.text.startswith(";;", at):
            raise Unclear("the command `case`")
        if text == "(" and (self.text.startswith("((", at) or (before and before.end == at and before.kind != "operator")):
            raise Unclear("arithmetic, an array, or a function")
        self._add(Token("operator", at, at + len(text), text), text)

    def _newline(self) -> None:
        self._add(Token("operator", self.at, self.at + 1, "\n"), "\n")
        for end, literal, tabs in self.heredocs:
            self._heredoc(end, literal=literal, tabs=tabs)
        self.heredocs.clear()

    def _heredoc(self, end: str, *, literal: bool, tabs: bool) -> None:
        """Skip its text. It is data, if nothing in it is executed."""
        start = self.at
        while self.at < len(self.text):
            stop = self.text.find("\n", self.at)
            line = self.text[self.at : stop if stop >= 0 else len(self.text)]
            body_end, self.at = self.at, stop + 1 if stop >= 0 else len(self.text)
            if (line.lstrip("\t") if tabs else line) == end:
                body = self.text[start:body_end]
                self._visible(body)
                if not literal and re.search(r"`|\$[({\['\"]|\\\n", body):
                    raise Unclear("a here-document in which something is substituted")
                self.mask[self.at - 1] = "\n" if stop >= 0 else " "
                return
        raise Unclear("a here-document without its end")

    def _redirection(self, found: re.Match[str]) -> None:
        fd, operator = found[1], found[2]
        before = self.tokens[-1] if self.tokens else None
        if before and before.kind == "word" and before.end == self.at and before.text.endswith("}"):
            raise Unclear("a redirection of a named file")
        if fd and operator.startswith("&"):
            raise Unclear("a number before a redirection of all output")
        if len(fd) > 1 or self.text.startswith("(", found.end()):
            raise Unclear("a process substitution, or a file with a high number")
        self._add(Token("redirection", self.at, found.end(), operator, fd=fd), "")
        if operator in ("<<", "<<-"):
            self._here(tabs=operator == "<<-")

    def _here(self, *, tabs: bool) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1
        found = _HEREDOC_END.match(self.text, self.at)
        if found is None or not re.match(r"[\s;|&<>)]|\Z", self.text[found.end() :]):
            raise Unclear("a here-document with an unusual end")
        literal = found[3] is None
        self.heredocs.append((found[1] or found[2] or found[3], literal, tabs))
        self._add(Token("word", self.at, found.end(), found[0]), "w" * len(found[0]))

    # --- words -------------------------------------------------------------------------------------------------------------

    def _word(self) -> None:
        start, pieces = self.at, list[Piece]()
        while self.at < len(self.text) and (self.text[self.at] not in " \t\n;&|()<>"):
            pieces += self._piece(start)
        raw = self.text[start : self.at]
        token = Token("word", start, self.at, raw, tuple(_joined(pieces)))
        self._add(token, raw if token.keyword else "w" * len(raw))

    def _piece(self, start: int) -> list[Piece]:
        text, at = self.text, self.at
        match text[at]:
            case "'":
                end = text.find("'", at + 1)
                if end < 0:
                    raise Unclear("a quote that is not closed")
                self._visible(text[at:end])
                self.at = end + 1
                return [Piece(text[at + 1 : end], quoted=True)]
            case '"':
                return self._double()
            case "\\":
                return self._escape()
            case "$":
                return [self._dollar(quoted=False)]
            case "~":
                return [self._tilde(start)]
            case "{":
                return [self._braces()]
            case "}" if at == start:
                self.at += 1
                return [Piece("}", quoted=False)]
        return [self._plain()]

    def _plain(self) -> Piece:
        found = _PLAIN.match(self.text, self.at)
        letter = self.text[self.at]
        if found is not None:
            self.at = found.end()
            return Piece(found[0], quoted=True)
        if letter in "*?[]":
            self.at += 1
            return Piece(letter, quoted=letter == "]")
        if letter in "!#" or (not letter.isascii() and letter.isalnum() and unicodedata.normalize("NFKC", letter) == letter):
            self.at += 1
            return Piece(letter, quoted=True)
        raise Unclear("a backquote" if letter == "`" else f"the character U+{ord(letter):04X} outside of quotes")

    def _escape(self) -> list[Piece]:
        letter = self.text[self.at + 1 : self.at + 2]
        if not letter or not letter.isprintable() or not letter.isascii():
            raise Unclear("a line, or an unusual character, that goes on after a backslash")
        self.at += 2
        return [Piece(letter, quoted=True)]

    def _double(self) -> list[Piece]:
        pieces, literal = [Piece("", quoted=True)], list[str]()
        self.at += 1
        while self.at < len(self.text):
            letter, following = self.text[self.at], self.text[self.at + 1 : self.at + 2]
            if letter == '"':
                self.at += 1
                return [*pieces, Piece("".join(literal), quoted=True)]
            if letter == "`":
                raise Unclear("a backquote")
            if letter == "$":
                pieces += [Piece("".join(literal), quoted=True), self._dollar(quoted=True)]
                literal = []
                continue
            escaped = letter == "\\" and following != "" and following in '$`"\\'
            if letter == "\\" and following == "\n":
                raise Unclear("a line that goes on inside of quotes")
            taken = following if escaped else letter
            self._visible(taken)
            literal.append(taken)
            self.at += 2 if escaped else 1
        raise Unclear("a quote that is not closed")

    def _dollar(self, *, quoted: bool) -> Piece:
        found = _VARIABLE.match(self.text, self.at)
        following = self.text[self.at + 1 : self.at + 2]
        if found is not None:
            self.at = found.end()
            return Piece(found[1] or found[2] or found[3], quoted=quoted, variable=True)
        if following in (_NO_VARIABLE if quoted else " \t\n;"):
            self.at += 1
            return Piece("$", quoted=True)
        raise Unclear("a substitution" if following == "(" else f"an expansion, ${following}")

    def _tilde(self, start: int) -> Piece:
        at = self.at
        self.at += 1
        if at == start:
            if self.text[self.at : self.at + 1] not in ("", "/", *" \t\n;&|()<>"):
                raise Unclear("another user's home, or a name that begins with a tilde")
            return Piece("HOME", quoted=True, variable=True)
        if self.text[at - 1] in "=:":
            raise Unclear("a tilde inside of a word")
        return Piece("~", quoted=True)

    def _braces(self) -> Piece:
        if self.text[self.at + 1 : self.at + 2] in ("", *" \t\n"):
            self.at += 1
            return Piece("{", quoted=False)
        found = _BRACES.match(self.text, self.at)
        if found is None or ".." in found[0] or not re.fullmatch(r"\{[A-Za-z0-9_/:+-]*\}", found[0]):
            raise Unclear("a brace expansion")
        self.at = found.end()
        return Piece(found[0], quoted=True)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of a kind as one."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].quoted == piece.quoted and not (joined[-1].variable or piece.variable):
            joined[-1] = evolve(joined[-1], text=joined[-1].text + piece.text)
        elif piece.text or piece.variable or not joined:
            joined.append(piece)
    return joined


def is_name(text: str) -> bool:
    """Whether a variable may be called so."""
    return _NAME.fullmatch(text) is not None
