"""What 2,000 waiting sensors cost the server, by the way in which they ask.

    clientload.py POSTMASTER_PID_FILE FOLDER [--sensors N] [--seconds N] [--rounds N]

Each sensor waits for an hour of one of 200 sources; when it is ready, for a
later hour.  Two hours a second become ready, but for the last 30 seconds, so
that all ways have the same work of unlocks in them; the way `nobody asks` has
nothing else.

    new connections   every sensor asks every 30 seconds, each time by a new
                      connection, as an Airflow sensor does that pokes
    by PgBouncer      the same through PgBouncer in transaction mode
    deferred          2,000 waits of one process by the Python package, which
                      has one connection, LISTENs, and looks at the feed

Connections are made by TCP with SCRAM passwords, without TLS.  A run lasts 60
seconds; the ways take turns.  CPU is that of the postmaster and all its
processes, those included that have ended: what they and their waited-for
children have used by the kernel's account, after less before.  Memory is the
greatest sum of their proportional shares (PSS) seen, looked at every two
seconds; late is how long after its commit an unlock was known.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from partition_registry import aio

SOURCES = 200
HISTORY = 24 * 30  # hours that each source has already
ASK_EVERY = 30.0
UNLOCKS = 2.0  # a second
HOUR = timedelta(hours=1)
BASE = datetime(2024, 1, 1, tzinfo=UTC)
WAYS = ("nobody asks", "new connections", "by PgBouncer", "deferred")
TICK = os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------------------
# What the server's processes have used


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in tasks.read_text().split()]
    except OSError:
        return []


def used(pid: int, with_ended: bool) -> float:
    """CPU seconds of a process; with those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11 : 15 if with_ended else 13]) / TICK


def server_used(postmaster: int) -> float:
    return used(postmaster, True) + sum(used(child, False) for child in children(postmaster))


def server_memory(postmaster: int) -> float:
    """The proportional shares of all processes, in MB."""
    total = 0
    for pid in (postmaster, *children(postmaster)):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


# ---------------------------------------------------------------------------
# The sensors: a process of their own.  They print when each knew that its hour
# was ready, as JSON.


class Sensors:
    """Which hour each sensor waits for, and when it was found to be ready."""

    def __init__(self, count: int) -> None:
        self.hours = [n // SOURCES for n in range(count)]
        self.step = (count + SOURCES - 1) // SOURCES
        self.known: list[tuple[str, float]] = []
        self.asks = 0

    def what(self, n: int) -> tuple[str, datetime, datetime]:
        start = BASE + (HISTORY + self.hours[n]) * HOUR
        return f"s{n % SOURCES}", start, start + HOUR

    def found(self, n: int) -> None:
        source, start, _ = self.what(n)
        self.known.append((f"{source} {start.isoformat()}", time.time()))
        self.hours[n] += self.step


def poke(sensors: Sensors, dsn: str, seconds: float) -> None:
    """Every sensor asks in its turn, evenly over 30 seconds."""

    def ask(n: int) -> None:
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
            row = connection.execute(
                "SELECT partreg.check_readiness(%s, %s, %s)", sensors.what(n)
            ).fetchone()
        sensors.asks += 1
        if row and row[0]:
            sensors.found(n)

    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        for turn in range(int(seconds / ASK_EVERY * len(sensors.hours))):
            due = began + turn * ASK_EVERY / len(sensors.hours)
            time.sleep(max(0.0, due - time.monotonic()))
            pool.submit(ask, turn % len(sensors.hours))


async def defer(sensors: Sensors, dsn: str, seconds: float) -> None:
    registry = aio.connect(dsn, listen_dsn=dsn)

    async def wait(n: int) -> None:
        while True:
            sensors.asks += 1
            await registry.wait(*sensors.what(n))
            sensors.found(n)

    waiting = [asyncio.create_task(wait(n)) for n in range(len(sensors.hours))]
    await asyncio.sleep(seconds)
    for task in waiting:
        task.cancel()


def be_sensors(way: str, count: int, seconds: float, dsn: str) -> None:
    sensors = Sensors(count)
    if way == "deferred":
        asyncio.run(defer(sensors, dsn, seconds))
    elif way == "nobody asks":
        time.sleep(seconds)
    else:
        poke(sensors, dsn, seconds)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "known": sensors.known,
                "asks": sensors.asks,
                "cpu": usage.ru_utime + usage.ru_stime,
            }
        )
    )


# ---------------------------------------------------------------------------
# One run, and all of them


def fill() -> None:
    with psycopg.connect(autocommit=True) as connection:
        connection.execute("CREATE EXTENSION partition_registry CASCADE")
        connection.execute("CREATE ROLE sensor LOGIN PASSWORD 'sensor'")
        connection.execute("SELECT partreg.grant_privileges('sensor', 'reader')")
        history = {"start": BASE, "end": BASE + HISTORY * HOUR, "sources": SOURCES}
        for call in (
            "register_source('s' || n, 'bench', trusted_role => current_user)",
            "register_provider('p', trusted_role => current_user, source_name => 's' || n)",
            "register_partitions('s' || n, 'p', tstzrange(%(start)s, %(end)s), '1 hour')",
            "unlock_partitions('s' || n, 'p', tstzrange(%(start)s, %(end)s))",
        ):
            connection.execute(
                f"SELECT partreg.{call} FROM generate_series(0, %(sources)s - 1) n".encode(),
                history,
            )
        connection.execute("VACUUM ANALYZE")


class Unlocks(threading.Thread):
    """Makes hours ready that sensors wait for, two a second; knows when."""

    def __init__(self, sensors: Sensors, seconds: float) -> None:
        super().__init__()
        self.sensors = sensors
        self.seconds = seconds
        self.at: dict[str, float] = {}

    def run(self) -> None:
        began = time.monotonic()
        with psycopg.connect(autocommit=True) as connection:
            # Not in the last 30 seconds: every sensor has its turn after them.
            unlocks = int(max(self.seconds - ASK_EVERY, self.seconds / 2) * UNLOCKS)
            chosen = random.Random(1).sample(range(len(self.sensors.hours)), unlocks)
            for turn, n in enumerate(chosen):
                time.sleep(max(0.0, began + turn / UNLOCKS - time.monotonic()))
                source, start, end = self.sensors.what(n)
                connection.execute(
                    "SELECT partreg.unlock_partition(%s, 'p', tstzrange(%s, %s), register => true)",
                    (source, start, end),
                )
                self.at[f"{source} {start.isoformat()}"] = time.time()


def forget() -> None:
    """Take away what the run before made ready: each begins with the same."""
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(
            "SELECT count(*) FROM partreg.sources s, LATERAL"
            " (SELECT partreg.retire_partitions(s.source_name, 'p', tstzrange(%s, NULL))"
            "   WHERE EXISTS (SELECT FROM partreg.partitions p"
            "                  WHERE p.source_name = s.source_name AND p.start_at >= %s)) r",
            (BASE + HISTORY * HOUR, BASE + HISTORY * HOUR),
        )
        connection.execute("CHECKPOINT")


def one_run(way: str, count: int, seconds: float, postmaster: int, dsn: str, pooler: int) -> dict:
    forget()
    words = [sys.executable, __file__, "--be", way, str(count), str(seconds), dsn]
    unlocks = Unlocks(Sensors(count), seconds)
    with psycopg.connect(autocommit=True) as watcher:
        before = server_used(postmaster), used(pooler, False)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        unlocks.start()
        sessions, memory = 0, 0.0
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            time.sleep(2)
            memory = max(memory, server_memory(postmaster))
            (now,) = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'sensor'"
            ).fetchone() or (0,)
            sessions = max(sessions, now)
        told = json.loads(process.communicate()[0])
        after = server_used(postmaster), used(pooler, False)
    unlocks.join()
    late = [known - unlocks.at[what] for what, known in told["known"] if what in unlocks.at]
    server, pooled = after[0] - before[0], after[1] - before[1]
    return {
        "asks": told["asks"],
        "server": server,
        "pooler": pooled,
        "sensors": told["cpu"],
        "all": server + pooled + told["cpu"],
        "sessions": sessions,
        "memory": memory,
        "heard": len(late),
        "unlocks": len(unlocks.at),
        "late": statistics.median(late) if late else None,
        "load": os.getloadavg()[0],
    }


@contextlib.contextmanager
def pgbouncer(folder: Path, port: int):
    # What the server keeps, so that a password is as cheap to check as there.
    with psycopg.connect() as connection:
        (secret,) = connection.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'sensor'"
        ).fetchone() or ("",)
    (folder / "users").write_text(f'"sensor" "{secret}"\n')
    (folder / "ini").write_text(
        f"[databases]\npostgres = host=127.0.0.1 port={os.environ['PGPORT']}\n"
        "[pgbouncer]\npool_mode = transaction\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
        f"auth_file = {folder}/users\nmax_client_conn = 3000\ndefault_pool_size = 8\n"
        "server_idle_timeout = 5\nlog_connections = 0\nlog_disconnections = 0\n"
    )
    with open(folder / "pgbouncer.log", "w") as log:
        process = subprocess.Popen(["pgbouncer", folder / "ini"], stdout=log, stderr=log)
    time.sleep(1)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def spread(values: list[float], digits: int) -> str:
    text = f"{statistics.median(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pid_file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sensors", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    postmaster = int(asked.pid_file.read_text().split()[0])
    fill()
    port = int(os.environ["PGPORT"])
    pooler_port = port + 1
    tcp = "host=127.0.0.1 user=sensor password=sensor dbname=postgres port="
    runs: dict[str, list[dict]] = {way: [] for way in WAYS}
    with pgbouncer(asked.folder, pooler_port) as pooler:
        for number in range(asked.rounds):
            for way in WAYS[number % 4 :] + WAYS[: number % 4]:
                dsn = tcp + str(pooler_port if way == "by PgBouncer" else port)
                run = one_run(way, asked.sensors, asked.seconds, postmaster, dsn, pooler)
                runs[way].append(run)
                print(f"{way}: {run}", file=sys.stderr)
    print(
        f"\n{asked.sensors:,} sensors, {asked.seconds:g} s a run, {asked.rounds} rounds;"
        " median (least to greatest)\n"
    )
    print("| | " + " | ".join(WAYS) + " |")
    print("|---|" + "---|" * len(WAYS))
    for title, key, digits in (
        ("CPU of the server, s", "server", 2),
        ("CPU of PgBouncer, s", "pooler", 2),
        ("CPU of the sensors, s", "sensors", 2),
        ("CPU of all, s", "all", 2),
        ("sessions at once", "sessions", 0),
        ("memory of the server, MB", "memory", 0),
        ("questions asked", "asks", 0),
        ("unlocks heard of", "heard", 0),
        ("late by, s", "late", 2),
        ("load of the machine", "load", 1),
    ):
        cells = []
        for way in WAYS:
            values = [run[key] for run in runs[way] if run[key] is not None]
            cells.append(spread(values, digits) if values else "")
        print(f"| {title} | " + " | ".join(cells) + " |")
    whole = {way: statistics.median(run["all"] for run in runs[way]) for way in WAYS}
    least = min(WAYS[1:], key=lambda way: whole[way])
    more = ", ".join(f"{whole[way] - whole[WAYS[0]]:.2f} s {way}" for way in WAYS[1:])
    print(
        f"\nChoose `{least}`: in {asked.seconds:g} s server, pooler and sensors together take"
        f" more CPU than where nobody asks by {more}."
    )


if __name__ == "__main__":
    if sys.argv[1] == "--be":
        be_sensors(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
    else:
        main()
