"""The calendar: every deadline in its round's own zone with UTC beside it, as a page and as a file."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from pitches import ics, services
from pitches.models import Round
from pitches.selectors.calendar import deadlines_ahead, months_ahead
from pitches.services import Calendar
from pitches.templatetags.pitches import clocks
from pitches.zones import BadHour, moment_months_later, moment_of
from teams.models import User
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, page_of
from tests.pitches.stage import Stage, queries_of

pytestmark = pytest.mark.django_db

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def test_everybody_sees_the_deadlines_of_the_rounds_that_they_see(stage: Stage, company: Company) -> None:
    draft = services.round_clone(actor=company.gil, round_=stage.round, name="Q2", months=3)

    for name in PEOPLE:
        answer = company.client(company.person(name)).get("/rounds/calendar/")
        assert_readable(answer)
        assert ("Q1" in page_of(answer).text, answer.status_code) == (True, 200)
        # A draft is seen by those who prepare or audit rounds, and by its committee.
        prepares = name in {"dee", "eli", "fay", "gil", "hana", "jo"}
        assert (draft.name in page_of(answer).one("main").text) == prepares
    assert Client().get("/rounds/calendar/").status_code == 302


def test_what_is_over_is_not_ahead(stage: Stage, company: Company) -> None:
    between = stage.round.reviews_close_at + timedelta(seconds=1)

    assert [row.name for row in deadlines_ahead(company.ana)] == list(Calendar.__dataclass_fields__)
    assert [row.name for row in deadlines_ahead(company.ana, at=between)] == ["voting_closes_at", "answers_due_at"]
    services.round_cancel(actor=company.hana, round_=stage.round, reason="The budget was cut")
    assert deadlines_ahead(company.ana) == []
    page = page_of(company.client(company.ana).get("/rounds/calendar/"))
    assert page.one("main").all("div", class_="empty") != []


def test_a_deadline_says_what_the_reader_can_do_now(stage: Stage, company: Company) -> None:
    def todo(person: User) -> list[str]:
        return [row.todo for row in deadlines_ahead(person) if row.todo]

    pitch = stage.submitted()
    assert (todo(company.ana), todo(company.dee)) == (["Pitch for it"], [])
    stage.to_review()
    assert (todo(company.ana), todo(company.dee)) == ([], ["Write your reviews"])
    stage.to_vote()
    assert todo(company.dee) == ["Vote"]
    for member in (company.gil, company.dee, company.eli):
        stage.vote(member, pitch)
    services.voting_close(actor=company.gil, round_=stage.round)
    stage.fund(pitch)
    services.round_publish(actor=company.gil, round_=stage.round)
    assert (todo(company.ana), todo(company.bo)) == (["Answer your offer"], [])


def test_months_are_those_of_the_rounds_own_zone(stage: Stage, company: Company) -> None:
    late = datetime(2099, 1, 31, 23, 30, tzinfo=UTC)
    Round.objects.filter(pk=stage.round.pk).update(
        time_zone=BERLIN,
        **{name: late + timedelta(days=day) for day, name in enumerate(Calendar.__dataclass_fields__)},
    )

    [month] = months_ahead(company.ana)

    assert (month.first.isoformat(), [row.local.day for row in month.deadlines]) == ("2099-02-01", [1, 2, 3, 4])


def test_a_list_asks_as_often_for_three_rounds_as_for_one(stage: Stage, company: Company) -> None:
    client = company.client(company.gil)
    before = queries_of(client, "/rounds/calendar/")
    for name in ("Q2", "Q3"):
        services.round_clone(actor=company.gil, round_=stage.round, name=name, months=3)

    assert queries_of(client, "/rounds/calendar/") == before


@pytest.mark.parametrize(
    ("moment", "zone", "text"),
    [
        ("2026-12-04T16:00", BERLIN, "Fri 4 Dec 2026, 17:00 CET Europe/Berlin · 16:00 UTC"),
        ("2026-07-03T15:00", BERLIN, "Fri 3 Jul 2026, 17:00 CEST Europe/Berlin · 15:00 UTC"),
        ("2026-12-05T01:00", NEW_YORK, "Fri 4 Dec 2026, 20:00 EST America/New_York · 5 Dec, 01:00 UTC"),
        ("2026-12-04T16:00", "UTC", "Fri 4 Dec 2026, 16:00 UTC"),
    ],
)
def test_a_moment_is_written_by_both_clocks(moment: str, zone: str, text: str) -> None:
    written = clocks(datetime.fromisoformat(moment).replace(tzinfo=UTC), zone)

    assert text == written.split(">", 1)[1].replace('</time> <span class="unit">', " ").removesuffix("</span>")


@pytest.mark.parametrize(
    ("wall", "zone", "utc"),
    [
        ("2027-03-28T01:59", BERLIN, "2027-03-28T00:59"),
        ("2027-03-28T03:00", BERLIN, "2027-03-28T01:00"),
        ("2027-10-31T01:59", BERLIN, "2027-10-30T23:59"),
        ("2027-10-31T03:00", BERLIN, "2027-10-31T02:00"),
        ("2027-03-14T03:00", NEW_YORK, "2027-03-14T07:00"),
        ("2027-11-07T00:59", NEW_YORK, "2027-11-07T04:59"),
        ("2027-11-07T02:00", NEW_YORK, "2027-11-07T07:00"),
    ],
)
def test_hours_around_the_change_of_the_clocks_are_what_they_say(wall: str, zone: str, utc: str) -> None:
    assert moment_of(datetime.fromisoformat(wall), zone).astimezone(UTC).strftime("%Y-%m-%dT%H:%M") == utc


@pytest.mark.parametrize(
    ("wall", "zone", "message"),
    [
        ("2027-03-28T02:00", BERLIN, "02:00 does not exist in Europe/Berlin on that day"),
        ("2027-03-28T02:59", BERLIN, "does not exist"),
        ("2027-10-31T02:00", BERLIN, "02:00 comes twice in Europe/Berlin on that day"),
        ("2027-10-31T02:59", BERLIN, "comes twice"),
        ("2027-03-14T02:30", NEW_YORK, "02:30 does not exist in America/New_York on that day"),
        ("2027-11-07T01:30", NEW_YORK, "01:30 comes twice in America/New_York on that day"),
    ],
)
def test_an_hour_that_is_not_there_or_there_twice_is_refused(wall: str, zone: str, message: str) -> None:
    with pytest.raises(BadHour, match=message):
        moment_of(datetime.fromisoformat(wall), zone)


def test_a_page_says_beside_the_field_that_an_hour_does_not_exist(stage: Stage, company: Company) -> None:
    Round.objects.filter(pk=stage.round.pk).update(time_zone=BERLIN)
    typed = {
        "submissions_close_at": "2027-03-28T02:30",
        "reviews_close_at": "2027-04-04T17:00",
        "voting_closes_at": "2027-04-11T17:00",
        "answers_due_at": "2027-04-18T17:00",
        "reason": "Easter comes early",
    }

    answer = company.client(company.gil).post(f"/admin/pitches/round/{stage.round.pk}/calendar/", typed)

    assert answer.status_code == 422
    assert "02:30 does not exist in Europe/Berlin on that day" in page_of(answer).text


@pytest.mark.parametrize(
    ("before", "months", "zone", "after"),
    [
        ("2027-01-28T16:00", 2, BERLIN, "2027-03-28T15:00"),
        ("2027-01-31T16:00", 1, BERLIN, "2027-02-28T16:00"),
        # 02:30 is skipped on that day and moves with the clocks; of the two 02:30 of October it is the first.
        ("2027-01-28T01:30", 2, BERLIN, "2027-03-28T01:30"),
        ("2027-08-31T00:30", 2, BERLIN, "2027-10-31T00:30"),
        ("2026-12-14T22:00", 3, NEW_YORK, "2027-03-14T21:00"),
    ],
)
def test_months_later_the_clocks_show_the_same(before: str, months: int, zone: str, after: str) -> None:
    moment = datetime.fromisoformat(before).replace(tzinfo=UTC)

    assert moment_months_later(moment, zone, months).strftime("%Y-%m-%dT%H:%M") == after


def unfolded(body: bytes) -> list[str]:
    return body.replace(b"\r\n ", b"").decode().split("\r\n")


def test_the_file_has_an_event_for_every_deadline(stage: Stage, company: Company) -> None:
    Round.objects.filter(pk=stage.round.pk).update(name="Q1; a, b\\c", time_zone=BERLIN)
    round_ = stage.now()

    answer = company.client(company.ana).get("/rounds/calendar.ics")

    assert (answer.status_code, answer["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    lines = unfolded(answer.content)
    assert (lines[0], lines[-2:], lines.count("BEGIN:VEVENT")) == ("BEGIN:VCALENDAR", ["END:VCALENDAR", ""], 4)
    assert f"UID:round-{round_.pk}-submissions_close_at@tank" in lines
    assert f"DTSTART:{round_.submissions_close_at:%Y%m%dT%H%M%SZ}" in lines
    assert "SUMMARY:Q1\\; a\\, b\\\\c: pitches until" in lines
    assert f"URL:http://testserver/rounds/{round_.pk}/" in lines
    assert all(len(line) <= 75 for line in answer.content.split(b"\r\n"))


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_a_line_is_folded_between_letters_and_read_back_whole(text: str) -> None:
    text = "".join(sign for sign in text if not "\ud800" <= sign <= "\udfff" and sign not in "\r\n")
    folded = ics.folded(text)

    assert all(len(piece) <= 75 for piece in folded.split(b"\r\n"))
    assert [piece.decode() for piece in folded.split(b"\r\n")]
    assert folded.replace(b"\r\n ", b"").decode() == text


@given(st.text(max_size=100))
def test_a_value_ends_no_line_and_starts_no_other(text: str) -> None:
    assert not {"\r", "\n"} & set(ics.escaped(text))
