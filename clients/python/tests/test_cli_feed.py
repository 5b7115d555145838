"""partreg watch, changed, history, timeline, late, read, apply."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from conftest import END as END_AT
from conftest import START as START_AT
from conftest import Place
from test_cli import END, START, partreg, start

from partition_registry import Token


def load(place: Place) -> None:
    with place.registry.partition(place.source, "cron", START_AT, END_AT) as begun:
        begun.details = {"rows": 600}


def events(out: str) -> list[str]:
    return [json.loads(line)["event"] for line in out.splitlines()]


def test_watch_goes_on_from_its_file(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "position"
    words = ("watch", place.source, "--once", "--position-file", str(file))
    assert partreg(place, *words) == (0, "", "")
    load(place)
    assert events(partreg(place, *words, "--json")[1]) == ["register_partition", "lock", "unlock"]
    assert partreg(place, *words) == (0, "", "")
    load(place)
    status, out, _ = partreg(place, *words)
    assert status == 0
    lock, unlock = (line.split("\t") for line in out.splitlines())
    assert (lock[1], unlock[1]) == ("lock", "unlock")
    assert unlock[2:6] == [place.source, "cron", START_AT.isoformat(), END_AT.isoformat()]
    assert unlock[-1] == '{"rows": 600}'
    file.write_text("nonsense")
    assert partreg(place, *words)[0] == 2


def test_watch_follows(place: Place) -> None:
    words = ("watch", place.source, "--json", "--listen-dsn", place.listen_dsn)
    since = place.registry.position()
    process = start(place, *words, "--since", since)
    load(place)
    assert process.stdout is not None
    assert events("".join(process.stdout.readline() for _ in range(3)))[-1] == "unlock"
    time.sleep(0.3)
    load(place)
    assert events("".join(process.stdout.readline() for _ in range(2)))[-1] == "unlock"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_what_was_and_what_changed(place: Place) -> None:
    since = partreg(place, "position")[1].strip()
    changed = ("changed", place.source, "--since", since)
    assert partreg(place, *changed) == (0, "", "")
    load(place)
    bounds = f"{START_AT.isoformat()}\t{END_AT.isoformat()}\n"
    assert partreg(place, *changed) == (0, bounds, "")
    out = partreg(place, *changed, "--json")[1]
    assert json.loads(out) == [{"start": START_AT.isoformat(), "end": END_AT.isoformat()}]
    assert partreg(place, "changed", place.source, END, "2024-01-02T00:00Z", *changed[2:])[1] == ""
    assert partreg(place, "changed", place.source, "--since", "nonsense")[0] == 2

    out = partreg(place, "history", place.source, START, END, "--json")[1]
    assert [row["event"] for row in json.loads(out)] == ["unlock", "lock", "register_partition"]
    out = partreg(place, "history", place.source, "--limit", "1", "--provider", "cron")[1]
    assert out.split("\t")[1] == "unlock"
    assert partreg(place, "history", "misspelt")[0] == 2

    status, out, _ = partreg(place, "timeline", place.source, START, END, "--width", "60")
    assert status == 0 and place.source in out and "cron" in out
    out = partreg(place, "timeline", place.source, START, END, "--json")[1]
    assert json.loads(out) == [
        {
            "provider": "cron",
            "state": "unlocked",
            "start": START_AT.isoformat(),
            "end": END_AT.isoformat(),
        }
    ]


def test_late(place: Place) -> None:
    assert partreg(place, "late", place.source) == (0, "", "")
    place.registry.call(
        "SELECT partreg.set_deadline(%s, 'cron', '1 hour', %s)", (place.source, place.source_token)
    )
    place.registry.call(
        "SELECT partreg.register_partition(%s, 'cron', tstzrange(%s, %s), %s)",
        (place.source, START_AT, END_AT, place.token),
    )
    status, out, _ = partreg(place, "late", place.source, "--json")
    assert status == 1
    assert json.loads(out)[0] | {"state": ""} == {
        "source": place.source,
        "provider": "cron",
        "start": START_AT.isoformat(),
        "end": END_AT.isoformat(),
        "state": "",
        "due_at": "2024-01-01T02:00:00+00:00",
    }


def test_read_in_the_snapshot_of_the_check(place: Place) -> None:
    words = ("read", place.source, START, END, "--")
    assert partreg(place, *words, "true")[0] == 1
    with place.registry.partition(place.source, "cron", START_AT, END_AT) as begun:
        begun.connection.execute(f"INSERT INTO {place.table} SELECT generate_series(1, 600)")
    # Restated while it reads.
    script = (
        'echo "$PARTREG_POSITION"; echo "$PARTREG_START $PARTREG_END";'
        f' psql -X -q -At -c "DELETE FROM {place.table}";'
        ' pg_dump --data-only --snapshot="$0"'
        f" --table={place.table} | grep -c '^[0-9]'"
    )
    status, out, err = partreg(place, *words, "sh", "-c", script, "{snapshot}", **direct(place))
    assert (status, err) == (0, "")
    position, times, rows = out.splitlines()
    assert times == f"{START_AT.isoformat()} {END_AT.isoformat()}"
    assert rows == "600"
    assert partreg(place, "changed", place.source, "--since", position) == (0, "", "")
    assert partreg(place, *words, "false")[0] == 8
    also = ("read", place.source, "--also", "misspelt", START, END, "--", "true")
    assert partreg(place, *also)[0] == 2


def direct(place: Place) -> dict[str, str]:
    """pg_dump sets its session up: it goes past a pooler, as LISTEN does."""
    return dict(
        word.split("=")
        for word in place.listen_dsn.replace("host", "PGHOST").replace("port", "PGPORT").split()
    )


DECLARED = """
[roles]
{role} = "writer"

[[source]]
name = "{source}"
owner = "sales"
rule = "{rule}"
token_file = "source.token"

  [[source.provider]]
  name = "cron"
  token_file = "cron.token"
  effective_from = 2024-01-01T00:00:00Z
  deadline = "{deadline}"

  [source.provider.calendar]
  step = "1 hour"
  start = 2024-01-01T00:00:00Z
  closed = [[2024-12-25T00:00:00Z, 2024-12-26T00:00:00Z]]

  [[source.provider]]
  name = "etl"
  trusted_role = "{role}"
"""


def test_apply_again_and_again(place: Place, tmp_path: Path) -> None:
    role = "etl_" + place.table
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
    source = place.source + ".declared"
    file = tmp_path / "registry.toml"

    def apply(**values: str) -> tuple[int, str, str]:
        values = {"source": source, "role": role, "rule": "any", "deadline": "2 hours"} | values
        file.write_text(DECLARED.format(**values))
        return partreg(place, "apply", str(file))

    try:
        status, out, err = apply()
        assert (status, err) == (0, "")
        done = [line.split("\t") for line in out.splitlines()]
        assert done == [
            ["register_source", source, ""],
            ["register_provider", source, "cron"],
            ["set_deadline", source, "cron"],
            ["set_calendar", source, "cron"],
            ["register_provider", source, "etl"],
            ["grant_privileges", role, ""],
        ]
        token = tmp_path / "cron.token"
        assert token.stat().st_mode & 0o777 == 0o600
        assert "pr" not in out.replace("provider", "").replace("privileges", "")
        assert apply() == (0, "", "")
        out = apply(rule="all", deadline="3 hours")[1]
        assert out == f"set_readiness_rule\t{source}\t\nset_deadline\t{source}\tcron\n"
        assert apply(rule="all", deadline="3 hours") == (0, "", "")
        run = ("run", source, "cron", START, END, "--", "true")
        assert partreg(place, *run, PARTREG_TOKEN_FILE=str(token))[0] == 0
        # All or nothing: no source, no token.
        status, _, err = apply(source=source + ".other", rule="nonsense")
        assert status == 2
        (tmp_path / "source.token").unlink()
        status, _, err = apply(source=source + ".other")
        assert status == 2 and "cron.token" in err  # it is there already
        assert not (tmp_path / "source.token").exists()
        assert partreg(place, "history", source + ".other")[0] == 2
        for wrong in ('[[source]]\nname = "x"\nruel = "all"', "source = 1", "[roles]\nx = 1", "="):
            file.write_text(wrong)
            status, out, err = partreg(place, "apply", str(file))
            assert (status, out) == (2, ""), wrong
            assert err.startswith("partreg: ")
    finally:
        with psycopg.connect(autocommit=True) as connection:
            connection.execute(f"SELECT partreg.grant_privileges('{role}', 'none')")
            connection.execute(f"DROP ROLE {role}")


LOSES_THE_ANSWER = """
import psycopg

commit = psycopg.Connection.commit

def lose_the_answer(connection):
    commit(connection)
    raise psycopg.OperationalError("server closed the connection unexpectedly")

psycopg.Connection.commit = lose_the_answer

from partition_registry.cli import main

main()
"""


def test_apply_keeps_tokens_that_may_be_good(place: Place, tmp_path: Path) -> None:
    """After a COMMIT whose answer was lost the source may be there, and its token
    nowhere but in the file."""
    file = tmp_path / "registry.toml"
    source = place.source + ".lost"
    file.write_text(f'[[source]]\nname = "{source}"\nowner = "o"\ntoken_file = "source.token"\n')
    program = [sys.executable, "-c", LOSES_THE_ANSWER, "apply", str(file)]
    done = subprocess.run(program, env={**os.environ, **place.env}, capture_output=True, timeout=60)
    assert done.returncode == 6
    assert place.registry.call(
        "SELECT partreg.rotate_access_token(%s, NULL, %s) IS NOT NULL",
        (source, Token.read(tmp_path / "source.token")),
    )


def test_nothing_is_done_to_the_terminal(place: Place) -> None:
    reason = "bad \x1b[31mred"
    partreg(place, "fail", place.source, "cron", START, END)
    place.registry.call(
        "SELECT partreg.lock_partition(%s, 'cron', tstzrange(%s, %s), %s, reason => %s,"
        " register => true)",
        (place.source, START_AT, END_AT, place.token, reason),
    )
    for words in (("explain", place.source, START, END), ("locks",), ("history", place.source)):
        out = partreg(place, *words)[1]
        assert "\x1b" not in out
