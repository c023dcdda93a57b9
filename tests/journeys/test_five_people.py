"""The main job in a real browser: five people from a pitch to a funded key, real SDKs, and the cents in the books."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import anthropic
import openai
import pytest
from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam
from playwright.sync_api import Page, expect

from ledger.models import Dialect, Tier
from ledger.money import usd
from ledger.services import model_add, provider_add, year_fund
from tests.cast import build_company
from tests.conftest import FreshDatabase
from tests.journeys.browser import Person
from tests.journeys.site import Site, running_site
from tests.processes import manage

NAMES = ("gil", "ana", "dee", "eli", "hana")
PRICES: dict[str, tuple[str, str]] = {
    "frontier": ("5", "25"),
    "standard": ("2", "10"),
    "economy": ("1", "5"),
    "batch": ("0.5", "2.5"),
}


@pytest.fixture
def site(fresh_database: FreshDatabase) -> Iterator[Site]:
    company = build_company()
    year_fund(actor=company.hana, amount=usd("100000"), reason="Budget of the year")
    provider = provider_add(actor=company.ivo, name="sandbox", dialect=Dialect.SANDBOX)
    for tier, (read, written) in PRICES.items():
        model_add(
            actor=company.system,
            provider=provider,
            name=f"tank-{tier}",
            tier=Tier(tier),
            input_price=Decimal(read),
            output_price=Decimal(written),
        )
    with running_site(fresh_database, {name: company.person(name) for name in NAMES}) as site:
        yield site


def test_from_a_pitch_to_a_call_that_stands_in_the_books(site: Site, fresh_database: FreshDatabase) -> None:
    gil, ana, dee, eli, hana = (site.person(name) for name in NAMES)

    desk = _opens_a_round(gil)
    pitch = _pitches(ana)
    gil.goes_to(desk)
    gil.presses("Close for pitches, begin the reviews")

    for member in (dee, eli):
        _reviews(member, desk)
    _declares(gil, desk)
    gil.page.get_by_label("Why the vote opens without it").fill("The screeners are away until May.")
    gil.presses("End the reviews, open the vote")
    for member in (dee, eli, gil):
        _votes(member, desk)
    gil.goes_to(desk)
    gil.presses("Close the vote")

    _decides(gil, desk)
    gil.presses("Publish all decisions")

    number = _accepts(ana, pitch)
    secret = _issues_a_key(ana, number)
    _calls(site.base, secret)
    _stops_at_the_quota(site.base, ana, number)

    spent = Decimal(_quota(site.base, secret)["lines"][0]["spent"])
    assert manage("post_usage", env=fresh_database.env).returncode == 0
    assert spent > 0
    _finds_the_cents(hana, spent)
    assert manage("verify", env=fresh_database.env).returncode == 0
    assert site.complaints == []


def _opens_a_round(chair: Person) -> str:
    page = chair.goes_to("/admin/pitches/round/add/")
    now = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
    page.get_by_label("Name").fill("Winter round")
    page.get_by_label("Cap").fill("20000")
    page.get_by_label("Awards from").fill(f"{now:%Y-%m-%d}")
    page.get_by_label("For how many months").fill("6")
    page.get_by_label("Time zone").fill("UTC")
    for place, field in enumerate(page.locator("input[type=datetime-local]").all(), start=1):
        field.fill(f"{now + timedelta(days=7 * place):%Y-%m-%dT%H:%M}")
    chair.presses("Prepare the round")
    for name in ("Gil Example", "Dee Example", "Eli Example"):
        page.get_by_label("Member").select_option(label=name)
        page.get_by_label("As chair").set_checked(name.startswith("Gil"))
        chair.presses("Give a seat")
    page.locator("nav.tabs").get_by_role("link", name="Pitches").click()
    desk = re.sub(r"^https?://[^/]+", "", page.url)
    page.get_by_label("Reason").first.fill("The board approved it")
    chair.presses("Open the round")
    expect(page.get_by_text("Pitches until")).to_be_visible()
    return desk


def _pitches(lead: Person) -> str:
    page = lead.goes_to("/pitches/new/")
    page.get_by_label("Use case").fill("Claims triage")
    lead.presses("Begin")
    words = {
        "What the agents will do": "Read each claim, sort it, draft the first letter.",
        "The problem": "Claims wait for two days before anybody reads them.",
        "Metric": "Hours to first decision",
        "Cautious": "10,000",
        "Expected": "30,000",
        "Hopeful": "50,000",
        "How you get from metric to dollars": "Claims times minutes saved times the cost of a minute.",
        "Who signs off the value": "kim@acorn.example",
        "Quality bar": "94 % agreement with two experts on 300 past claims.",
    }
    for label, text in words.items():
        page.get_by_label(label, exact=False).first.fill(text)
    choices = {
        "Kind of value": "Saving",
        "What the figures rest on": "Measured: we ran it on our own cases",
        "How fast an answer is needed": "Minutes",
        "When a tier's budget is spent": "Stop: calls are refused",
        "Most sensitive data in a prompt": "Internal",
    }
    for label, option in choices.items():
        page.get_by_label(label).select_option(label=option)
    for select in page.locator("select[name^=compliance-]").all():
        select.select_option(label="Yes")
    row = {"workflow": "Sort", "calls_target": "2000", "input_tokens": "6000", "output_tokens": "800"}
    for name, text in row.items():
        page.locator(f"[name=items-0-{name}]").fill(text)
    page.locator("[name=items-0-tier]").select_option(label="Standard")
    page.locator("[name=milestones-0-title]").fill("Quality bar met")
    page.locator("[name=milestones-0-due_on]").fill(f"{datetime.now(UTC) + timedelta(days=60):%Y-%m-%d}")
    _sees_the_quote_without_a_reload(page)
    lead.presses("Submit")
    expect(page.get_by_text("Submitted", exact=True).first).to_be_visible()
    return re.sub(r"^https?://[^/]+", "", page.url)


def _sees_the_quote_without_a_reload(page: Page) -> None:
    # 2,000 calls of 6,000 tokens in and 800 out at 2 and 10 dollars per million are 40 dollars a month, 240 in six.
    expect(page.locator("#quote")).to_contain_text("$240.00")


def _declares(member: Person, desk: str) -> Page:
    page = member.goes_to(desk)
    page.locator("nav.tabs").get_by_role("link", name="Declare", exact=True).click()
    page.get_by_label("Your conflict").select_option("none")
    return member.presses("Declare")


def _reviews(member: Person, desk: str) -> None:
    page = _declares(member, desk)
    page.get_by_role("link", name="Claims triage").click()
    for number in page.locator("[name^=score-]").all():
        number.fill("7")
    for sentence in page.locator("[name^=sentence-]").all():
        sentence.fill("The figures are their own.")
    expertise = page.locator("[name=expertise]")
    if expertise.count() > 1:
        expertise.first.check()
    else:
        expertise.select_option(index=1)
    member.presses("Hand in the review")
    expect(page.get_by_text("The figures are their own.").first).to_be_visible()


def _votes(member: Person, desk: str) -> None:
    page = member.goes_to(desk)
    page.locator("nav.tabs").get_by_role("link", name="Vote").click()
    page.get_by_label("Yes").check()
    page.get_by_label("Score").select_option("8")
    member.presses("Seal")
    expect(page.get_by_text("sealed", exact=True)).to_be_visible()


def _decides(chair: Person, desk: str) -> None:
    page = chair.goes_to(desk)
    page.get_by_role("link", name="Decide", exact=True).first.click()
    page.get_by_role("link", name="Decide Claims triage").click()
    page.get_by_label("Fund").check()
    page.get_by_label("Standard").fill("0.02")
    page.get_by_label("Reason").fill("Measured, and the cheapest tier that does it.")
    chair.presses("Decide, tentatively")


def _accepts(lead: Person, pitch: str) -> str:
    page = lead.goes_to(f"{pitch}offer/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("$0.02 for Claims triage")
    lead.presses("Accept $0.02")
    found = re.search(r"A-\d{4,}", page.url + page.inner_text("main"))
    assert found is not None
    return found.group()


def _issues_a_key(member: Person, number: str) -> str:
    page = member.goes_to(f"/allocations/{number}/keys/new/")
    page.get_by_label("Name").fill("triage")
    member.presses("Issue the key")
    found = re.search(r"tank_[0-9A-Za-z]{38}", page.inner_text("main"))
    assert found is not None
    member.goes_to(f"/allocations/{number}/")
    assert found.group() not in page.content()
    return found.group()


def _calls(base: str, secret: str) -> None:
    words = "Which line is claim 17?"
    ours = openai.OpenAI(base_url=f"{base}/v1", api_key=secret, max_retries=0).chat.completions
    question: list[ChatCompletionMessageParam] = [{"role": "user", "content": words}]
    whole = ours.create(model="tank-standard", messages=question, max_tokens=40)
    assert whole.choices[0].message.content
    chunks = list(ours.create(model="tank-standard", messages=question, max_tokens=40, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    theirs = anthropic.Anthropic(base_url=base, api_key=secret, max_retries=0).messages
    message = theirs.create(model="tank-standard", messages=[{"role": "user", "content": words}], max_tokens=40)
    assert message.usage.output_tokens > 0
    said: MessageParam = {"role": "user", "content": words}
    with theirs.stream(model="tank-standard", messages=[said], max_tokens=40) as stream:
        assert stream.get_final_text()


def _stops_at_the_quota(base: str, member: Person, number: str) -> None:
    page = member.goes_to(f"/allocations/{number}/keys/new/")
    page.get_by_label("Name").fill("another")
    member.presses("Issue the key")
    found = re.search(r"tank_[0-9A-Za-z]{38}", page.inner_text("main"))
    assert found is not None
    ours = openai.OpenAI(base_url=f"{base}/v1", api_key=found.group(), max_retries=2)
    with pytest.raises(openai.RateLimitError) as stopped:
        ours.chat.completions.create(
            model="tank-standard", messages=[{"role": "user", "content": "Everything"}], max_tokens=8000
        )
    assert stopped.value.code == "insufficient_quota"
    assert f"the standard line of allocation {number}" in stopped.value.message


def _quota(base: str, secret: str) -> dict[str, list[dict[str, str]]]:
    answer = openai.OpenAI(base_url=f"{base}/v1", api_key=secret).get("/quota", cast_to=object)
    assert isinstance(answer, dict)
    return answer


def _finds_the_cents(finance: Person, spent: Decimal) -> None:
    page = finance.goes_to("/ledger/trial-balance/")
    row = page.get_by_role("row").filter(has_text="metered:sandbox").first
    exact = row.locator("[title]").evaluate_all("cells => cells.map(cell => cell.title)")
    assert any(f"{spent.normalize():f}" in text for text in exact), (exact, spent)
