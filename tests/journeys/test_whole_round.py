"""A whole round in a real browser: seven people, twelve pitches, every turn that a pitch can take, to the last cent."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError
from playwright.sync_api import Page, expect

from ledger.money import usd
from ledger.selectors import available_in_reserve, balance
from ledger.services import year_fund
from pitches import services
from pitches.models import Aspect, Ballot, Choice, Counter, Expertise, Finding, Offer, Pitch, Recusal, Round
from pitches.services import Mark
from pitches.services.ballots import ballot_key_take
from teams.models import AuditEvent, Team, TeamRole, User
from teams.services import membership_set, team_create
from tests.accessibility import serious_findings
from tests.cast import build_company
from tests.conftest import FreshDatabase
from tests.journeys.browser import Person
from tests.journeys.pitched import DECLARED, KEPT, NO_QUORUM, RETURNED, SMALL, TYPED, Idea, drafts_make, pitch_of
from tests.journeys.site import Site, running_site
from tests.pitches.stage import models_add
from tests.processes import manage

LEADS, MEMBERS = ("ana", "bo", "cy"), ("gil", "dee", "eli", "fay")
WHY = "The regulator expects these lists from every insurer by the end of the year."


@dataclass
class Play:
    """The site with its people; every new kind of page is shown to axe."""

    site: Site
    env: dict[str, str]
    people: dict[str, Person] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Person:
        """Return somebody at their browser."""
        if name not in self.people:
            self.people[name] = self.site.person(name)
        return self.people[name]

    def opens(self, name: str, path: str) -> Page:
        """Let somebody open a page."""
        page = self[name].goes_to(path)
        self.looks(name)
        return page

    def presses(self, name: str, button: str) -> Page:
        """Let somebody press a button, and look at where it leads."""
        page = self[name].presses(button)
        self.looks(name)
        return page

    def looks(self, name: str) -> None:
        """Ask axe about the page that somebody is on, unless one of its kind was looked at in this state."""
        page = self[name].page
        path = re.sub(r"[0-9]+", "#", page.url.removeprefix(self.site.base).split("?")[0])
        kind = f"{path} {self.round.state if Round.objects.exists() else ''}"
        if kind not in self.kinds:
            self.kinds.add(kind)
            self.faults += [f"{name} at {page.url}: {found}" for found in serious_findings(page)]

    @property
    def users(self) -> Mapping[str, User]:
        """Return the seven by first name."""
        return self.site.users

    @property
    def round(self) -> Round:
        """Return the round as it stands now."""
        return Round.objects.get()

    def desk(self, path: str = "desk/") -> str:
        """Return the address of one of the committee's pages of the round."""
        return f"/admin/pitches/round/{self.round.pk}/{path}"


@pytest.fixture
def play(fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    # The browser's loop runs in this thread, and Django would refuse queries beside it; nothing here is concurrent.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    company = build_company()
    year_fund(actor=company.hana, amount=usd("100000"), reason="Budget of the year")
    models_add(company.system)
    legal = team_create(actor=company.system, name="Legal", cost_centre="CC-300", business_unit=company.security)
    membership_set(actor=company.system, user=company.bo, team=legal, role=TeamRole.LEAD)
    membership_set(actor=company.system, user=company.fay, team=legal, role=TeamRole.MEMBER)
    users = {name: company.person(name) for name in (*LEADS, *MEMBERS)}
    with running_site(fresh_database, users) as site:
        yield Play(site, fresh_database.env)


def test_a_whole_round_of_seven_people(play: Play) -> None:
    _gil_opens_a_round(play)
    _teams_pitch(play)
    play.opens("gil", play.desk())
    play.presses("gil", "Close for pitches, begin the reviews")

    _members_declare(play)
    _everything_is_screened(play)
    _members_review(play)
    _dee_returns_a_pitch(play)
    play.opens("gil", play.desk())
    play.presses("gil", "End the reviews, open the vote")

    _members_vote(play)
    _nothing_can_be_read(play)
    play.opens("gil", play.desk())
    play.presses("gil", "Close the vote")
    _receipts_are_found(play)

    _the_committee_chooses(play)
    _the_committee_tries_it_on_the_board(play)
    _the_committee_departs_once(play)
    play.opens("gil", play.desk("decide/"))
    play.presses("gil", "Publish all decisions")
    _everything_is_explained(play)

    _cy_counters(play)
    _ana_declines(play)
    _everybody_else_accepts(play)
    play.opens("gil", play.desk())
    play.presses("gil", "Settle the round")

    _the_money_is_where_it_should_be(play)
    _every_move_has_a_name_a_time_and_a_reason(play)
    for command in (["replay_selection", "Winter round"], ["verify_ballots", "Winter round"], ["verify"]):
        done = manage(*command, env=play.env)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (play.site.complaints, play.faults) == ([], [])


def _gil_opens_a_round(play: Play) -> None:
    page = play.opens("gil", "/admin/pitches/round/new/")
    now = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0)
    words = {"Name": "Winter round", "Cap": "10000", "Hurdle": "1.2"}
    words |= {"Awards from": f"{now:%Y-%m-%d}", "For how many months": "6"}
    for label, text in words.items():
        page.get_by_label(label).fill(text)
    for place, name in enumerate(("Pitches until", "Reviews until", "Sealed vote until", "Offers answered until"), 1):
        page.get_by_label(name).fill(f"{now + timedelta(days=7 * place):%Y-%m-%dT%H:%M}")
    play.presses("gil", "Prepare the round")
    for name in MEMBERS:
        page.get_by_label("Member").select_option(label=f"{name.title()} Example")
        page.get_by_label("As chair").set_checked(name == "gil")
        play.presses("gil", "Give a seat")
    play.opens("gil", play.desk())
    page.get_by_label("Reason").first.fill("The board approved the winter budget.")
    play.presses("gil", "Open the round")
    expect(page.get_by_text("what teams submit is sealed until then")).to_be_visible()


def _teams_pitch(play: Play) -> None:
    teams = {"ana": "Claims", "bo": "Legal", "cy": "Fraud"}
    drafts_make(play.round, {lead: Team.objects.get(name=name) for lead, name in teams.items()}, play.users)
    for idea in TYPED:
        _types(play, idea, teams[idea.lead])
    for idea in KEPT:
        play.opens(idea.lead, f"/pitches/{pitch_of(idea.title).pk}/edit/")
        page = play.presses(idea.lead, "Submit")
        expect(page.get_by_text("Submitted", exact=True).first).to_be_visible()
    sealed = play.opens("gil", play.desk())
    expect(sealed.get_by_text("12 sealed pitches")).to_be_visible()
    expect(sealed.get_by_text("Claims triage")).to_have_count(0)


def _types(play: Play, idea: Idea, team: str) -> None:
    page = play.opens(idea.lead, "/pitches/new/")
    page.get_by_label("Use case").fill(idea.title)
    if (choice := page.get_by_label("Team")).count():
        choice.select_option(label=team)
    play.presses(idea.lead, "Begin")
    for name, text in idea.typed.items():
        control = page.locator(f"[name='{name}']")
        if control.get_attribute("type") == "hidden":
            continue
        if control.evaluate("control => control.tagName") == "SELECT":
            control.select_option(text)
        else:
            control.fill(text)
    expect(page.locator("#quote")).to_contain_text(
        "$1,440.00" if idea.tier == "standard" else f"${idea.calls * 5.4:,.2f}"
    )
    play.looks(idea.lead)
    play.presses(idea.lead, "Submit")
    expect(page.get_by_text("Submitted", exact=True).first).to_be_visible()


def _members_declare(play: Play) -> None:
    for name in MEMBERS:
        page = play.opens(name, play.desk("declare/"))
        if name == "fay":
            expect(page.get_by_text("belongs to the team Legal")).to_be_visible()
        for one in page.locator("fieldset").all():
            is_hers = name == "eli" and DECLARED in (one.text_content() or "")
            one.get_by_label("Your conflict").select_option("close_relation" if is_hers else "none")
            if is_hers:
                one.get_by_label("Reason").fill("My sister keeps these books.")
        play.presses(name, "Declare")
    found = Recusal.objects.order_by("kind").values_list("member__name", "pitch__title", "kind", "type", "state")
    assert list(found) == [
        ("Eli Example", DECLARED, "declared", "close_relation", "recused"),
        ("Fay Example", "Contract search", "rule", "same_team", "recused"),
    ]
    for name, title in (("eli", DECLARED), ("fay", "Contract search")):
        page = play.opens(name, play.desk())
        expect(page.get_by_role("row").filter(has_text=title)).to_contain_text("Hidden from you")


def _everything_is_screened(play: Play) -> None:
    page = play.opens("gil", play.desk())
    expect(page.get_by_text("12 not screened by both")).to_be_visible()
    for name, aspect in (("ivo", Aspect.ESTIMATE), ("mia", Aspect.COMPLIANCE)):
        screener = User.objects.get(email=f"{name}@acorn.example")
        for pitch in Pitch.objects.select_related("current").order_by("pk"):
            services.screening_record(
                actor=screener,
                pitch=pitch,
                revision_number=pitch.submitted.number,
                aspect=aspect,
                finding=Finding.FEASIBLE,
                reason="The figures fit what their pilot used.",
            )


def _members_review(play: Play) -> None:
    for name, title in zip(MEMBERS, ("Claims triage", "Fraud rings", "Photo notes", "Voice notes"), strict=True):
        _reviews(play, name, title)
    for name in MEMBERS:
        for pitch in Pitch.objects.exclude(title=RETURNED).order_by("pk"):
            if not _is_recused(name, pitch) and not pitch.submitted.reviews.filter(reviewer=play.users[name]).exists():
                _hands_in(play.users[name], pitch)


def _is_recused(name: str, pitch: Pitch) -> bool:
    return (name, pitch.title) in {("eli", DECLARED), ("fay", "Contract search")}


def _hands_in(member: User, pitch: Pitch) -> None:
    marks = {row.pk: Mark(7, "As the figures say.") for row in pitch.round.criteria.all()}
    number = pitch.submitted.number
    services.review_submit(actor=member, pitch=pitch, revision_number=number, marks=marks, expertise=Expertise.FAMILIAR)


def _reviews(play: Play, name: str, title: str) -> None:
    page = play.opens(name, play.desk())
    page.get_by_role("link", name=title).click()
    expect(page.get_by_text("Hidden until your own is in").first).to_be_visible()
    for number in page.locator("[name^=score-]").all():
        number.fill("7")
    for sentence in page.locator("[name^=sentence-]").all():
        sentence.fill("The figures are their own.")
    page.locator("[name=expertise]").nth(1).check()
    play.presses(name, "Hand in the review")
    expect(page.get_by_text("Your review is in.")).to_be_visible()


def _dee_returns_a_pitch(play: Play) -> None:
    pitch = pitch_of(RETURNED)
    _reviews(play, "dee", RETURNED)
    page = play["dee"].page
    page.get_by_text("Return it with a question").click()
    page.get_by_label("What should the team change?").fill("How was the value measured, and on which desk?")
    play.presses("dee", "Return it to Claims")

    page = play.opens("ana", f"/pitches/{pitch.pk}/")
    expect(page.get_by_text("How was the value measured, and on which desk?").first).to_be_visible()
    page.get_by_role("link", name="Edit and submit again").click()
    page.locator("[name=value_method]").fill(
        "Minutes saved, measured for a week at desk four, times what an hour costs."
    )
    play.presses("ana", "Submit again")

    page = play.opens("dee", f"/admin/pitches/round/pitch/{pitch.pk}/")
    expect(page.get_by_text("Filled in from your review of revision 1.")).to_be_visible()
    expect(page.locator("#review [name^=sentence-]").first).to_have_value("The figures are their own.")
    play.presses("dee", "Hand in, then the desk")
    expect(page.get_by_text("That was the last one.")).to_be_visible()
    page = play.opens("dee", f"/admin/pitches/round/pitch/{pitch.pk}/")
    page.get_by_role("link", name="What changed since revision 1").click()
    changed = page.locator("dl.changes")
    expect(changed.locator("dt")).to_have_text(["From metric to dollars"])
    expect(changed.locator("ins").first).to_contain_text("measured for a week at desk four")
    play.looks("dee")
    for name in ("gil", "eli", "fay"):
        _hands_in(play.users[name], pitch_of(RETURNED))


SCORES = {"gil": 7, "dee": 6, "eli": 8, "fay": 7}


def _members_vote(play: Play) -> None:
    for name in MEMBERS:
        page = play.opens(name, play.desk("ballot/"))
        mine = page.locator("ul.ballots > li").filter(has_text="Claims triage")
        mine.get_by_label("Yes").check()
        mine.get_by_label("Score").select_option(str(SCORES[name] + 1))
        mine.get_by_role("button", name="Seal, then the next").focus()
        page.keyboard.press("Enter")
        expect(mine.get_by_text("sealed", exact=True)).to_be_visible()
        assert page.evaluate("document.activeElement.closest('li').id") == page.url.split("#")[1]
        play.looks(name)
        for pitch in Pitch.objects.exclude(title="Claims triage").order_by("pk"):
            if not _is_recused(name, pitch) and not (name == "fay" and pitch.title == NO_QUORUM):
                abstains = name == "eli" and pitch.title == NO_QUORUM
                choice, score = (Choice.ABSTAIN, None) if abstains else (Choice.YES, SCORES[name])
                services.ballot_cast(actor=play.users[name], pitch=pitch, choice=choice, score=score)


def _nothing_can_be_read(play: Play) -> None:
    assert Ballot.objects.count() == 4 * 12 - 3
    assert not Ballot.objects.exclude(choice="", score=None, revealed_at=None).exists()
    with pytest.raises(DatabaseError, match="open when voting has closed"):
        ballot_key_take(play.round)
    for name in MEMBERS:
        page = play.opens(name, play.desk("decide/"))
        expect(page.get_by_text("Ballots are sealed")).to_be_visible()
        page = play.opens(name, play.desk("ballot/"))
        assert page.locator("ul.ballots input:checked").count() == 0
        assert page.locator("ul.ballots option:checked").evaluate_all("all => all.filter(one => one.value).length") == 0


def _receipts_are_found(play: Play) -> None:
    for name in MEMBERS:
        page = play.opens(name, play.desk("ballot/"))
        receipt = page.locator("code.seed").first.text_content() or ""
        page.get_by_role("link", name="Look for my receipts").click()
        page.get_by_label("Your receipt").fill(receipt)
        play.presses(name, "Look for it")
        expect(page.get_by_role("status").get_by_text("It was counted")).to_be_visible()
    assert not Ballot.objects.filter(revealed_at=None).exists()


def _the_committee_chooses(play: Play) -> None:
    page = play.opens("gil", play.desk("decide/"))
    play.presses("gil", "Run the exact choice")
    expect(page.get_by_text("Proved: no set of offers that fits is worth more.")).to_be_visible()
    play.presses("gil", "Adopt it")
    expect(page.get_by_text("Adopted: every pitch that you decide on has its decision")).to_be_visible()
    assert _outcomes() == {
        "fund": {"Claims triage", "Claims letters", "Photo notes", "Voice notes", RETURNED}
        | {"Fraud rings", DECLARED, "Contract search"},
        "waitlist": {"Case letters", "Call summaries"},
        "decline": {SMALL},
        "defer": {NO_QUORUM},
    }


def _outcomes() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for title, outcome in Pitch.objects.values_list("title", "decision__outcome"):
        found.setdefault(outcome, set()).add(title)
    return found


def _the_committee_tries_it_on_the_board(play: Play) -> None:
    page = play.opens("dee", play.desk("decide/"))
    page.locator("nav.tabs").get_by_role("link", name="Board", exact=True).click()
    before = _outcomes()
    row = page.locator("tr").filter(has_text=SMALL)
    expect(row.get_by_text("out", exact=True)).to_be_visible()
    row.get_by_role("button", name="In", exact=True).click()
    expect(row.get_by_text("held", exact=True)).to_be_visible()
    expect(row.get_by_text("in", exact=True)).to_be_visible()
    play.looks("dee")
    row.get_by_role("button", name="Free", exact=True).click()
    expect(row.get_by_text("out", exact=True)).to_be_visible()
    assert _outcomes() == before


def _the_committee_departs_once(play: Play) -> None:
    page = play.opens("dee", play.desk("decide/"))
    page.get_by_role("link", name=f"Override {SMALL}").click()
    play.looks("dee")
    page.get_by_label("Fund it all the same").check()
    page.get_by_label("Kind of reason").select_option("law")
    page.get_by_label("Reason", exact=True).fill(WHY)
    play.presses("dee", "Propose it")
    expect(page.get_by_text("waits for a second member")).to_be_visible()

    play.opens("fay", play.desk("decide/"))
    play.presses("fay", f"Sign the override on {SMALL}")

    page = play.opens("gil", play.desk("decide/"))
    expect(page.get_by_text("run it again before you adopt or publish")).to_be_visible()
    play.presses("gil", "Run the exact choice again")
    expect(page.get_by_role("button", name="Adopt it")).to_be_visible()  # once it is computed
    play.presses("gil", "Adopt it")
    assert _outcomes() == {
        "fund": {"Claims triage", "Claims letters", "Photo notes", RETURNED, "Fraud rings", "Case letters"}
        | {SMALL, "Contract search"},
        "waitlist": {DECLARED, "Voice notes", "Call summaries"},
        "defer": {NO_QUORUM},
    }


def _everything_is_explained(play: Play) -> None:
    page = play.opens("cy", f"/rounds/{play.round.pk}/results/")
    shown = page.get_by_role("region", name="Results, table").locator("tbody tr")
    assert shown.count() == len(TYPED) + len(KEPT)
    for idea in (*TYPED, *KEPT):
        words = shown.filter(has_text=idea.title).locator("td").last.text_content() or ""
        assert len(words.split()) > 5, (idea.title, words)
    override = page.get_by_role("region", name="Overrides, table")
    expect(override).to_contain_text(WHY)
    expect(override).to_contain_text("Dee Example and Fay Example")
    expect(page.get_by_text(play.round.seed, exact=True)).to_be_visible()
    expect(page.get_by_text(hashlib.sha256(play.round.seed.encode()).hexdigest(), exact=True)).to_be_visible()
    page = play.opens("cy", f"/pitches/{pitch_of(NO_QUORUM).pk}/")
    expect(page.get_by_text("The decision: defer")).to_be_visible()


def _cy_counters(play: Play) -> None:
    pitch = pitch_of("Case letters")
    page = play.opens("cy", f"/pitches/{pitch.pk}/offer/")
    page.get_by_text("Counter with other amounts").click()
    page.get_by_label("Economy").fill("1,800")
    page.get_by_label("Why").fill("We begin a week later, so this much less is enough.")
    play.presses("cy", "Send the counter-offer")

    page = play.opens("gil", play.desk("offers/"))
    page.get_by_role("link", name="Case letters").click()
    play.looks("gil")
    page.get_by_label("Accept: a new offer with the team's amounts").check()
    page.get_by_label("Reason").fill("That is fair, and leaves more to others.")
    play.presses("gil", "Answer the counter-offer")
    states = Offer.objects.filter(pitch=pitch).order_by("pk").values_list("state", "lines__asked", "lines__awarded")
    assert list(states) == [("replaced", Decimal(1890), Decimal(1890)), ("open", Decimal(1890), Decimal(1800))]
    assert [counter.state for counter in Counter.objects.all()] == ["accepted"]


def _ana_declines(play: Play) -> None:
    page = play.opens("ana", f"/pitches/{pitch_of('Claims letters').pk}/offer/")
    page.get_by_text("Decline instead").click()
    page.get_by_label("Reason").fill("Another tool does it since last week.")
    page.get_by_role("button", name=re.compile("^Decline")).click()
    expect(page.get_by_text("Declined by the team").first).to_be_visible()
    play.looks("ana")
    # 90 USD were left over, 90 came free by the counter-offer, 1,620 now: the first in line needs 810, the next 1,350.
    states = {pitch.title: pitch.state for pitch in Pitch.objects.filter(decision__outcome="waitlist")}
    assert states == {DECLARED: "offered", "Voice notes": "waitlisted", "Call summaries": "waitlisted"}
    page = play.opens("gil", play.desk("offers/"))
    play.looks("gil")


def _everybody_else_accepts(play: Play) -> None:
    leads = {idea.title: idea.lead for idea in (*TYPED, *KEPT)}
    for pitch in Pitch.objects.filter(offers__state="open").order_by("pk"):
        page = play.opens(leads[pitch.title], f"/pitches/{pitch.pk}/offer/")
        page.get_by_role("button", name=re.compile("^Accept")).click()
        expect(page.get_by_text(re.compile(r"A-\d{4,}")).first).to_be_visible()
        play.looks(leads[pitch.title])


def _the_money_is_where_it_should_be(play: Play) -> None:
    awarded = Decimal(324 + 1080 + 972 + 1620 + 1800 + 324 + 1080 + 810)
    assert (play.round.state, balance(play.round.opened_pool).amount) == ("settled", Decimal(0))
    assert available_in_reserve().amount == Decimal(100_000) - awarded
    states = dict(Pitch.objects.values_list("title", "state"))
    funded = {title for title, state in states.items() if state == "funded"}
    assert funded == {"Claims triage", "Photo notes", RETURNED, "Fraud rings", "Case letters", SMALL} | {
        "Contract search",
        DECLARED,
    }
    others = {title: state for title, state in states.items() if title not in funded}
    lapsed = {"Voice notes": "lapsed", "Call summaries": "lapsed"}
    assert others == {"Claims letters": "declined", NO_QUORUM: "deferred", **lapsed}


def _every_move_has_a_name_a_time_and_a_reason(play: Play) -> None:
    things: list[Round | Pitch | Offer | Counter] = [
        play.round,
        *Pitch.objects.all(),
        *Offer.objects.all(),
        *Counter.objects.all(),
    ]
    for thing in things:
        events = AuditEvent.objects.filter(object_type=thing._meta.label_lower, object_id=str(thing.pk))
        moves = [event for event in events.select_related("actor").order_by("pk") if "to" in event.details]
        where = "draft" if isinstance(thing, (Round, Pitch)) else "open"
        for move in moves:
            told = (thing, move.verb, move.details)
            assert move.details["from"] == where, told
            assert move.actor.email, told
            assert move.at is not None, told
            assert len(move.reason) >= 10, told
            where = move.details["to"]
        assert where == thing.state, thing
    reviewed = AuditEvent.objects.filter(
        object_type="pitches.pitch", details__to="in_review", object_id=str(pitch_of(RETURNED).pk)
    )
    assert reviewed.count() == 2
