"""Where a shell may be: `cd` may fail, or stand in a branch."""

from __future__ import annotations

from attrs import frozen


@frozen
class Where:
    """Directories in which the shell may be."""

    cwds: tuple[str, ...]

    def __or__(self, other: Where) -> Where:
        return Where(tuple(dict.fromkeys((*self.cwds, *other.cwds))))


@frozen
class After:
    """Where the shell may be when a command succeeded, and when it failed; `certain`: it is not expected to fail."""

    success: Where
    failure: Where
    certain: bool = False

    @property
    def either(self) -> Where:
        return self.success if self.certain else self.success | self.failure


def same(where: Where) -> After:
    return After(where, where)
