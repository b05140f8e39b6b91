"""The pages in a real browser: no error in its console, and the buttons do what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

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
    shown.set_default_timeout(60_000)
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
        assert page.locator("h1").count() == 1, path
        assert page.locator("main").count() == 1, path
        assert complaints == [], path


def test_the_charts_are_drawn(scene: Scene, page: Page) -> None:
    page.goto(f"{scene.running.console}/endpoints/{ENDPOINT}", wait_until="networkidle")
    shown = page.locator("[data-chart]").evaluate_all("all => all.map(one => one.dataset.chart)")
    assert {"traffic", "latency"} <= set(shown)
    for chart in shown:
        page.wait_for_selector(f"[data-chart={chart}] canvas")


def test_a_refresh_brings_new_figures_and_leaves_people_alone(scene: Scene, page: Page) -> None:
    page.goto(f"{scene.running.console}/endpoints/{ENDPOINT}", wait_until="networkidle")
    page.wait_for_selector("[data-chart=traffic] canvas")
    refresh = "htmx.trigger('#live', 'refresh')"
    page.evaluate(
        "document.querySelector('#live').setAttribute('hx-trigger', 'refresh'); htmx.process(document.body)"
    )
    page.evaluate("document.querySelector('#live').dataset.old = 'yes'")
    note = page.locator("#live input[name=note]").first
    note.fill("half a thought")
    page.evaluate(refresh)
    page.wait_for_timeout(300)
    assert page.locator("#live[data-old]").count() == 1, "it was refreshed under somebody's hands"
    page.locator("h1").click()
    page.evaluate("document.activeElement.blur()")
    with page.expect_response(lambda answer: answer.url.endswith(ENDPOINT)):
        page.evaluate(refresh)
    page.wait_for_selector("#live:not([data-old])")
    assert page.locator("#live input[name=note]").first.input_value() == "half a thought"
    assert page.locator("[data-chart=traffic] canvas").count() == 1
    assert page.locator("#more .bars li").count() == 3


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
    page.get_by_role("link", name="acknowledged", exact=True).click()
    card = page.locator("article.alert").first
    assert "seen in a browser" in card.inner_text()
    card.get_by_role("button", name="Resolve").click()
    page.goto(f"{scene.running.console}/alerts?state=resolved")
    assert "seen in a browser" in page.locator("article.alert").first.inner_text()


def test_a_version_is_verified_and_downloaded(scene: Scene, page: Page) -> None:
    page.goto(f"{scene.running.console}/models/small/versions/1")
    page.get_by_role("button", name="Verify").click()
    page.wait_for_url(re.compile("#verifications"))
    assert "all 200 rows give the same answers" in page.locator("#verifications").inner_text()
    assert "verified: same" in page.locator(".states").inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "small-1.zip"
    assert Path(download.value.path()).read_bytes()[:2] == b"PK"


def test_search_and_sql_keep_their_state_in_the_address(scene: Scene, page: Page) -> None:
    page.goto(scene.running.console)
    page.get_by_placeholder("name contains").fill("nothing-like-this")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url(re.compile("search=nothing-like-this"))
    assert "No endpoint like that" in page.locator("main").inner_text()
    page.goto(f"{scene.running.console}/sql")
    page.locator("textarea").fill("select 40 + 2 as answer")
    page.get_by_role("button", name="Run").click()
    page.wait_for_url(re.compile("query=select"))
    assert page.locator("td").first.inner_text() == "42"


def test_a_query_is_saved_from_the_editor_and_its_answer_downloaded(scene: Scene, page: Page) -> None:
    page.goto(f"{scene.running.console}/sql")
    page.locator("textarea").fill("select 6 * 7 as answer")
    page.locator("input[name=name]").fill("made-here")
    page.locator("input[name=description]").fill("What is it?")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(re.compile("/queries/made-here"))
    assert page.locator("td").first.inner_text() == "42"
    with page.expect_download() as download:
        page.get_by_role("link", name="csv").click()
    assert Path(download.value.path()).read_text() == '"answer"\n42\n'
    page.goto(f"{scene.running.console}/queries?search=what+is")
    page.get_by_role("link", name="made-here").click()
    assert page.locator("h1").inner_text() == "made-here"
    page.locator("details.plug summary").click()
    page.get_by_role("button", name="Remove").last.click()
    page.wait_for_url(re.compile("/queries$"))
    assert "made-here" not in page.locator("main").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_on_their_ground(
    scene: Scene, page: Page, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{scene.running.console}/endpoints/{ENDPOINT}")
    words = ["text", "muted", "accent", "on-accent", "alarm", "good"]
    grounds = ["page", "card", "sunk", "accent-soft", "alarm-soft", "good-soft"]
    colors = {
        name: page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()")
        for name in [*words, *grounds]
    }
    pairs = [(word, ground) for word in ("text", "muted", "accent") for ground in ("page", "card")]
    pairs += [("text", "alarm-soft"), ("muted", "sunk"), ("muted", "alarm-soft"), ("accent", "accent-soft")]
    pairs += [("alarm", "alarm-soft"), ("good", "good-soft"), ("on-accent", "accent"), ("card", "alarm")]
    for word, ground in pairs:
        # WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1 for text.
        assert contrast(colors[word], colors[ground]) >= 4.5, (scheme, word, ground)
    page.emulate_media(color_scheme="light")


def contrast(one: str, other: str) -> float:
    """Contrast of two colours ``#rrggbb``, 1 to 21 (WCAG 2.2, definition of contrast ratio)."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_field_and_button_has_a_name(scene: Scene, page: Page) -> None:
    for path in PAGES:
        page.goto(scene.running.console + path)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("input:not([type=hidden]), textarea, button, a, img")]
                .filter((one) => !(one.labels?.length || one.textContent.trim() || one.ariaLabel
                    || one.getAttribute("alt") !== null))
                .map((one) => one.outerHTML)"""
        )
        assert nameless == [], path


def test_without_javascript_everything_but_charts_is_there(scene: Scene, browser: Browser) -> None:
    shown = browser.new_context(java_script_enabled=False).new_page()
    shown.goto(f"{scene.running.console}/endpoints/{ENDPOINT}")
    assert "Drift by column" in shown.locator("main").inner_text()
    assert shown.get_by_text("Pull the plug …").count() == 1
