"""Two members at one board, each at a browser of their own: what one moves stands at the other's without a reload."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.cast import build_company
from tests.conftest import FreshDatabase
from tests.journeys.browser import chromium
from tests.pitches.crowd import deciding
from tests.pitches.stage import open_stage
from tests.processes import MANAGE, answers, free_port, start_process

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MEMBERS = ("gil", "dee")


@dataclass
class Room:
    """A round that deliberates, a running Tank, and members who are logged in."""

    base: str
    browser: Browser
    board: str
    sessions: dict[str, str]

    def page_of(self, name: str, *, width: int = 1280, dark: bool = False) -> Page:
        """Let a member look at the board; what goes wrong in the console fails the test."""
        context = self.browser.new_context(
            base_url=self.base,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
        )
        context.add_cookies([{"name": "tank_session", "value": self.sessions[name], "url": self.base}])
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"{page.url}: {error}"))
        page.on("console", _fail_on_error)
        page.goto(self.board)
        return page


def _fail_on_error(said: ConsoleMessage) -> None:
    if said.type == "error":
        pytest.fail(said.text)


@pytest.fixture(scope="module")
def room(module_database: FreshDatabase) -> Iterator[Room]:
    company = build_company()
    stage = open_stage(company, cap="20000")
    deciding(stage, 10)
    # Before the browser starts: it keeps an event loop in this thread, and the ORM refuses to work beside one.
    sessions = {name: company.client(company.person(name)).cookies["tank_session"].value for name in MEMBERS}
    board = f"/admin/pitches/round/{stage.round.pk}/board/"
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [MANAGE[0], "-m", "uvicorn", "--port", str(port), "--log-level", "error", "marketplace.asgi:application"]
    env = {**module_database.env, "TANK_BOARD_MS": "20000"}
    with start_process(command, env, ready=lambda _: answers(f"{base}/readyz")), chromium() as browser:
        yield Room(base, browser, board, sessions)


def test_one_slides_by_keyboard_and_the_others_board_follows(room: Room) -> None:
    chair, member = room.page_of("gil"), room.page_of("dee")
    before = member.locator("#board-head .buys").inner_text()
    slider = chair.get_by_label("Cap, USD", exact=True)

    slider.focus()
    for _ in range(5):
        chair.keyboard.press("ArrowLeft")

    expect(chair.locator("#board-said")).to_contain_text("Gil Example tried a cap of $19,000.00")
    expect(slider).to_be_focused()
    assert slider.get_attribute("aria-valuetext") == "$19,000"
    expect(member.locator("#board-said")).to_contain_text("Gil Example tried a cap of $19,000.00")
    expect(member.locator("#board-head .buys")).to_have_text("What $19,000 buys")
    assert before == "What $20,000 buys"
    expect(member.get_by_label("Cap, USD", exact=True)).to_have_value("19000")


def test_a_pitch_is_held_in_for_a_price_and_everybody_sees_it(room: Room) -> None:
    chair, member = room.page_of("gil"), room.page_of("dee")
    row = chair.locator("tr.out", has_text="Others are worth more").first
    name = row.get_attribute("id")
    price = row.locator("[data-price]")
    price.scroll_into_view_if_needed()
    expect(price).to_contain_text("Holding it in costs")
    button = row.get_by_role("button", name="In", exact=True)

    button.focus()
    chair.keyboard.press("Enter")

    expect(chair.locator("#board-said")).to_contain_text(" in, at a price of $")
    expect(chair.locator(f"#{name}").get_by_role("button", name="In", exact=True)).to_be_focused()
    expect(member.locator(f"#{name} .state")).to_contain_text("held")
    member.locator(f"#{name}").get_by_role("button", name="Free", exact=True).click()
    expect(chair.locator("#board-said")).to_contain_text("Dee Example freed")


def test_the_curve_the_rules_and_a_note_stand_beside_the_choice(room: Room) -> None:
    chair, member = room.page_of("gil"), room.page_of("dee")

    expect(chair.locator(".plot .main-svg").first).to_be_visible()
    expect(chair.get_by_role("region", name="Rules compared, table")).to_contain_text("Equal shares")
    chair.get_by_label("Note for the minutes").fill("Finance could find more in March.")
    chair.get_by_role("button", name="Note it").click()

    expect(member.locator("#board-log")).to_contain_text("Finance could find more in March.")
    expect(chair.get_by_label("Note for the minutes")).to_have_value("")


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, True), (1920, False)])
def test_no_width_scrolls_sideways_and_dark_is_dark(room: Room, width: int, dark: bool) -> None:
    page = room.page_of("dee", width=width, dark=dark)
    expect(page.locator("#board-list tr").first).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    ground = page.evaluate("getComputedStyle(document.querySelector('.board-top')).backgroundColor")
    assert ground == ("rgb(21, 29, 28)" if dark else "rgb(255, 255, 255)")
