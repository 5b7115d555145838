"""The connection type partreg: the database of the registry and of the data.

Host, port, login, password and schema (the database) are as in a connection of
type postgres; what is in the extra goes to libpq.  Besides, in the extra:

    token_file    a file on the worker that holds the token of the provider
    listen_host, listen_port
                  past a pooler in transaction mode, which swallows notifications
    listen        false: do not listen at all, look only

No token is in a connection: Airflow would hand it to every process that asks for
the connection.  With a trusted role none is needed.
"""

from __future__ import annotations

from typing import Any

import partition_registry
import psycopg.conninfo
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.postgres.hooks.postgres import PostgresHook

_OURS = {"token_file", "listen_host", "listen_port", "listen"}


class PartitionRegistryHook(PostgresHook):
    """A PostgresHook that also gives the registry."""

    conn_name_attr = "partreg_conn_id"
    default_conn_name = "partreg_default"
    conn_type = "partreg"
    hook_name = "Partition registry"
    ignored_extra_options = PostgresHook.ignored_extra_options | _OURS

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """What the form of a connection shows."""
        return {"hidden_fields": [], "relabeling": {"schema": "Database"}}

    @property
    def _extra(self) -> dict[str, Any]:
        extra: dict[str, Any] = self.connection.extra_dejson
        if "token" in extra or "access_token" in extra:
            raise AirflowFailException(
                f"connection {self.get_conn_id()!r} has a token in its extra, where every process"
                " can see it: put it into a file, name that in token_file, and rotate it"
            )
        return extra

    def _dsn(self, **instead: Any) -> str:
        connection = self.connection
        given = {
            "host": connection.host,
            "port": connection.port,
            "user": connection.login,
            "password": connection.password,
            "dbname": connection.schema,
            **{k: v for k, v in self._extra.items() if k not in self.ignored_extra_options},
            **instead,
        }
        return psycopg.conninfo.make_conninfo(
            **{key: value for key, value in given.items() if value not in (None, "")}
        )

    def registry(self) -> partition_registry.Registry:
        """The registry that the connection leads to.  Nothing is connected yet.

        Errors: OSError, where the token's file cannot be read."""
        file = self._extra.get("token_file")
        return partition_registry.connect(
            self._dsn(), token=partition_registry.Token.read(file) if file else None
        )

    def listen_dsn(self) -> str | None:
        """Where to LISTEN; None: nowhere."""
        extra = self._extra
        if not extra.get("listen", True):
            return None
        return self._dsn(
            **{
                key.removeprefix("listen_"): extra[key]
                for key in ("listen_host", "listen_port")
                if key in extra
            }
        )
