"""Names, parameters and headers that nobody means well with."""

import socket
import time
from urllib.parse import quote

import httpx
import pytest
import requests
from conftest import DAY, Gateway, Place, new_name, sql, token_of

HOSTILE = [
    "'; DROP TABLE x; --",
    'a"b\\c',
    "%s%(a)s{}{0}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "a?b#c&d=e;f",
    "a%2fb%00c",
    "名前\u202e\u200b🦊",
    "e\u0301",
    "x" * 200,
    "/",
    "//",
    ".",
    "a/check_readiness",
    "register",
    "\u2028",
    "[2024-01-01, 2024-01-02)",
    "null",
]


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_names(lax: Gateway, word: str) -> None:
    """They are names like others, or refused; nothing else."""
    name = word.replace(" ", "_")
    made = lax.post("/sources/register", source_name=name, owner=word)
    assert made.status_code == 200
    if made.json()["status_code"] == 409:
        assert name != name.strip() or "\u2028" in name
        return
    assert made.json()["registered_object"]["name"] == name
    answer = lax.post("/providers/register", provider_name=name, access_token=token_of(made))
    assert answer.json()["registered_object"]["name"] == name
    day = {**DAY, "source_name": name, "provider_name": name}
    for route in ("register", "fail", "unlock"):
        answer = lax.post(f"/partitions/{route}", **day)
        assert answer.json()["status_code"] == 200
    # A client may not send a path that ends in dots as it is.
    if name not in (".", "../../etc/passwd"):
        path = f"/sources/{quote(name, safe='')}"
        assert lax.client.get(f"{path}/check_readiness", params=DAY).json()["is_ready"] is True
        assert lax.client.get(f"{path}/timeline", params=DAY).json()["providers"] == [name]
    assert any(one["name"] == name for one in lax.get("/sources", search=name).json()["sources"])
    assert lax.get("/metrics").status_code == 200


@pytest.mark.parametrize("name", ["a\nb", " a", "a ", "a\tb", "a\u00a0b", "x" * 201, "\x7f", ""])
def test_names_that_are_refused(lax: Gateway, strict: Gateway, name: str) -> None:
    assert lax.post("/sources/register", source_name=name, owner="o").json()["status_code"] == 409
    assert strict.post("/sources/register", source_name=name, owner="o").status_code == 422


def test_nul_is_unreadable(lax: Gateway, strict: Gateway, place: Place) -> None:
    """The original answers 500, and closes the connection."""
    for gateway in (lax, strict):
        for key in ("source_name", "provider_name", "access_token", "reason"):
            answer = gateway.post("/partitions/fail", **{**place.day, key: "a\0b"})
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"] == ["query", key]
        answer = gateway.client.get("/sources/a%00b/check_readiness", params=DAY)
        assert answer.status_code == 422
        answer = gateway.get("/sources", search="\0", after="\0")
        assert answer.status_code == 422
        assert gateway.get("/health").status_code == 200


def test_bytes_that_are_no_utf8(lax: Gateway) -> None:
    for text in ("%ff%fe", "%ed%a0%80", "%c0%af"):
        answer = lax.client.post(f"/sources/register?source_name={text}&owner={new_name()}")
        assert answer.status_code in (200, 422)
        answer = lax.client.get(f"/sources/{text}/check_readiness?start=2024-01-01&end=2024-01-02")
        assert answer.status_code == 200 and answer.json()["is_ready"] is False


@pytest.mark.parametrize("size", [50_000, 1_000_000])
@pytest.mark.parametrize("key", ["source_name", "provider_name", "start", "access_token", "reason"])
def test_a_megabyte_of_a_parameter(lax: Gateway, place: Place, key: str, size: int) -> None:
    """A clear answer, soon and short."""
    lax.post("/partitions/register", **place.day)
    began = time.monotonic()
    answer = requests.post(
        f"{lax.url}/partitions/fail", params={**place.day, key: "x" * size}, timeout=10
    )
    assert time.monotonic() - began < 2
    assert answer.status_code == (422 if key == "start" else 200)
    if key != "start":
        assert answer.json()["status_code"] == (200 if key == "reason" else 409)
    assert len(answer.content) < 1000
    given = {"source_name": "x" * size, "owner": "o"}
    answer = requests.post(f"{lax.url}/sources/register", params=given, timeout=10)
    assert answer.json()["status_code"] == 409
    assert len(answer.content) < 1000


def test_a_megabyte_of_a_body_and_of_headers(lax: Gateway, place: Place) -> None:
    answer = lax.client.post("/partitions/lock", params=place.day, content=b"x" * 1_000_000)
    assert answer.status_code == 200
    try:
        code = lax.client.get("/", headers={"X": "x" * 5_000_000}).status_code
        assert code in (400, 431)
    except httpx.TransportError:
        pass
    assert lax.get("/health").status_code == 200


def test_what_is_no_http(lax: Gateway) -> None:
    for text in (
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02",
    ):
        with socket.create_connection(("127.0.0.1", lax.port), 5) as raw:
            raw.sendall(text)
            raw.shutdown(socket.SHUT_WR)
            assert raw.recv(1000)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 403")
    assert lax.get("/health").status_code == 200


def test_a_newline_in_the_path_is_no_line_of_the_log(lax: Gateway) -> None:
    lax.client.get("/x%0a2024-01-01 forged")
    assert not any(
        line.startswith("2024-01-01 forged") for line in lax.log.read_text().splitlines()
    )


def test_what_is_told_twice(lax: Gateway, place: Place) -> None:
    """The last one counts, as in the original."""
    lax.client.post(
        "/partitions/register",
        params=[*place.day.items(), ("source_name", "nowhere"), ("source_name", place.source)],
    )
    assert sql("SELECT count(*) FROM partreg.partitions WHERE source_name = %s", place.source) == [
        (1,)
    ]
