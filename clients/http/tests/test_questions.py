"""What the original could not be asked."""

import re
from pathlib import Path

import psycopg
import pytest
from conftest import DATABASE, DAY, Gateway, Json, Place, Start, make_place, new_name, sql
from prometheus_client.parser import text_string_to_metric_families

READ_ONLY = "-c default_transaction_read_only=on"
SOURCE_KEYS = [
    "source_id",
    "name",
    "owner",
    "rule",
    "registered_at",
    "providers",
    "locked",
    "failed",
    "abandoned",
    "late",
    "oldest_lock_at",
    "ready_to",
    "outstanding",
]


@pytest.fixture
def busy(lax: Gateway, place: Place) -> Place:
    """The first day is done, the second locked, the third failed, the fourth
    registered."""
    for number, route in ((1, "unlock"), (2, "lock"), (3, "fail"), (4, None)):
        day = {**place.day, "start": f"2024-01-0{number}", "end": f"2024-01-0{number + 1}"}
        lax.post("/partitions/register", **day)
        if route:
            lax.post(f"/partitions/{route}", **day)
    return place


def test_health(lax: Gateway) -> None:
    answer = lax.get("/health")
    version = sql("SELECT extversion FROM pg_extension WHERE extname = 'partition_registry'")[0][0]
    assert answer.status_code == 200
    assert answer.json() == {"status_code": 200, "version": version, "read_only": False}


def test_health_without_the_extension(start: Start) -> None:
    gateway = start(environment={"PGDATABASE": "template1"})
    answer = gateway.get("/health")
    assert answer.status_code == 503
    assert "partition_registry" in answer.json()["detail"]


def test_explain(lax: Gateway, busy: Place) -> None:
    path = f"/sources/{busy.source}/explain"
    answer = lax.get(path, start="2024-01-01", end="2024-01-05").json()
    assert list(answer) == ["status_code", "is_ready", "obstacles", "more"]
    assert (answer["is_ready"], answer["more"]) == (False, False)
    # The locked and the failed day are not available either.
    states = [(one["start"][8:10], one["end"][8:10], one["state"]) for one in answer["obstacles"]]
    assert states == [
        ("02", "03", "locked"),
        ("02", "04", "missing"),
        ("03", "04", "failed"),
        ("04", "05", "registered"),
    ]
    assert list(answer["obstacles"][0]) == [
        "start",
        "end",
        "state",
        "provider_name",
        "since",
        "holder",
        "lease_expires_at",
        "reason",
    ]
    answer = lax.get(path, start="2024-01-01", end="2024-01-02").json()
    assert answer == {"status_code": 200, "is_ready": True, "obstacles": [], "more": False}


def test_explain_of_very_much(lax: Gateway, place: Place) -> None:
    sql(
        "SELECT partreg.register_partition(%s, 'cron', tstzrange(t, t + '1 min'), %s)"
        "  FROM generate_series(timestamptz '2024-01-01 00:00Z', '2024-01-01 23:00Z', '2 min') t",
        place.source,
        place.token,
    )
    answer = lax.get(f"/sources/{place.source}/explain", **DAY).json()
    assert (len(answer["obstacles"]), answer["more"]) == (1000, True)


def test_timeline(lax: Gateway, busy: Place) -> None:
    path = f"/sources/{busy.source}/timeline"
    answer = lax.get(path, start="2024-01-01", end="2024-01-05").json()

    def day(first: int, last: int) -> list[str]:
        return [f"2024-01-0{first}T00:00:00Z", f"2024-01-0{last}T00:00:00Z"]

    assert list(answer) == ["status_code", "start", "end", "ready", "providers", "states"]
    assert (answer["start"], answer["end"]) == (day(1, 5)[0], day(1, 5)[1])
    assert answer["ready"] == [day(1, 2)]
    assert answer["providers"] == ["cron"]
    assert {one["provider_name"] for one in answer["states"]} == {"cron"}
    assert {one["state"]: one["ranges"] for one in answer["states"]} == {
        "failed": [day(3, 4)],
        "locked": [day(2, 3)],
        "unlocked": [day(1, 2)],
        "registered": [day(4, 5)],
    }
    # What a provider is that has nothing there.
    answer = lax.get(path, start="2030-01-01", end="2030-01-02").json()
    assert (answer["ready"], answer["providers"], answer["states"]) == ([], ["cron"], [])


def test_history(lax: Gateway, busy: Place) -> None:
    path = f"/sources/{busy.source}/history"
    answer = lax.get(path, start="2024-01-01", end="2024-01-05").json()
    events = [(one["event"], one["start"][8:10]) for one in answer["events"]]
    assert events == [
        ("register_partition", "04"),
        ("fail", "03"),
        ("register_partition", "03"),
        ("lock", "02"),
        ("register_partition", "02"),
        ("unlock", "01"),
        ("register_partition", "01"),
    ]
    assert list(answer["events"][0]) == [
        "event_id",
        "event",
        "source_name",
        "provider_name",
        "start",
        "end",
        "at",
        "actor",
        "holder",
        "reason",
        "details",
    ]
    answer = lax.get(path, start="2024-01-01", end="2024-01-05", limit=2).json()
    assert [one["event"] for one in answer["events"]] == ["register_partition", "fail"]
    answer = lax.get(path, start="2024-01-01", end="2024-01-05", provider_name="nobody").json()
    assert answer["status_code"] == 409
    for limit in (0, 1001):
        assert lax.get(path, start="2024-01-01", end="2024-01-05", limit=limit).status_code == 422


def test_history_knows_years_that_python_does_not(lax: Gateway, place: Place) -> None:
    sql(
        "SELECT partreg.register_partition(%s, 'cron', '[0044-03-15 BC, 12024-01-01)', %s)",
        place.source,
        place.token,
    )
    answer = lax.get(f"/sources/{place.source}/history", **DAY).json()
    assert answer["events"][0]["start"][:11] == "-0043-03-15"
    assert answer["events"][0]["end"][:11] == "12024-01-01"


def test_changed(lax: Gateway, busy: Place) -> None:
    position = lax.get("/position").json()
    assert list(position) == ["status_code", "position"]
    path = f"/sources/{busy.source}/changed"
    month = {"start": "2024-01-01", "end": "2024-02-01", "since": position["position"]}
    assert lax.get(path, **month).json() == {"status_code": 200, "changed": []}
    lax.post("/partitions/lock", **{**busy.day, "start": "2024-01-04", "end": "2024-01-05"})
    assert lax.get(path, **month).json()["changed"] == [
        {"start": "2024-01-04T00:00:00Z", "end": "2024-01-05T00:00:00Z"}
    ]


@pytest.mark.parametrize("route", ["explain", "timeline", "history", "changed"])
def test_refusals(lax: Gateway, strict: Gateway, place: Place, route: str) -> None:
    position = lax.get("/position").json()["position"]
    for source, start, end, since, code in (
        ("nowhere", "2024-01-01", "2024-01-02", position, 404),
        (place.source, "2024-01-02", "2024-01-01", position, 422),
        (place.source, "2024-01-01", "2024-01-01", position, 422),
        (place.source, "2024-01-01", "2024-01-02", "nonsense", 422),
    ):
        if since != position and route != "changed":
            continue
        path = f"/sources/{source}/{route}"
        answer = lax.get(path, start=start, end=end, since=since)
        assert (answer.status_code, answer.json()["status_code"]) == (200, 409)
        answer = strict.get(path, start=start, end=end, since=since)
        assert (answer.status_code, answer.json()["status_code"]) == (code, code)
    for left_out in ("start", "end", "since"):
        given = {**DAY, "since": position}
        del given[left_out]
        wanted = 200 if left_out == "since" and route != "changed" else 422
        assert lax.get(f"/sources/{place.source}/{route}", **given).status_code == wanted


def test_sources(lax: Gateway, busy: Place) -> None:
    found = lax.get("/sources", search=busy.source).json()
    assert list(found) == ["status_code", "sources", "next"]
    source: Json = next(one for one in found["sources"] if one["name"] == busy.source)
    assert list(source) == SOURCE_KEYS
    assert source["ready_to"] == "2024-01-02T00:00:00Z"
    counts = [source[key] for key in ("providers", "locked", "failed", "abandoned", "late")]
    assert counts == [1, 1, 1, 0, 0]
    locked, failed = source["outstanding"]
    assert (locked["state"], locked["start"], locked["holder"], locked["abandoned"]) == (
        "locked",
        "2024-01-02T00:00:00Z",
        "partreg_http_gateway",
        False,
    )
    assert failed["state"] == "failed"

    # Late: the registered day, and the locked one with its holder.
    sql("SELECT partreg.set_deadline(%s, 'cron', '1 day', %s)", busy.source, busy.source_token)
    source = lax.get("/sources", search=busy.source).json()["sources"][0]
    late = [(one["state"], one["due_at"]) for one in source["outstanding"]]
    assert source["late"] == len([one for one in late if one[1]])
    assert ("registered", "2024-01-06T00:00:00Z") in late


def test_the_pages_of_sources(lax: Gateway) -> None:
    word = new_name().replace(".", "-")
    names = [f"{word}/{letter}" for letter in "ABCDEabcde"]
    for name in names:
        make_place(lax)
        lax.post("/sources/register", source_name=name, owner="o")
    seen: list[str] = []
    after: str | None = None
    for _ in range(10):
        given = {"search": word.upper(), "limit": 3, **({"after": after} if after else {})}
        page = lax.get("/sources", **given).json()
        assert len(page["sources"]) <= 3
        seen += [one["name"] for one in page["sources"]]
        after = page["next"]
        if after is None:
            break
    assert seen == sorted(names)
    assert lax.get("/sources", search=word + "%").json()["sources"] == []
    assert lax.get("/sources", limit=0).status_code == 422


def test_outstanding_is_bounded(lax: Gateway, place: Place) -> None:
    sql(
        "SELECT partreg.register_partitions(%s, 'cron', '[2024-01-01 00:00Z, 2024-01-02 00:00Z)',"
        " '1 minute', %s)",
        place.source,
        place.token,
    )
    sql("SELECT partreg.lock_partitions(%s, 'cron', '(,)', %s)", place.source, place.token)
    source = lax.get("/sources", search=place.source).json()["sources"][0]
    assert (source["locked"], len(source["outstanding"])) == (1440, 20)


def test_metrics(lax: Gateway, busy: Place) -> None:
    hostile = 'a"b\\c' + new_name()
    lax.post("/sources/register", source_name=hostile, owner="o\n")
    lax.post("/sources/register", source_name=hostile, owner="o{}")
    answer = lax.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [
        sample
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    ]
    assert {sample.labels["datname"] for sample in samples} == {DATABASE}
    values = {(sample.name, sample.labels.get("source")): sample for sample in samples}
    sources = sql("SELECT count(*) FROM partreg.sources")[0][0]
    assert values["partreg_registry_sources", None].value == sources
    assert values["partreg_registry_history_bytes", None].value > 0
    assert values["partreg_source_locked", busy.source].value == 1
    assert values["partreg_source_failed", busy.source].value == 1
    assert values["partreg_source_ready_to_timestamp_seconds", busy.source].value == 1704153600
    assert values["partreg_source_providers", hostile].value == 0
    assert values["partreg_source_providers", hostile].labels["owner"] == "o{}"
    assert ("partreg_source_ready_to_timestamp_seconds", hostile) not in values


def test_metrics_are_those_of_the_examples(lax: Gateway) -> None:
    """The alerts and the dashboard of examples/monitoring work with them."""
    folder = Path(__file__).parents[3] / "examples" / "monitoring"
    here = set(re.findall(r"^# TYPE (\w+)", lax.get("/metrics").text, re.MULTILINE))
    there = set(re.findall(r"\bpartreg_\w+", (folder / "alerts.yaml").read_text()))
    assert there and there <= here
    there = set(re.findall(r"\bpartreg_\w+", (folder / "dashboard.json").read_text()))
    assert there - here <= {"partreg_registry_oldest_transaction_seconds"}


def test_the_page_is_served(lax: Gateway) -> None:
    answer = lax.get("/ui")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert lax.client.get("/ui/", follow_redirects=True).text == answer.text
    assert "default-src 'none'" in lax.get("/ui/main.js").headers["content-security-policy"]
    for path in ("/ui/..%2fapp.py", "/ui/%2e%2e/app.py", "/ui/nothing"):
        assert lax.client.get(path).status_code == 404


def test_a_standby_answers_and_refuses_writes(start: Start, place: Place) -> None:
    """25006, as a standby gives it, in both modes."""
    for mode in ("true", "false"):
        gateway = start(strict=mode, environment={"PGOPTIONS": READ_ONLY})
        answer = gateway.post("/partitions/register", **place.day)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert gateway.get(f"/sources/{place.source}/check_readiness", **DAY).status_code == 200


def test_a_wait_that_is_too_long(start: Start, lax: Gateway, place: Place) -> None:
    """57014 and 55P03 are 504 in both modes, and change nothing."""
    lax.post("/partitions/register", **place.day)
    gateways = [
        start(statement_timeout="0.5", strict="true"),
        start(statement_timeout="0.5"),
        start(environment={"PGOPTIONS": "-c lock_timeout=200"}),
    ]
    with psycopg.connect(dbname=DATABASE) as connection:
        connection.execute(
            "SELECT partreg.lock_partition(%s, 'cron',"
            " '[2024-01-01 00:00Z, 2024-01-02 00:00Z)', %s)",
            (place.source, place.token),
        )
        for gateway in gateways:
            answer = gateway.post("/partitions/lock", **place.day)
            assert (answer.status_code, answer.json()["status_code"]) == (504, 504)
        connection.rollback()
    for gateway in gateways:
        assert gateway.post("/partitions/lock", **place.day).status_code == 200
