"""A cluster of its own, which may be stopped and started.

initdb and pg_ctl are found in the PATH, and run as the user postgres where we
are root."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg
from conftest import free_port


@dataclass
class Cluster:
    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PGHOST": str(self.folder),
            "PGPORT": str(self.port),
            "PGUSER": "gateway",
            "PGDATABASE": "postgres",
        }

    def run(self, *command: str, **environment: str) -> None:
        """As the user who may run PostgreSQL."""
        user = "postgres" if os.geteuid() == 0 else None
        subprocess.run(
            command,
            check=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
        )

    def start(self, listen: str = "") -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses={listen} -c fsync=off"
        log = str(self.folder / "log")
        self.run("pg_ctl", "start", "-sw", "-D", f"{self.folder}/data", "-l", log, "-o", options)

    def stop(self, mode: str) -> None:
        self.run("pg_ctl", "stop", "-sw", "-D", f"{self.folder}/data", "-m", mode)

    def sql(self, statement: str) -> None:
        dsn = f"host={self.folder} port={self.port} user=postgres dbname=postgres"
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement)

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.folder)


def new_cluster() -> Cluster:
    """Made and not started; whoever comes by the socket is let in."""
    folder = Path(tempfile.mkdtemp(prefix="partreg-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    folder.chmod(0o755)
    cluster = Cluster(folder, free_port())
    cluster.run("initdb", "-ND", f"{folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8")
    return cluster
