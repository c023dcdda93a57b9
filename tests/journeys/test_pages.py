"""What only a real browser can show: the theme, plots under the content policy, keyboards, copying, narrow screens."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from django.db import connection
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from allocations.models import Allocation, MeterWorker
from allocations.services import key_issue
from teams.models import Team, User
from tests.budget import Budget, Till, open_budget
from tests.cast import build_company
from tests.conftest import FreshDatabase
from tests.journeys.browser import chromium
from tests.processes import MANAGE, answers, free_port, start_process

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAMES = ("ana", "bo", "hana")


@dataclass
class Desk:
    """A running Tank, a browser, and the sessions of people who are logged in."""

    base: str
    browser: Browser
    budget: Budget
    sessions: dict[str, str]
    renamed: bool = False

    def page_of(self, name: str, *, width: int = 1280, javascript: bool = True) -> Page:
        """Give somebody a browser; what goes wrong in its console fails the test."""
        context = self.browser.new_context(
            base_url=self.base,
            viewport={"width": width, "height": 900},
            java_script_enabled=javascript,
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.add_cookies([{"name": "tank_session", "value": self.sessions[name], "url": self.base}])
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"{page.url}: {error}"))
        page.on("console", _fail_on_error)
        return page

    @property
    def allocation(self) -> str:
        """Return the address of the allocation of Claims."""
        return f"/allocations/{self.budget.claims.number}/"


def _fail_on_error(said: ConsoleMessage) -> None:
    if said.type == "error" and "422" not in said.text:
        pytest.fail(said.text)


@pytest.fixture(scope="module")
def desk(module_database: FreshDatabase) -> Iterator[Desk]:
    company = build_company()
    budget = open_budget(company)
    budget.call()
    # Before the browser starts: it keeps an event loop in this thread, and the ORM refuses to work beside one.
    sessions = {name: company.client(company.person(name)).cookies["tank_session"].value for name in NAMES}
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [MANAGE[0], "-m", "uvicorn", "--port", str(port), "--log-level", "error", "marketplace.asgi:application"]
    with (
        start_process(command, module_database.env, ready=lambda _: answers(f"{base}/readyz")),
        chromium() as browser,
    ):
        yield Desk(base, browser, budget, sessions)


def test_the_theme_is_chosen_once_and_kept(desk: Desk) -> None:
    page = desk.page_of("ana")
    page.goto("/")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.get_by_role("button", name="Switch to the dark theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto("/inbox/")

    assert (light, dark) == ("rgb(246, 247, 245)", "rgb(14, 20, 19)")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    expect(page.get_by_role("button", name="Switch to the light theme")).to_be_visible()


def test_a_plot_is_drawn_and_its_table_is_one_click_away(desk: Desk) -> None:
    page = desk.page_of("bo")
    page.goto(desk.allocation)

    canvas = page.get_by_role("img", name="Remaining budget of Claims triage")
    expect(canvas.locator(".main-svg").first).to_be_visible()
    for name in ("Plan", "Left", "At this pace"):
        expect(canvas.get_by_text(name, exact=True)).to_be_visible()
    table = page.get_by_role("region", name="Burn-down, table")
    expect(table).not_to_be_visible()
    page.get_by_role("link", name="table").click()
    expect(table).to_be_visible()


def test_keyboards_skip_the_nav(desk: Desk) -> None:
    page = desk.page_of("bo")
    page.goto("/teams/")

    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the page")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    focused = page.evaluate("document.activeElement.closest('main') !== null")
    ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert (focused, ring) == (True, "solid")


def test_a_secret_is_copied_with_one_click(desk: Desk) -> None:
    page = desk.page_of("ana")
    page.goto(desk.allocation + "keys/new/")
    page.get_by_label("Name").fill("copied")
    page.get_by_role("button", name="Issue the key").click()

    page.locator("[data-copy=secret]").click()

    expect(page.locator("[data-copy=secret]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#secret").inner_text()


def test_a_second_click_sends_nothing(desk: Desk) -> None:
    page = desk.page_of("ana")
    page.goto(desk.allocation + "keys/new/")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)

    page.get_by_label("Name").fill("impatient")
    page.get_by_role("button", name="Issue the key").dblclick()

    expect(page.get_by_role("heading", name="impatient is ready")).to_be_visible()
    assert len(sent) == 1


def test_everything_works_without_scripts(desk: Desk) -> None:
    page = desk.page_of("bo", javascript=False)
    page.goto(desk.allocation)

    expect(page.get_by_text("The picture needs JavaScript; the table below says the same.")).to_be_visible()
    page.get_by_role("link", name="Issue a key").click()
    page.get_by_role("button", name="Issue the key").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    page.get_by_label("Name").fill("plain")
    page.get_by_role("button", name="Issue the key").click()
    expect(page.get_by_role("heading", name="plain is ready")).to_be_visible()


def long_names(budget: Budget) -> None:
    """Give things names without a space, as long as they may be."""
    key_issue(actor=budget.company.ana, allocation=budget.claims, name="k" * 80)
    Allocation.objects.filter(pk=budget.claims.pk).update(name="A" * 160)
    Team.objects.filter(pk=budget.company.claims.pk).update(name="T" * 120)
    User.objects.filter(pk=budget.company.ana.pk).update(name="N" * 120)
    connection.close()


@pytest.mark.parametrize("width", [360, 1280, 1600])
def test_nothing_scrolls_sideways_however_long_the_names(desk: Desk, width: int) -> None:
    if not desk.renamed:
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(long_names, desk.budget).result()
        desk.renamed = True
    key = f"{desk.allocation}keys/{desk.budget.prod.pk}/"
    seen = {
        "ana": ["/", "/inbox/", "/profile/", "/teams/", "/teams/claims/", "/allocations/", desk.allocation, key],
        "hana": ["/ledger/", "/ledger/trial-balance/", "/ledger/journal/", "/ledger/rates/", f"{key}stop/"],
    }
    for name, paths in seen.items():
        page = desk.page_of(name, width=width)
        for path in paths:
            page.goto(path)
            beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert beyond <= 0, f"{path} is {beyond} px wider than {width}"


def in_thread(work: Callable[[], object]) -> None:
    """Do something with the ORM, which refuses to work beside the browser's event loop."""

    def closed() -> None:
        try:
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(closed).result()


def call_begins(budget: Budget) -> None:
    """Hold five dollars for a call whose process stays alive however long the browser takes."""
    till = Till()
    till.admit(budget.prod, budget.line, "5")
    MeterWorker.objects.filter(pk=till.worker).update(heartbeat_at=datetime(2100, 1, 1, tzinfo=UTC))


def test_the_live_view_follows_without_a_reload_and_can_be_paused(desk: Desk) -> None:
    page = desk.page_of("bo")
    page.goto("/allocations/live/")
    table = page.get_by_role("region", name=f"{desk.budget.claims.number}, live, table")
    standard = table.get_by_role("row").filter(has_text="Standard").get_by_role("cell")
    key = table.get_by_role("link", name="triage-prod")
    expect(standard.nth(1)).to_have_text("0")
    key.focus()

    in_thread(lambda: call_begins(desk.budget))
    expect(standard.nth(1)).to_have_text("1")
    expect(standard.nth(2)).to_have_text("$5.00")
    expect(key).to_be_focused()

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status").get_by_text("Paused")).to_be_visible()
    in_thread(lambda: call_begins(desk.budget))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Go on").click()
    expect(standard.nth(1)).to_have_text("2")
    assert asked


def test_the_live_view_keeps_the_keyboards_place_when_rows_come(desk: Desk) -> None:
    page = desk.page_of("ana")
    page.goto("/allocations/live/")
    page.get_by_role("link", name="triage-test").focus()

    in_thread(lambda: key_issue(actor=desk.budget.company.ana, allocation=desk.budget.claims, name="came-later"))

    expect(page.get_by_role("link", name="came-later")).to_be_visible()
    expect(page.get_by_role("link", name="triage-test")).to_be_focused()


def test_the_live_view_works_without_a_script(desk: Desk) -> None:
    page = desk.page_of("bo", javascript=False)
    page.goto("/allocations/live/")

    expect(page.get_by_role("region", name=f"{desk.budget.claims.number}, live, table")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).not_to_be_visible()
    expect(page.get_by_text("reload the page for newer ones")).to_be_visible()
