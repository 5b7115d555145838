"""Parameters of requests: all in the query, on POST too, as in the original."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from partition_registry.token import Token
from pydantic import AfterValidator, StringConstraints

# PostgreSQL's text has no NUL.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]

PathName = Annotated[Text, Path(description="name of the source; a slash in it is no harm")]
SourceName = Annotated[Text, Query(description="name of the source")]
ProviderName = Annotated[Text, Query(description="name of the provider, unique in its source")]
AccessTokenText = Annotated[
    Text | None,
    Query(description="token of the source or of the provider; or Authorization: Bearer"),
]


def _utc(when: datetime) -> datetime:
    if when.tzinfo is None:
        return when.replace(tzinfo=UTC)
    try:
        return when.astimezone(UTC)
    except OverflowError:
        raise ValueError("is not within the years 1 to 9999 in UTC") from None


def iso(when: datetime) -> str:
    """The time as it is answered."""
    return when.isoformat().replace("+00:00", "Z")


Time = Annotated[datetime, AfterValidator(_utc)]
Start = Annotated[Time, Query(description="ISO 8601; without an offset it is UTC")]
End = Annotated[Time, Query(description="ISO 8601, exclusive; without an offset it is UTC")]

_bearer = HTTPBearer(auto_error=False, description="instead of the parameter access_token")


def _token(
    access_token: AccessTokenText = None,
    authorization: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
) -> Token | None:
    if access_token is not None:
        return Token(access_token)
    if authorization is not None:
        return Token(authorization.credentials)
    return None


GivenToken = Annotated[Token | None, Depends(_token)]
