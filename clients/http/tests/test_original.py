"""The original's interface: its walk, its shapes, its codes, and the true codes
of the setting strict."""

import datetime as dt
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urljoin

import pytest
import requests
from conftest import DAY, Gateway, Json, Place, Start, make_place, new_name, sql, token_of

ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"


def test_the_walk_at_the_original_address(start: Start) -> None:
    """As a client of the original does it, with requests, at 127.0.0.1:5498."""
    web_service_url = "http://127.0.0.1:5498"
    start(port=5498)
    source_name, provider_name = new_name(), "provider@email.com"
    utc = dt.UTC
    partition = {
        "start": str(dt.datetime(2000, 1, 1, tzinfo=utc)),
        "end": str(dt.datetime(2000, 1, 2, tzinfo=utc)),
        "source_name": source_name,
        "provider_name": provider_name,
    }

    def post(route: str, params: dict[str, str]) -> Json:
        response = requests.post(urljoin(web_service_url, route), params=params, timeout=10)
        assert response.status_code == 200
        answer: Json = response.json()
        return answer

    def ready() -> Json:
        response = requests.get(
            urljoin(web_service_url, f"sources/{source_name}/check_readiness"),
            params={key: partition[key] for key in ("source_name", "start", "end")},
            timeout=10,
        )
        assert response.status_code == 200
        answer: Json = response.json()
        return answer

    owner = {"source_name": source_name, "owner": "ivan.ivanov@company.com"}
    registered = post("sources/register", owner)
    assert registered["status_code"] == 200
    token = registered["registered_object"]["access_token"]["token"]
    again = post("sources/register", owner)
    assert (again["status_code"], again["headers"]) == (409, None)
    assert "registered_object" not in again

    provider = {"provider_name": provider_name, "access_token": token}
    assert post("providers/register", provider)["status_code"] == 200
    assert post("partitions/register", partition)["status_code"] == 200
    assert ready()["is_ready"] is False
    assert post("partitions/unlock", partition)["registered_object"]["event_type"] == "UNLOCK"
    assert ready() == {"status_code": 200, "is_ready": True, "message": None}
    assert post("partitions/lock", partition)["registered_object"]["event_type"] == "LOCK"
    locked = ready()
    assert (locked["status_code"], locked["is_ready"]) == (200, False)
    assert "locked" in locked["message"]
    assert post("partitions/unlock", partition)["registered_object"]["event_type"] == "UNLOCK"
    assert ready()["is_ready"] is True


def test_shapes(lax: Gateway) -> None:
    name = new_name()
    source = lax.post("/sources/register", source_name=name, owner="ivan").json()
    assert list(source) == ["status_code", "registered_object"]
    shown = source["registered_object"]
    assert list(shown) == ["source_id", "name", "owner", "access_token", "registered_at"]
    assert (shown["name"], shown["owner"]) == (name, "ivan")
    assert re.fullmatch(r"prs_\w{72}", shown["access_token"]["token"])
    assert re.fullmatch(ISO, shown["registered_at"])

    token = shown["access_token"]["token"]
    provider = lax.post("/providers/register", provider_name="a@b", access_token=token).json()
    made = provider["registered_object"]
    assert list(made) == ["provider_id", "name", "access_token", "registered_at"]
    assert re.fullmatch(r"prp_\w{72}", made["access_token"]["token"])

    day = {**DAY, "source_name": name, "provider_name": "a@b"}
    partition = lax.post("/partitions/register", **day).json()["registered_object"]
    assert list(partition) == [
        "partition_id",
        "start",
        "end",
        "source",
        "provider",
        "registered_at",
    ]
    assert (partition["start"], partition["end"]) == (DAY["start"], DAY["end"])
    assert partition["source"] == {**shown, "access_token": None}
    assert partition["provider"] == {**made, "access_token": None}
    assert 0 <= partition["partition_id"] < 2**53

    for route, event_type in (("lock", "LOCK"), ("unlock", "UNLOCK"), ("fail", "FAIL")):
        event = lax.post(f"/partitions/{route}", **day).json()["registered_object"]
        assert list(event) == ["partition", "event_type", "registered_at"]
        assert event["partition"] == partition
        assert event["event_type"] == event_type
        assert re.fullmatch(ISO, event["registered_at"])

    ids = sql("SELECT source_id, provider_id FROM partreg.providers WHERE source_name = %s", name)
    assert ids == [(shown["source_id"], made["provider_id"])]


def test_a_partition_has_an_id_of_its_own(lax: Gateway, place: Place) -> None:
    other = make_place(lax)
    days = [place.day, {**place.day, "end": "2024-01-03"}, other.day]
    ids = {
        lax.post("/partitions/register", **day).json()["registered_object"]["partition_id"]
        for day in days
    }
    assert len(ids) == 3


def test_providers_of_one_name_are_told_apart(lax: Gateway) -> None:
    places = [make_place(lax) for _ in range(3)]
    for place in places:
        made = lax.post("/partitions/register", **place.day).json()["registered_object"]
        wanted = sql(
            "SELECT provider_id FROM partreg.providers WHERE source_name = %s", place.source
        )
        assert made["provider"]["provider_id"] == wanted[0][0]
    # Of a name that was revoked, the row is an old one.
    middle = places[1]
    sql("SELECT partreg.revoke_provider(%s, 'cron', %s)", middle.source, middle.source_token)
    again = lax.post("/providers/register", provider_name="cron", access_token=middle.source_token)
    wanted = sql("SELECT provider_id FROM partreg.providers WHERE source_name = %s", middle.source)
    assert again.json()["registered_object"]["provider_id"] == wanted[0][0]


# Row by row: what is done, and what the SQLSTATE is.
REFUSALS = [
    ("42710", "/sources/register", {"source_name": "{source}", "owner": "o"}, 409),
    ("42710", "/providers/register", {"provider_name": "cron", "access_token": "{token}"}, 409),
    ("42710", "/partitions/register", {}, 409),
    ("42501", "/providers/register", {"provider_name": "x", "access_token": "no"}, 403),
    ("42501", "/partitions/register", {"provider_name": "nobody"}, 403),
    ("42501", "/partitions/lock", {"source_name": "nowhere"}, 403),
    ("42501", "/partitions/unlock", {"access_token": "prp_0000"}, 403),
    ("42704", "/partitions/lock", {"end": "2024-01-05"}, 404),
    ("42704", "/partitions/unlock", {"end": "2024-01-05"}, 404),
    ("42704", "/partitions/fail", {"end": "2024-01-05"}, 404),
    ("22023", "/sources/register", {"source_name": "a b", "owner": "o"}, 422),
    ("22023", "/sources/register", {"source_name": "", "owner": "o"}, 422),
    ("22023", "/sources/register", {"source_name": "x" * 201, "owner": "o"}, 422),
    ("22023", "/sources/register", {"source_name": "{new}", "owner": ""}, 422),
    ("22023", "/providers/register", {"provider_name": "a\tb", "access_token": "{token}"}, 422),
    ("22000", "/partitions/register", {"start": "2024-01-02", "end": "2024-01-01"}, 422),
    ("22023", "/partitions/register", {"start": "2024-01-01", "end": "2024-01-01"}, 422),
    ("22000", "/partitions/lock", {"start": "2024-01-02", "end": "2024-01-01"}, 422),
]


@pytest.mark.parametrize(("sqlstate", "route", "parameters", "code"), REFUSALS)
def test_refusals(
    lax: Gateway,
    strict: Gateway,
    place: Place,
    sqlstate: str,
    route: str,
    parameters: dict[str, str],
    code: int,
) -> None:
    lax.post("/partitions/register", **place.day)
    names = {"source": place.source, "token": place.source_token, "new": new_name()}
    given = {key: value.format(**names) for key, value in parameters.items()}
    if route.startswith("/partitions"):
        given = {**place.day, **given}

    answer = lax.post(route, **given)
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["status_code", "detail", "headers"]
    assert (body["status_code"], body["headers"]) == (409, None)
    assert body["detail"]

    answer = strict.post(route, **given)
    assert answer.status_code == code
    assert answer.json() == {"status_code": code, "detail": body["detail"], "headers": None}


def test_held_by_another(lax: Gateway, strict: Gateway, place: Place) -> None:
    lax.post("/partitions/register", **place.day)
    sql(
        "SELECT partreg.lock_partition(%s, 'cron', '[2024-01-01 00:00Z, 2024-01-02 00:00Z)', %s,"
        " holder => 'somebody')",
        place.source,
        place.token,
    )
    for route in ("lock", "unlock", "fail"):
        answer = lax.post(f"/partitions/{route}", **place.day)
        assert (answer.status_code, answer.json()["status_code"]) == (200, 409)
        assert strict.post(f"/partitions/{route}", **place.day).status_code == 409


def test_a_revoked_provider(lax: Gateway, strict: Gateway, place: Place) -> None:
    """Its token is no more."""
    lax.post("/partitions/register", **place.day)
    sql("SELECT partreg.revoke_provider(%s, 'cron', %s)", place.source, place.source_token)
    given = {**place.day, "access_token": place.token}
    answer = lax.post("/partitions/lock", **given)
    assert (answer.status_code, answer.json()["status_code"]) == (200, 409)
    assert strict.post("/partitions/lock", **given).status_code == 403


@pytest.mark.parametrize(
    ("route", "left_out"),
    [
        ("/sources/register", "source_name"),
        ("/sources/register", "owner"),
        ("/providers/register", "provider_name"),
        ("/providers/register", "access_token"),
        *[
            (f"/partitions/{route}", name)
            for route in ("register", "lock", "unlock", "fail")
            for name in ("start", "end", "source_name", "provider_name")
        ],
    ],
)
def test_a_parameter_is_missing(
    lax: Gateway, strict: Gateway, place: Place, route: str, left_out: str
) -> None:
    given = {**place.day, "owner": "o", "access_token": place.source_token}
    del given[left_out]
    for gateway in (lax, strict):
        answer = gateway.post(route, **given)
        assert answer.status_code == 422
        assert answer.json() == {
            "detail": [
                {
                    "type": "missing",
                    "loc": ["query", left_out],
                    "msg": "Field required",
                    "input": None,
                }
            ]
        }


@pytest.mark.parametrize(
    "when",
    [
        "yesterday",
        "2024-02-30",
        "",
        "2024-01-01T25:00",
        "12000-01-01",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:00-14:00",
    ],
)
def test_an_unreadable_time(lax: Gateway, strict: Gateway, place: Place, when: str) -> None:
    for gateway in (lax, strict):
        answer = gateway.post("/partitions/register", **{**place.day, "start": when})
        assert answer.status_code == 422
        (detail,) = answer.json()["detail"]
        assert (detail["loc"], detail["input"]) == (["query", "start"], when)
        assert detail["type"] and detail["msg"]


def test_a_body_is_no_parameter(lax: Gateway, place: Place) -> None:
    for body in ({"json": place.day}, {"data": place.day}):
        answer = lax.client.post("/partitions/register", **body)  # type: ignore[arg-type]
        assert answer.status_code == 422


def test_other_paths_and_methods(lax: Gateway, strict: Gateway) -> None:
    for gateway in (lax, strict):
        answer = gateway.get("/nowhere")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
        answer = gateway.get("/sources/register")
        assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
        answer = gateway.post("/")
        assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


def test_welcome_and_documents(lax: Gateway) -> None:
    answer = lax.get("/")
    assert (answer.status_code, list(answer.json())) == (200, ["status_code", "message"])
    assert answer.json()["status_code"] == 200
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert lax.get(path).status_code == 200


def test_check_of_what_cannot_be(lax: Gateway, strict: Gateway, place: Place) -> None:
    """By default an answer, as in the original; strict says what is wrong."""
    for source, start, end, code in (
        ("nowhere", "2024-01-01", "2024-01-02", 404),
        (place.source, "2024-01-02", "2024-01-01", 422),
        (place.source, "2024-01-01", "2024-01-01", 422),
    ):
        path = f"/sources/{source}/check_readiness"
        answer = lax.get(path, start=start, end=end)
        assert answer.status_code == 200
        body = answer.json()
        assert list(body) == ["status_code", "is_ready", "message"]
        assert (body["status_code"], body["is_ready"]) == (200, False)
        assert body["message"]
        answer = strict.get(path, start=start, end=end)
        assert answer.status_code == code
        assert answer.json() == {"status_code": code, "detail": body["message"], "headers": None}


def test_the_first_obstacle_is_the_message(lax: Gateway, place: Place) -> None:
    day = place.day
    lax.post("/partitions/register", **day)

    def ask(start: str, end: str) -> Json:
        path = f"/sources/{place.source}/check_readiness"
        answer: Json = lax.get(path, start=start, end=end).json()
        return answer

    assert "is registered, provider cron" in ask(day["start"], day["end"])["message"]
    lax.post("/partitions/fail", **day, reason="no input files")
    failed = ask(day["start"], day["end"])["message"]
    assert "is failed, provider cron" in failed
    assert failed.endswith(": no input files")
    lax.post("/partitions/unlock", **day)
    assert ask(day["start"], day["end"])["message"] is None
    third = {**day, "start": "2024-01-03", "end": "2024-01-04"}
    lax.post("/partitions/register", **third)
    lax.post("/partitions/unlock", **third)
    assert ask(day["start"], "2024-01-06")["message"] == (
        f"{place.source} [2024-01-02T00:00:00Z, 2024-01-03T00:00:00Z) is missing"
    )


def test_answers_that_the_original_got_wrong(lax: Gateway, place: Place) -> None:
    def put(route: str, start: str, end: str) -> None:
        day = {**place.day, "start": f"2024-01-{start}", "end": f"2024-01-{end}"}
        assert lax.post(f"/partitions/{route}", **day).json()["status_code"] == 200

    def ready(start: str, end: str) -> bool:
        path = f"/sources/{place.source}/check_readiness"
        answer: Json = lax.get(path, start=f"2024-01-{start}", end=f"2024-01-{end}").json()
        is_ready: bool = answer["is_ready"]
        return is_ready

    for day in ("01", "02", "03"):
        put("register", day, f"{int(day) + 1:02}")
        put("unlock", day, f"{int(day) + 1:02}")
    assert ready("01", "04")
    assert ready("01T12:00", "03T12:00")
    put("lock", "02", "03")
    assert not ready("01", "04")


def test_repeated_calls_leave_no_event(lax: Gateway, place: Place) -> None:
    lax.post("/partitions/register", **place.day)
    for route in ("lock", "lock", "unlock", "unlock", "fail", "fail"):
        answer = lax.post(f"/partitions/{route}", **place.day)
        assert (answer.status_code, answer.json()["status_code"]) == (200, 200)
    events = sql(
        "SELECT array_agg(event ORDER BY event_id) FROM partreg.events"
        " WHERE source_name = %s AND during IS NOT NULL",
        place.source,
    )
    assert events == [(["register_partition", "lock", "unlock", "fail"],)]


def test_a_time_without_an_offset_is_utc(lax: Gateway, place: Place) -> None:
    sql("ALTER DATABASE partreg_http SET TimeZone = 'Europe/Berlin'")
    try:
        naive = {**place.day, "start": "2024-01-01T00:00:00", "end": "2024-01-02 00:00:00"}
        made = lax.post("/partitions/register", **naive).json()["registered_object"]
        assert (made["start"], made["end"]) == (DAY["start"], DAY["end"])
        same = {**place.day, "start": "2024-01-01T03:00:00+03:00", "end": "2024-01-01T19:00-05:00"}
        assert lax.post("/partitions/unlock", **same).json()["status_code"] == 200
    finally:
        sql("ALTER DATABASE partreg_http RESET TimeZone")


def test_microseconds_are_kept_and_nanoseconds_cut(lax: Gateway, place: Place) -> None:
    day = {**place.day, "start": "2024-01-01T00:00:00.123456789"}
    made = lax.post("/partitions/register", **day).json()["registered_object"]
    assert made["start"] == "2024-01-01T00:00:00.123456Z"
    day["start"] = "2024-01-01T00:00:00.1"
    made = lax.post("/partitions/register", **day).json()["registered_object"]
    assert made["start"] == "2024-01-01T00:00:00.100000Z"


def test_a_slash_in_a_name(lax: Gateway) -> None:
    for name in (f"s3://bucket/{new_name()}", f"{new_name()}/check_readiness", "a/../b"):
        made = lax.post("/sources/register", source_name=name, owner="o")
        lax.post("/providers/register", provider_name="p", access_token=token_of(made))
        day = {**DAY, "source_name": name, "provider_name": "p"}
        lax.post("/partitions/register", **day)
        lax.post("/partitions/unlock", **day)
        for path in {quote(name, safe=""), quote(name)} - {"a/../b"}:
            answer = lax.client.get(f"/sources/{path}/check_readiness", params=DAY)
            assert answer.json() == {"status_code": 200, "is_ready": True, "message": None}


def test_twenty_at_once_register_one_source(start: Start) -> None:
    gateway = start(workers="2")
    for _ in range(3):
        name = new_name()
        with ThreadPoolExecutor(20) as pool:
            answers = list(
                pool.map(
                    lambda _, name=name: requests.post(
                        f"{gateway.url}/sources/register",
                        params={"source_name": name, "owner": "o"},
                        timeout=30,
                    ),
                    range(20),
                )
            )
        assert [answer.status_code for answer in answers] == [200] * 20
        codes = sorted(answer.json()["status_code"] for answer in answers)
        assert codes == [200] + [409] * 19
        assert len(sql("SELECT 1 FROM partreg.sources WHERE source_name = %s", name)) == 1


def test_registered_at(lax: Gateway, place: Place) -> None:
    """From history, and from the view of partitions where that was purged."""
    lax.post("/partitions/register", **place.day)
    found = sql("SELECT registered_at FROM partreg.partitions WHERE source_name = %s", place.source)
    for _ in range(2):
        made = lax.post("/partitions/lock", **place.day).json()["registered_object"]
        assert dt.datetime.fromisoformat(made["partition"]["registered_at"]) == found[0][0]
        sql("SELECT partreg.purge_history(clock_timestamp())")
