"""Settings, from the environment or the command line.

Every one has an environment variable with the prefix PARTREG_HTTP_, which is
how a container is told, and all but the secret one an option of partreg-http."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, CliSuppress, SettingsConfigDict

PREFIX = "PARTREG_HTTP_"


class Settings(BaseSettings):
    """The HTTP gateway of partition_registry.  Each setting has an environment
    variable too: PARTREG_HTTP_ and its name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, cli_prog_name="partreg-http", cli_kebab_case=True, extra="ignore"
    )

    dsn: str = Field(
        default="",
        description="where the database is; what it leaves out comes from PGHOST and the like",
    )
    host: str = Field(
        default="127.0.0.1", description="address to listen on; as it is, this machine only"
    )
    port: int = Field(default=5498, ge=0, le=65535, description="port to listen on")
    workers: int = Field(default=1, ge=1, description="processes")
    hosts: list[str] = Field(
        default=["localhost", "127.0.0.1", "::1"],
        description="names under which it may be asked for, without the port",
    )
    strict: bool = Field(
        default=False, description="refuse with true HTTP codes, not with 200 and 409 in the body"
    )
    tokens: bool = Field(
        default=False, description="every write needs a token; else whoever reaches the port writes"
    )
    admin_token: CliSuppress[SecretStr | None] = Field(
        default=None,
        description="with tokens: who gives it may register sources; by environment only",
    )
    statement_timeout: float = Field(
        default=5.0, gt=0, description="seconds that a statement may take, waiting included"
    )

    @model_validator(mode="after")
    def _own_name(self) -> Self:
        """Whatever address it listens on is a name for it."""
        if self.host not in self.hosts and self.host not in ("0.0.0.0", "::"):
            self.hosts.append(self.host)
        return self

    @property
    def is_local(self) -> bool:
        """Does it listen for this machine only?"""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False
