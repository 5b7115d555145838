"""10,000 sources, and a year of minutes."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import gateway, registry
from partition_registry import page as parts
from playwright.sync_api import Page, expect

FILL = (Path(__file__).parent / "large.sql").read_text()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry("partreg_page_large") as sql:
        sql(FILL)
        with gateway("partreg_page_large", tmp_path_factory.mktemp("large") / "log") as address:
            yield address


def report(what: str, began: float) -> float:
    took = time.monotonic() - began
    print(f"{what}: {took:.2f} s")
    return took


def test_10000_sources(page: Page, url: str) -> None:
    began = time.monotonic()
    page.goto(url, wait_until="commit")
    expect(page.locator("tbody tr").first).to_be_visible()
    # It answers to a click and to typing, as soon as it is there.
    page.get_by_role("button", name="500 abandoned").click()
    expect(page.locator("tbody tr").first).to_contain_text("1 abandoned")
    assert report("10,000 sources: until the list answers", began) < 6
    began = time.monotonic()
    page.get_by_role("button", name="500 abandoned").click()
    page.fill("input[type=search]", "table_9999")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert report("10,000 sources: until the search answers", began) < 1.5
    page.fill("input[type=search]", "")
    expect(page.locator("tbody tr")).to_have_count(100)
    page.mouse.move(600, 600)
    page.mouse.wheel(0, 30000)
    expect(page.locator("tbody tr").nth(199)).to_be_attached()


def test_year_of_minutes(page: Page, url: str) -> None:
    for source in ("all.minutes", "many.pieces"):
        began = time.monotonic()
        page.goto(f"{url}#source={source}")
        page.reload(wait_until="commit")
        expect(page.locator(".row.provider path.unlocked")).to_have_count(1)
        assert report(f"{source}: until the timeline is there", began) < 6
        began = time.monotonic()
        with page.expect_response("**/timeline.json?*") as answer:
            page.get_by_role("button", name="Show everything").click()
        assert answer.value.ok
        expect(page.locator("[aria-busy]")).to_have_count(0)
        assert report(f"{source}: until the whole year is there", began) < 6
        expect(page.locator(".why tbody tr").first).to_be_visible()
        report(f"{source}: until what is in the way is there", began)


def test_one_minute_is_seen(page: Page, url: str) -> None:
    page.goto(f"{url}#source=all.minutes")
    expect(page.locator(".row.provider path.unlocked")).to_have_count(1)
    with page.expect_response("**/timeline.json?*"):
        page.get_by_role("button", name="Show everything").click()
    expect(page.locator("[aria-busy]")).to_have_count(0)
    failed = page.locator(".row.provider path.failed")
    expect(failed).to_have_count(1)
    assert failed.evaluate("path => path.getBBox().width") >= 3
    gap = page.locator(".row.provider path.track")
    expect(gap).to_have_count(1)
    assert gap.evaluate("path => path.getBBox().width") >= 1.5
    expect(page.locator(".why tbody")).to_contain_text("2025-02-01 00:10 – 00:11")


def test_columns_say_what_is_in_them(url: str) -> None:
    """Told by columns, a state takes those that it touches, and no others."""
    with psycopg.connect(dbname="partreg_page_large", autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")

        def drawn(start: float, end: float, columns: int) -> dict[str, list[list[float]]]:
            row = connection.execute(
                parts.TIMELINE.encode(),
                {
                    "source": "many.pieces",
                    "start": start,
                    "end": end,
                    "whole": False,
                    "columns": columns,
                },
            ).fetchone()
            found = json.loads(row[0])
            assert found["coarse"] == (end - start > 40 * 86400e3)
            return found["providers"][0]["states"]

        start, width = 1751328000000.0, 3600e3 / 4  # 2025-07-01, a quarter of an hour
        fine = drawn(start, start + 20 * 86400e3, 1)
        coarse = drawn(start, start + 80 * 86400e3, 80 * 96)
        for state in ("unlocked", "registered", "missing"):
            for column in range(20 * 96 - 4):
                a, b = start + column * width, start + (column + 1) * width
                touched = any(x < b and y > a for x, y in fine[state])
                assert touched == any(x <= a and b <= y for x, y in coarse[state]), (state, column)
