"""Who may write, who may ask, and what is written to the log."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from conftest import ADMIN_TOKEN, DAY, LOGIN, Gateway, Place, Start, make_place, new_name, sql


def test_it_listens_for_this_machine_and_says_so(lax: Gateway) -> None:
    text = lax.log.read_text()
    assert "listening on 127.0.0.1: for this machine only" in text
    assert "whoever can reach it may write, without a token" in text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{lax.port}/")


def test_it_warns_where_others_can_reach_it(start: Start) -> None:
    gateway = start(host="0.0.0.0")
    assert "WARNING:  listening on 0.0.0.0: whoever reaches this address may write" in (
        gateway.log.read_text()
    )


def test_the_login_is_no_superuser_and_is_what_the_server_knows(place: Place) -> None:
    """Of what the gateway registers, its login is the trusted role."""
    found = sql("SELECT trusted_role FROM partreg.providers WHERE source_name = %s", place.source)
    assert found == [(LOGIN,)]
    assert sql("SELECT rolsuper FROM pg_roles WHERE rolname = %s", LOGIN) == [(False,)]


def test_a_token_is_passed_on(lax: Gateway, place: Place) -> None:
    """A provider that was not registered here wants its token."""
    token = sql("SELECT partreg.register_provider('dbt', %s) AS t", place.source_token)[0][0]
    day = {**place.day, "provider_name": "dbt"}
    assert lax.post("/partitions/register", **day).json()["status_code"] == 409
    assert (
        lax.post("/partitions/register", **day, access_token="prp_no").json()["detail"]
        == (lax.post("/partitions/register", **day).json()["detail"])
    )
    assert lax.post("/partitions/register", **day, access_token=token).json()["status_code"] == 200
    bearer = {"Authorization": f"Bearer {token}"}
    answer = lax.client.post("/partitions/lock", params=day, headers=bearer)
    assert answer.json()["status_code"] == 200
    bearer = {"Authorization": f"bearer {place.source_token}"}
    answer = lax.client.post("/providers/register", params={"provider_name": "x"}, headers=bearer)
    assert answer.json()["status_code"] == 200


def test_no_token_is_echoed(lax: Gateway, place: Place) -> None:
    """Whoever knows three names gets no token by asking for an unlock."""
    lax.post("/partitions/register", **place.day)
    for route in ("lock", "unlock", "fail"):
        text = lax.post(f"/partitions/{route}", **place.day).text
        assert "prs_" not in text and "prp_" not in text
    refused = [
        lax.post("/partitions/lock", **{**place.day, "source_name": place.token}),
        lax.post("/partitions/lock", **{**place.day, "start": place.token}),
        lax.post("/sources/register", source_name=place.token, owner="o"),
        lax.get(f"/sources/{place.token}/check_readiness", **DAY),
        lax.get(f"/sources/{place.token}/explain", **DAY),
        lax.client.get("/changes", headers={"Last-Event-ID": place.token}),
    ]
    for answer in refused:
        assert place.token[:20] not in answer.text, answer.text


def test_tokens(guarded: Gateway, lax: Gateway) -> None:
    """With the setting tokens every write needs one."""
    name = new_name()
    new = {"source_name": name, "owner": "o"}
    assert guarded.post("/sources/register", **new).status_code == 403
    assert guarded.post("/sources/register", **new, access_token="wrong").status_code == 403
    bearer = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    assert guarded.client.post("/sources/register", params=new, headers=bearer).status_code == 200
    place = make_place(guarded, access_token=ADMIN_TOKEN)
    found = sql("SELECT trusted_role FROM partreg.providers WHERE source_name = %s", place.source)
    assert found == [(None,)]

    for route in ("register", "lock", "unlock", "fail"):
        path = f"/partitions/{route}"
        assert guarded.post(path, **place.day).status_code == 403
        assert guarded.post(path, **place.day, access_token=ADMIN_TOKEN).status_code == 403
        assert guarded.post(path, **place.day, access_token=place.token).status_code == 200
    # Even where the gateway's login is trusted.
    trusting = make_place(lax)
    assert guarded.post("/partitions/register", **trusting.day).status_code == 403
    # Asking stays open.
    assert guarded.get(f"/sources/{place.source}/check_readiness", **DAY).status_code == 200


def test_tokens_without_an_admin_token(start: Start) -> None:
    for settings in ({"strict": "true"}, {"strict": "false"}, {"admin_token": ""}):
        gateway = start(tokens="true", **settings)
        answer = gateway.post("/sources/register", source_name=new_name(), owner="o")
        assert answer.status_code == 403
        answer = gateway.post(
            "/sources/register", source_name=new_name(), owner="o", access_token=""
        )
        assert answer.status_code == 403


def test_the_admin_token_is_no_option() -> None:
    """Everybody on the machine can read a command line."""
    program = Path(sys.executable).parent / "partreg-http"
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--strict" in shown and "--admin-token" not in shown


FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "127.0.0.1.evil.example:{port}"},
    {"Host": "127.0.0.2:{port}"},
    {"Host": "localhost@evil.example"},
    {"Host": "["},
    {"Host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:8080"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "https://evil.example:{port}"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "whatever"},
]
KNOWN = [
    {"Host": "localhost"},
    {"Host": "LOCALHOST:{port}"},
    {"Host": "127.0.0.1:{port}"},
    {"Host": "[::1]:1"},
    {"Origin": "http://127.0.0.1:{port}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:{port}"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_foreign_requests(lax: Gateway, guarded: Gateway, headers: dict[str, str]) -> None:
    name = new_name()
    for gateway in (lax, guarded):
        given = {key: value.format(port=gateway.port) for key, value in headers.items()}
        for method, path in (("GET", "/"), ("GET", "/ui/"), ("GET", "/changes"), ("GET", "/x")):
            answer = gateway.client.request(method, path, headers=given)
            assert answer.status_code == 403
            assert answer.json()["status_code"] == 403
        new = {"source_name": name, "owner": "o", "access_token": ADMIN_TOKEN}
        assert (
            gateway.client.post("/sources/register", params=new, headers=given).status_code == 403
        )
    assert sql("SELECT 1 FROM partreg.sources WHERE source_name = %s", name) == []


@pytest.mark.parametrize("headers", KNOWN)
def test_known_requests(lax: Gateway, headers: dict[str, str]) -> None:
    given = {key: value.format(port=lax.port) for key, value in headers.items()}
    assert lax.client.get("/", headers=given).status_code == 200


def test_two_hosts_are_none(lax: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", lax.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert raw.recv(1000).split()[1] in (b"400", b"403")
    with socket.create_connection(("127.0.0.1", lax.port)) as raw:
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert raw.recv(1000).split()[1] == b"403"


def test_hosts_are_a_setting(start: Start) -> None:
    gateway = start(hosts='["partreg.example", "127.0.0.1"]')
    for host, code in (("partreg.example", 200), ("localhost", 403)):
        assert gateway.client.get("/", headers={"Host": host}).status_code == code


def test_no_token_and_no_query_in_the_log(start: Start) -> None:
    """Through every route, done and refused, and in the path."""
    gateway = start(tokens="true", admin_token=ADMIN_TOKEN)
    place = make_place(gateway, access_token=ADMIN_TOKEN)
    for token in (place.token, place.source_token, "prp_" + "f" * 72):
        for route in ("register", "lock", "unlock", "fail"):
            gateway.post(f"/partitions/{route}", **place.day, access_token=token)
            gateway.post(f"/partitions/{route}", **{**place.day, "start": token})
            gateway.post(f"/partitions/{route}", **{**place.day, "source_name": token})
        gateway.post("/providers/register", provider_name=token, access_token=token)
        gateway.post("/sources/register", source_name=token, owner=token, access_token=ADMIN_TOKEN)
        gateway.get(f"/sources/{token}/check_readiness", **DAY)
        gateway.get(f"/sources/{token}/changed", **DAY, since=token)
        gateway.get(f"/{token}", secret=token)
        gateway.client.get("/", headers={"Host": token, "Authorization": f"Bearer {token}"})
    gateway.stop()
    text = gateway.log.read_text()
    assert "POST /partitions/lock HTTP" in text
    assert "?" not in text
    assert ADMIN_TOKEN not in text
    for token in (place.token, place.source_token, "f" * 20):
        assert token[4:24] not in text
