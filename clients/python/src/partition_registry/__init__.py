"""Load and read time partitions whose readiness PostgreSQL keeps.

For asyncio there is partition_registry.aio, with the same names."""

from .errors import (
    AlreadyExists,
    BadArgument,
    DoneAlready,
    HeldByOther,
    HistoryGone,
    LockLost,
    NotAllowed,
    NotReady,
    Obstacle,
    PartitionFailed,
    ProviderRevoked,
    RegistryError,
    TimedOut,
    UnknownObject,
)
from .load import Load
from .registry import Changes, Reader, Registry, connect
from .steps import Change, Supplied
from .token import Token

__all__ = [
    "AlreadyExists",
    "BadArgument",
    "Change",
    "Changes",
    "DoneAlready",
    "HeldByOther",
    "HistoryGone",
    "Load",
    "LockLost",
    "NotAllowed",
    "NotReady",
    "Obstacle",
    "PartitionFailed",
    "ProviderRevoked",
    "Reader",
    "Registry",
    "RegistryError",
    "Supplied",
    "TimedOut",
    "Token",
    "UnknownObject",
    "connect",
]
