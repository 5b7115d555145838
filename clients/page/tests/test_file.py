"""The page as one file, by partreg page."""

import os
import subprocess
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from conftest import HOSTILE
from playwright.sync_api import Page, expect


def test_file(page: Page, file: str) -> None:
    asked: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(file)
    expect(page.locator("tbody tr")).to_have_count(3 + len(HOSTILE))
    expect(page.locator("#status")).to_contain_text("As of 20")
    page.locator("tbody a", has_text="sales.orders").click()
    expect(page.locator(".row.together .bar path.ready")).to_have_count(1)
    expect(page.locator(".why")).to_contain_text("disk is full")
    # Zoomed in, it tells of what is shown alone.
    page.fill("#from", "2024-02-02")
    page.fill("#to", "2024-02-03")
    page.keyboard.press("Enter")
    expect(page.locator("#from")).to_have_value("2024-02-02 00:00")
    expect(page.get_by_role("heading", name="This range is ready")).to_be_visible()
    # Before all there is, nothing is.
    page.fill("#from", "2024-01-01")
    page.keyboard.press("Enter")
    row = page.locator(".why tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("2024-01-01 00:00 – 2024-02-01 00:00")
    expect(row).to_contain_text("missing")
    page.get_by_role("button", name="Show everything").click()
    expect(page.locator(".why")).to_contain_text("disk is full")
    assert Axe().run(page).response["violations"] == []
    assert messages == []
    assert [each for each in asked if not each.startswith(("file:", "data:"))] == []


def test_hostile_names(page: Page, file: str) -> None:
    for each in HOSTILE:
        seen = each.replace("\u202e", "\\u{202e}")
        page.goto(file)
        page.locator("tbody a").filter(has_text=seen).first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(seen)
        expect(page.locator(".row.provider .label")).to_have_text(seen)
        expect(page.locator(".why")).to_contain_text(seen)
        assert page.locator("img, iframe, main script").count() == 0


def test_policy(page: Page, file: str) -> None:
    page.goto(file)
    expect(page.locator("tbody tr").first).to_be_visible()
    page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.injected = 1';
            document.body.append(script);
        }"""
    )
    assert page.evaluate("window.injected") is None


def partreg(*arguments: str) -> Any:
    return subprocess.run(
        ["partreg", "page", *arguments],
        env={**os.environ, "PGDATABASE": "partreg_page"},
        capture_output=True,
        text=True,
    )


def test_sources_that_are_named(page: Page, file: str, tmp_path: Any) -> None:
    one = tmp_path / "one.html"
    one.write_text(partreg("sales.items").stdout)
    page.goto(one.as_uri() + "#source=sales.items")
    expect(page.get_by_role("heading", name="This range is ready")).to_be_visible()
    page.goto(one.as_uri() + "#source=sales.orders")
    expect(page.get_by_text("No timeline in this file")).to_be_visible()
    unknown = partreg("no.such.source")
    assert unknown.returncode == 2 and unknown.stdout == ""
    assert "does not exist" in unknown.stderr
