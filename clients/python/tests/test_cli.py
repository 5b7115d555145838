"""The command line, as programs that are started and killed."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import END as END_AT
from conftest import START as START_AT
from conftest import Place

START, END = "2024-01-01T00:00Z", "2024-01-01T01:00Z"


def start(
    place: Place, *words: str, stderr: int = subprocess.PIPE, **env: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from partition_registry.cli import main; main()", *words],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, **place.env, "PARTREG_TOKEN_FILE": str(place.token_file), **env},
    )


def partreg(place: Place, *words: str, **env: str) -> tuple[int, str, str]:
    process = start(place, *words, **env)
    out, err = process.communicate(timeout=60)
    assert place.token[4:30] not in out + err
    assert "Traceback" not in err
    return process.returncode, out, err


def load_script(place: Place, tmp_path: Path, before: str = "") -> str:
    file = tmp_path / "load.sql"
    file.write_text(
        f"{before}; DELETE FROM {place.table};"
        f" INSERT INTO {place.table} SELECT generate_series(1, 600);"
    )
    return str(file)


def wait_for_lock(place: Place) -> None:
    for _ in range(100):
        if place.registry.call(
            "SELECT count(*) FROM partreg.locks WHERE source_name = %s", (place.source,)
        ):
            return
        time.sleep(0.1)
    raise AssertionError("it never locked")


def test_two_loads_started_together(place: Place, tmp_path: Path) -> None:
    script = load_script(place, tmp_path, "SELECT pg_sleep(4)")
    both = [
        start(place, "run", place.source, "cron", START, END, "--sql", script) for _ in range(2)
    ]
    began = time.monotonic()
    ended: dict[int, float] = {}
    while len(ended) < 2:
        for process in both:
            if process.poll() is not None:
                ended.setdefault(process.returncode, time.monotonic() - began)
        time.sleep(0.05)
    assert set(ended) == {0, 4}
    assert ended[4] < ended[0] - 1
    assert place.rows() == 600 and place.ready()


def test_killed_in_the_middle_and_run_again(place: Place, tmp_path: Path) -> None:
    slow = load_script(place, tmp_path, "SELECT pg_sleep(20)")
    words = ("run", place.source, "cron", START, END, "--lease", "2", "--sql")
    killed = start(place, *words, slow)
    wait_for_lock(place)
    killed.kill()
    killed.wait()
    quick = load_script(place, tmp_path)
    assert partreg(place, *words, quick)[0] == 4
    time.sleep(2.5)
    status, _, err = partreg(place, *words, quick)
    assert (status, err) == (0, "")
    assert place.rows() == 600 and place.ready()


def test_command(place: Place, tmp_path: Path) -> None:
    details = tmp_path / "details"
    status, out, err = partreg(
        place, "run", place.source, "cron", START, END, "--details-from", str(details), "--",
        "sh", "-c", f'echo \'{{"rows": 3}}\' >{details}; echo "$PARTREG_START $PARTREG_HOLDER"',
    )  # fmt: skip
    assert (status, err) == (0, "") and place.ready()
    assert out.startswith("2024-01-01T00:00:00+00:00 cron ")


def test_command_fails(place: Place) -> None:
    status, _, err = partreg(
        place, "run", place.source, "cron", START, END, "--",
        "sh", "-c", "echo one >&2; echo disk full >&2; exit 3",
    )  # fmt: skip
    assert status == 8 and "disk full" in err
    status, out, _ = partreg(place, "explain", place.source, START, END, "--json")
    assert status == 3
    assert json.loads(out)[0]["reason"] == "CommandFailed: status 3: disk full"
    assert partreg(place, "wait", place.source, START, END)[0] == 3


def test_signal_fails_the_partition(place: Place) -> None:
    process = start(place, "run", place.source, "cron", START, END, "--", "sleep", "30")
    wait_for_lock(place)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 8
    out = partreg(place, "locks")[1]
    assert "ended by SIGTERM" in out


def test_sql_that_commits_is_refused(place: Place, tmp_path: Path) -> None:
    script = load_script(place, tmp_path, "COMMIT")
    assert partreg(place, "run", place.source, "cron", START, END, "--sql", script)[0] == 2
    assert not place.ready()


def test_exit_statuses(place: Place, tmp_path: Path) -> None:
    where = (place.source, START, END)
    assert partreg(place, "check", *where)[0] == 1
    assert partreg(place, "wait", *where, "--timeout", "0")[0] == 1
    assert partreg(place, "wait", "misspelt", START, END)[0] == 2
    assert partreg(place, "check", place.source, "2024-01-01", END)[0] == 2
    assert partreg(place, "check", "--nonsense")[0] == 2
    assert partreg(place, "check", *where, PGHOST="/nowhere")[0] == 6
    wrong = tmp_path / "wrong"
    wrong.write_text(place.token[:-6])
    unlock = ("unlock", place.source, "cron", START, END)
    assert partreg(place, *unlock, PARTREG_TOKEN_FILE=str(wrong))[0] == 5
    with place.registry.partition(place.source, "cron", START_AT, END_AT):
        assert partreg(place, *unlock)[0] == 4
        assert partreg(place, *unlock, "--holder", "another")[0] in (4, 7)
    assert partreg(place, "check", *where)[0] == 0
    assert partreg(place, "ready-until", place.source, START)[1] == "2024-01-01T01:00:00+00:00\n"
    assert partreg(place, "fail", place.source, "cron", START, END, "--reason", "bad")[0] == 0
    assert partreg(place, "check", *where)[0] == 3
    assert partreg(place, *unlock)[0] == 0
    force = ("force-fail", place.source, "cron", START, END, "--reason", "bad")
    assert partreg(place, *force)[0] == 0
    assert partreg(place, "retire", place.source, "cron", START, END)[0] == 0
    assert partreg(place, "check", *where)[0] == 1


def test_times(place: Place) -> None:
    """A time without offset is the zone's that is named, whatever PGTZ says."""
    day = ("2024-03-31", "--tz", "Europe/Berlin")
    status, _, err = partreg(
        place, "run", place.source, "cron", "--day", *day, "--",
        "sh", "-c", 'echo "$PARTREG_START $PARTREG_END" >&2', PGTZ="Asia/Tokyo",
    )  # fmt: skip
    assert status == 0
    hours = place.registry.call(
        "SELECT extract(epoch FROM end_at - start_at)::int / 3600 FROM partreg.partitions"
        " WHERE source_name = %s",
        (place.source,),
    )
    assert hours == 23
    local = ("2024-03-31T00:00", "2024-04-01T00:00", "--tz", "Europe/Berlin")
    assert partreg(place, "check", place.source, *local, PGTZ="Asia/Tokyo")[0] == 0
    assert partreg(place, "check", place.source, "--day", *day)[0] == 0
    assert partreg(place, "check", place.source, "--day", "yesterday", "--tz", "UTC")[0] == 1


def test_rotate(place: Place, tmp_path: Path) -> None:
    new = tmp_path / "new"
    words = ("rotate", place.source, "cron", "--new-token-file", str(new))
    status, out, err = partreg(place, *words)
    assert (status, out, err) == (0, "", "")
    assert new.stat().st_mode & 0o777 == 0o600
    token = new.read_text().strip()
    assert token != place.token
    unlock = ("run", place.source, "cron", START, END, "--", "true")
    assert partreg(place, *unlock)[0] == 5
    assert partreg(place, *unlock, PARTREG_TOKEN_FILE=str(new))[0] == 0
    # A file that is there is not written over, and the old token stays good.
    assert partreg(place, *words, PARTREG_TOKEN_FILE=str(new))[0] == 2
    assert new.read_text().strip() == token
    assert partreg(place, *unlock, PARTREG_TOKEN_FILE=str(new))[0] == 0


def on_terminal(place: Place, *words: str) -> tuple[int, str]:
    """Status, and what a person saw who looked on."""
    person, terminal = pty.openpty()
    process = start(place, *words, stderr=terminal)
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while part := os.read(person, 1000):
            seen += part
    os.close(person)
    return process.wait(30), seen.decode()


def test_progress_on_a_terminal(place: Place) -> None:
    where = (place.source, START, END)
    status, seen = on_terminal(place, "wait", *where, "--timeout", "1.5")
    assert status == 1
    assert seen.startswith(f"partreg: waiting, as {place.source} [2024-01-01")
    status, seen = on_terminal(place, "run", place.source, "cron", START, END, "--", "true")
    assert status == 0
    assert "partreg: locked by cron " in seen and seen.endswith("partreg: unlocked\r\n")


def test_without_the_extra() -> None:
    program = (
        "import sys; sys.modules['typer'] = None;"
        "from importlib.metadata import entry_points;"
        "(partreg,) = entry_points(group='console_scripts', name='partreg'); partreg.load()()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("partreg: ") and "[cli]" in ended.stderr
    assert ended.stderr.count("\n") == 1
