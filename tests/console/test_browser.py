"""The pages in a real browser: no error in its console, and the buttons do what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.console.conftest import ENDPOINT, Scene
from tests.console.test_api import PAGES

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    shown = browser.new_page(viewport={"width": 1280, "height": 900})
    shown.set_default_timeout(10_000)
    return shown


def test_no_page_makes_the_browser_complain(scene: Scene, page: Page) -> None:
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in [*PAGES, f"/decisions/{scene.decision}"]:
        page.goto(scene.running.console + path, wait_until="networkidle")
        assert page.locator("h1").count() == 1 or path == "/sql", path
        assert complaints == [], path


def test_the_charts_are_drawn(scene: Scene, page: Page) -> None:
    page.goto(f"{scene.running.console}/endpoints/{ENDPOINT}", wait_until="networkidle")
    for chart in ("traffic", "latency", "drift", "performance"):
        page.wait_for_selector(f"[data-chart={chart}] canvas")


def test_a_narrow_screen_needs_no_sideways_scrolling(scene: Scene, page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    for path in PAGES:
        page.goto(scene.running.console + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, path
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_plug_is_pulled_and_put_back(scene: Scene, page: Page) -> None:
    page.goto(f"{scene.running.console}/endpoints/{ENDPOINT}")
    page.get_by_text("Pull the plug …").click()
    page.get_by_label("Why?", exact=True).first.fill("fire drill in a browser")
    page.get_by_role("button", name="Pull the plug", exact=True).last.click()
    page.wait_for_selector("text=Put the plug back")
    assert "fire drill in a browser" in page.locator(".plug").inner_text()
    assert (
        scene.http.get(f"/api/endpoints/{ENDPOINT}").json()["route"]["plug"]["why"]
        == "fire drill in a browser"
    )
    page.get_by_role("button", name="Put the plug back").click()
    page.wait_for_selector("text=Pull the plug …")
    assert scene.http.get(f"/api/endpoints/{ENDPOINT}").json()["route"]["plug"] is None


def test_an_alert_is_acknowledged_with_a_note_and_resolved(scene: Scene, page: Page) -> None:
    page.goto(f"{scene.running.console}/alerts")
    card = page.locator("article.alert").first
    card.get_by_placeholder("note").fill("seen in a browser")
    card.get_by_role("button", name="Acknowledge").click()
    page.wait_for_url(re.compile("/alerts"))
    page.get_by_role("link", name="acknowledged").click()
    card = page.locator("article.alert").first
    assert "seen in a browser" in card.inner_text()
    card.get_by_role("button", name="Resolve").click()
    page.goto(f"{scene.running.console}/alerts?state=resolved")
    assert "seen in a browser" in page.locator("article.alert").first.inner_text()


def test_search_and_sql_keep_their_state_in_the_address(scene: Scene, page: Page) -> None:
    page.goto(scene.running.console)
    page.get_by_placeholder("name contains").fill("nothing-like-this")
    page.get_by_role("button", name="Search").click()
    assert "search=nothing-like-this" in page.url
    assert "No endpoint like that" in page.locator("main").inner_text()
    page.goto(f"{scene.running.console}/sql")
    page.locator("textarea").fill("select 40 + 2 as answer")
    page.get_by_role("button", name="Run").click()
    assert "query=select" in page.url
    assert page.locator("td").first.inner_text() == "42"


def test_without_javascript_everything_but_charts_is_there(scene: Scene, browser: Browser) -> None:
    shown = browser.new_context(java_script_enabled=False).new_page()
    shown.goto(f"{scene.running.console}/endpoints/{ENDPOINT}")
    assert "Drift by column" in shown.locator("main").inner_text()
    assert shown.get_by_text("Pull the plug …").count() == 1
