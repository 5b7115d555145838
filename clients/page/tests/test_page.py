"""The page from a gateway."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import HOSTILE, gateway, register, registry
from playwright.sync_api import Browser, Page, expect

Sql = Callable[..., Any]
ORDERS = "#source=sales.orders"


def row(page: Page, source: str) -> Any:
    return page.locator("table.list tbody tr").filter(
        has=page.get_by_role("link", name=source, exact=True)
    )


def shown(page: Page) -> tuple[str, str]:
    return page.input_value("#from"), page.input_value("#to")


def test_list(page: Page, url: str) -> None:
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.goto(url)
    expect(page.locator("#status")).to_have_text("Live")
    orders = row(page, "sales.orders")
    expect(orders.locator("td").nth(0)).to_contain_text("2024-03-01 00:00")
    for badge in ("1 failed", "1 abandoned", "1 locked", "3 late"):
        expect(orders.locator("td").nth(1)).to_contain_text(badge)
    expect(orders.locator("td").nth(2)).to_contain_text("cron")
    expect(orders.locator("td").nth(2)).to_contain_text("disk is full")
    expect(row(page, "sales.items").locator("td").nth(0)).to_contain_text("2024-02-01 00:00")
    expect(row(page, "ml.features")).to_contain_text("nothing yet")
    # What needs attention comes first.
    expect(page.locator("tbody tr").first).to_contain_text("sales.orders")
    assert messages == []


def test_search_and_filter(page: Page, url: str) -> None:
    page.goto(url)
    page.fill("input[type=search]", "SALES.")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="1 failed").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    # The address says what is shown.
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("input[type=search]")).to_have_value("SALES.")
    page.fill("input[type=search]", "no such name")
    expect(page.get_by_text("No source matches")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("tbody tr")).to_have_count(3 + len(HOSTILE))


def test_source(page: Page, url: str) -> None:
    page.goto(url + ORDERS)
    expect(page.get_by_role("heading", level=1)).to_have_text("sales.orders")
    expect(page.get_by_text("Ready to 2024-03-01 00:00")).to_be_visible()
    expect(page.locator(".row.together .bar path.ready")).to_have_count(1)
    for state in ("unlocked", "locked", "late", "registered"):
        expect(page.locator(".row.provider").nth(0).locator(f".bar path.{state}")).to_have_count(1)
    for state in ("unlocked", "locked", "failed", "registered"):
        expect(page.locator(".row.provider").nth(1).locator(f".bar path.{state}")).to_have_count(1)
    why = page.locator(".why")
    expect(why).to_contain_text("etl1/4711/9f3c")
    expect(why).to_contain_text("disk is full")
    expect(why.locator("tr", has_text="missing").first).to_contain_text("cron")
    rest = page.locator("section", has_text="Locked, failed or late, anywhere")
    expect(rest.locator("tbody tr")).to_have_count(6)


def test_range_that_is_ready(page: Page, url: str) -> None:
    page.goto(url + ORDERS)
    page.fill("#from", "2024-02-02")
    page.fill("#to", "2024-02-03 12:00")
    page.keyboard.press("Enter")
    expect(page.get_by_text("This range is ready")).to_be_visible()
    page.fill("#to", "2024-01-01")
    page.keyboard.press("Enter")
    assert page.evaluate("!document.getElementById('to').validity.valid")
    page.fill("#to", "tomorrow")
    page.keyboard.press("Enter")
    assert page.evaluate("!document.getElementById('to').validity.valid")
    assert "2024-02-03" in page.locator(".why").inner_text()


def test_changes_show(page: Page, url: str, shop: Sql) -> None:
    """By the feed, in the list and in the picture, without a new page."""
    token = register(shop, "live.source", "job")
    page.goto(url + "#q=live.")
    expect(page.locator("#status")).to_have_text("Live")
    page.evaluate("window.stays = true")
    cell = row(page, "live.source").locator("td")
    expect(cell.nth(0)).to_have_text("nothing yet")
    call = "SELECT partreg.{}_partition('live.source', 'job', '[2024-01-01, 2024-01-02)', %s, {})"
    shop(call.format("unlock", "register => true"), token)
    expect(cell.nth(0)).to_contain_text("2024-01-02 00:00", timeout=4000)
    row(page, "live.source").get_by_role("link").click()
    expect(page.locator(".row.provider path.unlocked")).to_have_count(1)
    expect(page.get_by_text("This range is ready")).to_be_visible()
    shop(call.format("lock", "'someone'"), token)
    expect(page.locator(".row.provider path.locked")).to_have_count(1, timeout=4000)
    expect(page.locator(".why")).to_contain_text("someone")
    shop("SELECT partreg.drop_source('live.source', %s)", token)
    expect(page.get_by_text("There is no source of this name")).to_be_visible(timeout=4000)
    page.get_by_role("link", name="All sources").click()
    expect(row(page, "live.source")).to_have_count(0)
    assert page.evaluate("window.stays")


def test_changes_show_without_the_feed(page: Page, url: str, shop: Sql) -> None:
    token = register(shop, "polled.source", "job")
    page.clock.install()
    page.route("**/changes", lambda route: route.fulfill(status=404))
    page.goto(url + "#q=polled.")
    expect(page.locator("#status")).to_have_text("Looks every 15 seconds")
    cell = row(page, "polled.source").locator("td").nth(0)
    expect(cell).to_have_text("nothing yet")
    shop(
        "SELECT partreg.unlock_partition('polled.source', 'job',"
        " '[2024-01-01, 2024-01-02)', %s, register => true)",
        token,
    )
    page.clock.fast_forward(16000)
    expect(cell).to_contain_text("2024-01-02 00:00", timeout=4000)
    shop("SELECT partreg.drop_source('polled.source', %s)", token)


def test_keyboard(page: Page, url: str) -> None:
    """A whole visit without a pointer."""
    page.goto(url)
    expect(row(page, "sales.orders")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("orders")
    expect(page.locator("tbody tr")).to_have_count(1)
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('tbody') !== null"):
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.locator(".why tbody tr").first).to_be_visible()
    page.get_by_role("group", name="Timeline").focus()
    before = shown(page)
    page.keyboard.press("+")
    zoomed = shown(page)
    assert before[0] < zoomed[0] < zoomed[1] < before[1]
    page.keyboard.press("ArrowRight")
    assert zoomed[0] < shown(page)[0] and zoomed[1] < shown(page)[1]
    page.keyboard.press("ArrowLeft")
    assert shown(page) == zoomed
    page.keyboard.press("-")
    page.keyboard.press("Home")
    assert shown(page) == ("2024-02-01 00:00", "2024-03-11 00:00")
    page.keyboard.press("Escape")
    expect(row(page, "sales.orders").get_by_role("link")).to_be_focused()


def test_pointer(page: Page, url: str) -> None:
    """Dragging zooms to what was dragged over; hovering says what is there."""
    page.goto(url + ORDERS)
    page.get_by_role("button", name="Show everything").click()  # 39 days
    bar = page.locator(".row.provider .bar").first
    expect(bar.locator("path.unlocked")).to_have_count(1)
    # None while it is drawn anew.
    until = time.monotonic() + 8
    while (box := bar.bounding_box()) is None:
        assert time.monotonic() < until
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.1, y)
    expect(page.locator(".readout")).to_contain_text("airflow: unlocked")
    page.mouse.move(box["x"] + box["width"] * 10 / 39, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 20 / 39, y, steps=4)
    page.mouse.up()
    start, end = shown(page)
    assert start[:10] in ("2024-02-10", "2024-02-11") and end[:10] in ("2024-02-20", "2024-02-21")
    page.go_back()
    expect(page.locator("#from")).to_have_value("2024-02-01 00:00")


def test_hostile_names(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator("tbody tr")).to_have_count(3 + len(HOSTILE))
    for each in HOSTILE:
        seen = each.replace("\u202e", "\\u{202e}")
        page.goto(url)
        link = page.locator("tbody a").filter(has_text=seen).first
        assert link.inner_text() == seen
        link.click()
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text(seen)
        expect(page.locator(".row.provider .label")).to_have_text(seen)
        expect(page.locator(".why")).to_contain_text(seen)
        assert page.locator("img, iframe, main script, main style").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_policy(page: Page, url: str) -> None:
    """Were a name to become markup all the same, it would not run."""
    page.goto(url)
    expect(page.locator("tbody tr").first).to_be_visible()
    page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.injected = 1';
            document.body.append(script);
            const holder = document.createElement('div');
            holder.innerHTML = '<img src="data:," onerror="window.injected = 2">'
                + '<b style="color: red">';
            document.body.append(holder);
        }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.injected") is None
    assert page.evaluate("document.querySelector('div > b').style.color") == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 375])
def test_looks(browser: Browser, url: str, scheme: Any, width: int) -> None:
    """Nothing hangs over the edge, and axe finds nothing: contrast, names of
    controls, order of headings, use of ARIA."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    for view in ("", ORDERS, "#q=no+such+name", "#source=no+such+name"):
        page.goto(url + view)
        page.reload()
        expect(page.locator("h1")).to_be_visible()
        if view == ORDERS:
            expect(page.locator(".why tbody tr").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        found = Axe().run(page).response["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 23)"
    assert dark == (scheme == "dark")
    context.close()


def test_empty_and_unreachable(page: Page, logs: Path) -> None:
    """No source yet; then the gateway goes away, and comes back."""
    page.clock.install()
    with registry("partreg_page_empty") as sql:
        with gateway("partreg_page_empty", logs) as url:
            port = int(url.rpartition(":")[2].partition("/")[0])
            page.goto(url)
            expect(page.get_by_text("No source is registered yet")).to_be_visible()
            register(sql, "the.first")
            expect(row(page, "the.first")).to_be_visible(timeout=4000)
        expect(page.locator("#status")).to_have_text("Looks every 15 seconds")
        page.clock.fast_forward(15000)
        expect(page.locator("#status")).to_contain_text("Not reached; as of")
        expect(row(page, "the.first")).to_be_visible()
        register(sql, "the.second")
        with gateway("partreg_page_empty", logs, port):
            page.clock.fast_forward(15000)
            expect(row(page, "the.second")).to_be_visible()
            expect(page.locator("#status")).to_have_text("Live")


def test_unreachable_from_the_start(page: Page, url: str) -> None:
    page.route(
        "**/sources.json*",
        lambda route: route.fulfill(status=503, json={"detail": "the database does not answer"}),
    )
    page.clock.install()
    page.goto(url)
    expect(page.get_by_role("heading", name="The registry cannot be reached")).to_be_visible()
    expect(page.get_by_text("the database does not answer")).to_be_visible()
    page.unroute("**/sources.json*")
    page.clock.fast_forward(15000)
    expect(row(page, "sales.orders")).to_be_visible()


def test_timeline_that_takes_too_long(page: Page, url: str) -> None:
    page.route(
        "**/timeline.json*", lambda route: route.fulfill(status=504, json={"detail": "too long"})
    )
    page.goto(url + ORDERS)
    expect(page.get_by_role("alert")).to_have_text(
        "The database took too long over this range. A shorter one may work."
    )


def test_typing_is_not_overwritten(page: Page, url: str) -> None:
    """By an answer that arrives meanwhile."""
    held: list[Any] = []
    page.route("**/timeline.json?*", lambda route: held.append(route))
    with page.expect_request("**/timeline.json?*"):
        page.goto(url + ORDERS)
    page.fill("#from", "2024-02-0")
    held[0].continue_()
    expect(page.locator(".why tbody tr").first).to_be_visible()
    expect(page.locator("#from")).to_have_value("2024-02-0")
