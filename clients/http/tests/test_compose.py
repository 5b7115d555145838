"""compose.yaml and what its images are made of, as far as that can be tried
without a container engine; and the walk by curl."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from cluster import new_cluster
from conftest import Gateway, Start

ROOT = Path(__file__).parents[3]


def test_compose_is_of_its_schema() -> None:
    subprocess.run(
        [
            Path(sys.executable).parent / "check-jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            ROOT / "compose.yaml",
        ],
        check=True,
    )


def test_what_the_images_copy_is_there() -> None:
    for image in ("db", "web"):
        for line in (ROOT / "docker" / f"{image}.Dockerfile").read_text().splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                for name in line.split()[1:-1]:
                    # Of the extension itself the copy that is tested may have nothing.
                    if name.split("/")[0] in ("clients", "docker"):
                        assert (ROOT / name).exists(), name


def test_the_database_of_compose(start: Start) -> None:
    """docker/init.sh, run as the image of PostgreSQL runs it."""
    cluster = new_cluster()
    try:
        cluster.start()
        cluster.sql("CREATE DATABASE registry")
        for file in ("docker/init.sh", "clients/http/setup.sql"):
            shutil.copy(ROOT / file, cluster.folder)
        cluster.run(
            "bash",
            f"{cluster.folder}/init.sh",
            PGHOST=str(cluster.folder),
            PGPORT=str(cluster.port),
            PGDATA=f"{cluster.folder}/data",
            POSTGRES_DB="registry",
            SETUP_SQL=f"{cluster.folder}/setup.sql",
            READER_PASSWORD="it's",
        )
        cluster.stop("fast")
        cluster.start(listen="127.0.0.1")

        gateway = start(environment={**cluster.environment, "PGDATABASE": "registry"})
        assert gateway.get("/health").status_code == 200
        assert gateway.post("/sources/register", source_name="s", owner="o").status_code == 200

        by_socket = f"host={cluster.folder} port={cluster.port} dbname=registry"
        by_tcp = f"host=127.0.0.1 port={cluster.port} dbname=registry"
        with psycopg.connect(f"{by_tcp} user=reader", password="it's") as connection:
            assert connection.execute("SELECT count(*) FROM partreg.sources").fetchone() == (1,)
        refused = [f"{by_tcp} user=reader password=reader", f"{by_tcp} user=gateway password=x"]
        refused.append(f"{by_tcp} user=postgres password=x")
        if os.geteuid() == 0:
            # Not the user postgres: so is the one of the gateway's image.
            refused.append(f"{by_socket} user=postgres")
        for dsn in refused:
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(dsn)
    finally:
        cluster.remove()


def test_nobody_gets_in_where_the_setup_fails(tmp_path: Path) -> None:
    """The image has let everybody in, and does not run docker/init.sh again."""
    done = subprocess.run(
        ["bash", ROOT / "docker" / "init.sh"],
        env={
            **os.environ,
            "PGHOST": str(tmp_path),
            "PGDATA": str(tmp_path),
            "POSTGRES_DB": "registry",
            "READER_PASSWORD": "it's",
        },
        capture_output=True,
    )
    assert done.returncode != 0
    assert "all scram-sha-256" in (tmp_path / "pg_hba.conf").read_text()


def test_the_walk_by_curl(lax: Gateway) -> None:
    for _ in range(2):
        walk = subprocess.run(
            [ROOT / "examples" / "walk_http.sh", lax.url], capture_output=True, text=True
        )
        assert walk.returncode == 0, walk.stderr
        answers = [line for line in walk.stdout.splitlines() if line.startswith("{")]
        assert [line[:18] for line in answers].count('{"status_code":200') == 8
        assert "409" in answers[1]
        assert [('"is_ready":true' in line) for line in (answers[5], answers[7])] == [False, True]
        assert "…" in walk.stdout
