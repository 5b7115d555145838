"""Every SQLSTATE as HTTP, from a database whose check raises the one that it is
asked about."""

from collections.abc import Iterator

import psycopg
import pytest
from conftest import DAY, LOGIN, Gateway, Start

FLAKY = "partreg_http_flaky"
SCHEMA = """
CREATE SCHEMA partreg;
CREATE SEQUENCE partreg.tries;
CREATE FUNCTION partreg.check_readiness(source_name text, during tstzrange) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    -- STATE or STATE/TIMES
    IF nextval('partreg.tries') <=
       coalesce(nullif(split_part(source_name, '/', 2), '')::int, 100) THEN
        RAISE EXCEPTION 'raised prs_%', repeat('e', 72)
            USING ERRCODE = split_part(source_name, '/', 1), DETAIL = 'in detail';
    END IF;
    RETURN true;
END
$$;
CREATE FUNCTION partreg.explain_readiness(source_name text, during tstzrange,
    OUT during tstzrange, OUT state text, OUT provider_name text, OUT since timestamptz,
    OUT holder text, OUT lease_expires_at timestamptz, OUT reason text) RETURNS SETOF record
LANGUAGE sql AS 'SELECT NULL::tstzrange, '''', '''', now(), '''', now(), '''' WHERE false';
GRANT USAGE ON SCHEMA partreg TO {login};
GRANT ALL ON SEQUENCE partreg.tries TO {login};
"""
REFUSED = {
    "42710": 409,
    "55006": 409,
    "55000": 409,
    "42704": 404,
    "42501": 403,
    "22000": 422,
    "22004": 422,
    "22007": 422,
    "22008": 422,
    "22023": 422,
    "22P02": 422,
}
TROUBLE = {
    "25006": 503,
    "40001": 503,
    "40P01": 503,
    "08006": 503,
    "53300": 503,
    "53100": 503,
    "57P01": 503,
    "57P03": 503,
    "57014": 504,
    "55P03": 504,
    "XX001": 500,
    "XX000": 500,
    "42883": 500,
    "0A000": 500,
}


@pytest.fixture(scope="module")
def flaky() -> Iterator[psycopg.Connection]:
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {FLAKY} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {FLAKY}")
        with psycopg.connect(dbname=FLAKY, autocommit=True) as own:
            own.execute(SCHEMA.replace("{login}", LOGIN).encode())
            yield own
        connection.execute(f"DROP DATABASE {FLAKY} WITH (FORCE)")


@pytest.fixture(scope="module")
def pair(flaky: psycopg.Connection, start: Start) -> tuple[Gateway, Gateway]:
    """As it is by default, and strict."""
    given = {"PGDATABASE": FLAKY}
    return start(environment=given), start(environment=given, strict="true")


def ask(gateway: Gateway, flaky: psycopg.Connection, source: str) -> tuple[int, int]:
    """The HTTP code, and how often it was tried."""
    flaky.execute("ALTER SEQUENCE partreg.tries RESTART")
    answer = gateway.get(f"/sources/{source}/check_readiness", **DAY)
    assert "e" * 20 not in answer.text
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    if answer.status_code >= 400:
        assert list(answer.json()) == ["status_code", "detail", "headers"]
        assert answer.json()["status_code"] == answer.status_code
    row = flaky.execute("SELECT last_value FROM partreg.tries").fetchone()
    assert row is not None
    return answer.status_code, row[0]


@pytest.mark.parametrize("sqlstate", REFUSED)
def test_refusals(pair: tuple[Gateway, Gateway], flaky: psycopg.Connection, sqlstate: str) -> None:
    lax, strict = pair
    assert ask(lax, flaky, sqlstate) == (200, 1)
    assert ask(strict, flaky, sqlstate) == (REFUSED[sqlstate], 1)


@pytest.mark.parametrize("sqlstate", TROUBLE)
def test_trouble_has_true_codes_in_both(
    pair: tuple[Gateway, Gateway], flaky: psycopg.Connection, sqlstate: str
) -> None:
    tries = 3 if sqlstate in ("40001", "40P01") else 1
    for gateway in pair:
        assert ask(gateway, flaky, sqlstate) == (TROUBLE[sqlstate], tries)


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_it_is_repeated(
    pair: tuple[Gateway, Gateway], flaky: psycopg.Connection, sqlstate: str
) -> None:
    for gateway in pair:
        assert ask(gateway, flaky, f"{sqlstate}/1") == (200, 2)
        assert ask(gateway, flaky, f"{sqlstate}/2") == (200, 3)
        assert ask(gateway, flaky, f"{sqlstate}/3") == (503, 3)


def test_the_log_has_no_token(pair: tuple[Gateway, Gateway]) -> None:
    for gateway in pair:
        text = gateway.log.read_text()
        assert "SQLSTATE XX000: raised ***" in text
        assert "e" * 20 not in text
