"""The shapes of answers, for /openapi.json.  What is answered is built by hand
in the routes, and the tests hold the two together."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel

T = TypeVar("T")


class AccessToken(BaseModel):
    token: str


class Source(BaseModel):
    source_id: int
    name: str
    owner: str
    access_token: AccessToken | None
    registered_at: datetime


class Provider(BaseModel):
    provider_id: int
    name: str
    access_token: AccessToken | None
    registered_at: datetime


class Partition(BaseModel):
    partition_id: int
    start: datetime
    end: datetime
    source: Source
    provider: Provider
    registered_at: datetime


class Event(BaseModel):
    partition: Partition
    event_type: Literal["LOCK", "UNLOCK", "FAIL"]
    registered_at: datetime


class Done(BaseModel, Generic[T]):
    status_code: Literal[200]
    registered_object: T


class Readiness(BaseModel):
    status_code: Literal[200]
    is_ready: bool
    message: str | None


class Refused(BaseModel):
    status_code: int
    detail: str
    headers: None


class Welcome(BaseModel):
    status_code: Literal[200]
    message: str


class Health(BaseModel):
    status_code: Literal[200]
    version: str
    read_only: bool


class UnreadableParameter(BaseModel):
    type: str
    loc: list[str | int]
    msg: str
    input: str | None


class Unreadable(BaseModel):
    detail: list[UnreadableParameter]


class Interval(BaseModel):
    """[start, end)"""

    start: datetime
    end: datetime


class Outstanding(BaseModel):
    """A partition that is locked, failed or late."""

    provider_name: str
    start: datetime
    end: datetime
    state: str
    holder: str | None
    since: datetime | None
    lease_expires_at: datetime | None
    abandoned: bool
    reason: str | None
    due_at: datetime | None


class SourceState(BaseModel):
    source_id: int
    name: str
    owner: str
    rule: str
    registered_at: datetime
    providers: int
    locked: int
    failed: int
    abandoned: int
    late: int
    oldest_lock_at: datetime | None
    ready_to: datetime | None
    outstanding: list[Outstanding]


class Sources(BaseModel):
    status_code: Literal[200]
    sources: list[SourceState]
    next: str | None


class Obstacle(BaseModel):
    start: datetime
    end: datetime
    state: Literal["locked", "failed", "registered", "missing"]
    provider_name: str | None
    since: datetime | None
    holder: str | None
    lease_expires_at: datetime | None
    reason: str | None


class Explanation(BaseModel):
    status_code: Literal[200]
    is_ready: bool
    obstacles: list[Obstacle]
    more: bool


class States(BaseModel):
    provider_name: str
    state: Literal["failed", "locked", "unlocked", "late", "registered"]
    ranges: list[tuple[datetime, datetime]]


class Timeline(BaseModel):
    status_code: Literal[200]
    start: datetime
    end: datetime
    ready: list[tuple[datetime, datetime]]
    providers: list[str]
    states: list[States]


class Change(BaseModel):
    event_id: int
    event: str
    source_name: str
    provider_name: str | None
    start: datetime | None
    end: datetime | None
    at: datetime
    actor: str
    holder: str | None
    reason: str | None
    details: dict[str, Any] | None


class History(BaseModel):
    status_code: Literal[200]
    events: list[Change]


class Changed(BaseModel):
    status_code: Literal[200]
    changed: list[Interval]


class Position(BaseModel):
    status_code: Literal[200]
    position: str
