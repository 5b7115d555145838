"""Load and read time partitions whose readiness PostgreSQL keeps."""

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
from .registry import Load, Reader, Registry, connect
from .token import Token

__all__ = [
    "AlreadyExists",
    "BadArgument",
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
    "TimedOut",
    "Token",
    "UnknownObject",
    "connect",
]
