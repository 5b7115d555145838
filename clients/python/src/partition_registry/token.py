"""A token as an object that never shows itself.

A plain string finds its way into a message, a log or a traceback that prints
local variables.  A Token prints as ***, and only psycopg, when it sends a
statement's parameters, sees what is in it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper


class Token:
    """A source's or a provider's token; prints as ``***``."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value.strip()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Token:
        """The token in a file.  Errors: OSError, where it cannot be read."""
        return cls(Path(path).read_text(encoding="ascii", errors="replace"))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Put it into a new file, which its owner alone can read.

        Where the token is new, before the commit: one that is nowhere is lost.
        Errors: OSError, FileExistsError among them."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(self.__value + "\n")
                file.flush()
                os.fsync(descriptor)
        except BaseException:
            os.unlink(path)
            raise

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token cannot be pickled or copied")

    def to_wire(self) -> bytes:
        """What is sent to the server; for nothing else."""
        return self.__value.encode()


class _TokenDumper(Dumper):
    oid = psycopg.adapters.types["text"].oid

    def dump(self, obj: Token) -> bytes:
        return obj.to_wire()


def teach(context: AdaptContext) -> None:
    """Let a connection, or whatever else has adapters, take a Token as a parameter."""
    context.adapters.register_dumper(Token, _TokenDumper)
