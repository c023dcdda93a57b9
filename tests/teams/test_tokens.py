"""Personal API tokens: seen once, kept as a hash, used within their scopes and within what their person may do."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from teams import secrets, services
from teams.errors import NotAllowed, Refused
from teams.models import ApiToken, AuditEvent, Scope, User
from teams.token_services import MOST_TOKENS, token_create, token_revoke
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, heading, page_of, rows, typed

pytestmark = pytest.mark.django_db

PAGE = "/profile/tokens/"


def make(user: User, *scopes: Scope, name: str = "robot", days: int = 30) -> str:
    return token_create(actor=user, name=name, scopes=scopes or (Scope.PITCHES_READ,), days=days)[1]


def call(secret: str, path: str = "/api/v1/rounds/", method: str = "get") -> Any:
    return getattr(Client(), method)(path, headers={"Authorization": f"Bearer {secret}"})


def test_a_token_is_made_on_the_page_and_seen_once(company: Company) -> None:
    ana = company.client(company.ana)

    answer = ana.post(PAGE, {"name": "month close", "scopes": ["ledger:read", "pitches:read"], "days": "30"})

    assert_readable(answer)
    assert heading(answer) == "month close is ready"
    assert "no-store" in answer["Cache-Control"]
    secret = page_of(answer).one("code", id="secret").text
    assert re.fullmatch(r"tankpat_[0-9a-f]{64}", secret)
    assert call(secret).status_code == 200

    token = ApiToken.objects.get()
    assert (bytes(token.digest), token.scopes) == (secrets.digest(secret), ["ledger:read", "pitches:read"])
    assert timedelta(days=29) < token.expires_at - datetime.now(UTC) <= timedelta(days=30)
    again = ana.get(PAGE)
    assert secret not in again.content.decode()
    assert rows(again, "Tokens, table")[0][:2] == [
        f"month close {token.hint}",
        "Read accounts, entries, balances and usage, Read rounds and pitches",
    ]
    event = AuditEvent.objects.get(verb="token.create")
    assert (event.actor, event.details["scopes"]) == (company.ana, ["ledger:read", "pitches:read"])
    assert secret not in str(event.details)


@pytest.mark.parametrize("path", [PAGE, "/profile/"])
def test_everybody_has_the_page(company: Company, path: str) -> None:
    for name in PEOPLE:
        answer = company.client(company.person(name)).get(path)
        assert answer.status_code == 200
        assert_readable(answer)


@pytest.mark.parametrize(
    ("asked", "field", "sentence"),
    [
        ({"name": "x", "days": "30"}, "scopes", "Choose what the token may be used for."),
        ({"name": " ", "scopes": ["ledger:read"], "days": "30"}, "name", "This field is required."),
        ({"name": "x", "scopes": ["ledger:read"], "days": "4000"}, "days", "Select a valid choice."),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(
    company: Company, asked: dict[str, Any], field: str, sentence: str
) -> None:
    answer = company.client(company.ana).post(PAGE, asked)

    assert answer.status_code == 422
    assert_readable(answer)
    assert sentence in (page_of(answer).text if field == "scopes" else error_beside(answer, field))
    assert typed(answer, "name") == asked["name"]
    assert ApiToken.objects.count() == 0


def test_a_token_is_revoked_at_once_and_for_good(company: Company) -> None:
    secret = make(company.ana)
    token = ApiToken.objects.get()
    ana, url = company.client(company.ana), f"{PAGE}{token.pk}/revoke/"
    assert_readable(ana.get(url))

    ana.post(url, {"reason": "Laptop lost"})

    refused = call(secret)
    assert (refused.status_code, refused.json()["error"]) == (
        401,
        {"code": "bad_token", "message": "This token is unknown, expired or revoked."},
    )
    assert ana.get(url).status_code == 404
    assert rows(ana.get(PAGE), "") == []
    event = AuditEvent.objects.get(verb="token.revoke")
    assert (event.actor, event.reason) == (company.ana, "Laptop lost")
    # The name is free again.
    make(company.ana)


def test_somebody_elses_token_is_not_there(company: Company) -> None:
    make(company.ana)
    token = ApiToken.objects.get()

    for name in set(PEOPLE) - {"ana"}:
        assert company.client(company.person(name)).get(f"{PAGE}{token.pk}/revoke/").status_code == 404
    with pytest.raises(NotAllowed):
        token_revoke(actor=company.ivo, token=token)


def test_a_token_ends_with_its_time_and_with_its_person(company: Company) -> None:
    expired, left = make(company.ana), make(company.bo)
    ApiToken.objects.filter(user=company.ana).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    services.user_active_set(actor=company.ivo, user=company.bo, active=False, reason="Left")

    assert [call(secret).status_code for secret in (expired, left, "tankpat_x", "", "tank_abc")] == [401] * 5


def test_a_scope_opens_what_it_names_and_nothing_else(company: Company) -> None:
    reads, writes = make(company.ana, Scope.PITCHES_READ), make(company.ana, Scope.PITCHES_WRITE, name="writer")

    assert call(reads, "/api/v1/pitches/").status_code == 200
    refused = call(writes, "/api/v1/pitches/")
    assert (refused.status_code, refused.json()["error"]) == (
        403,
        {"code": "scope_missing", "message": "This token lacks the scope pitches:read."},
    )
    told = call(reads, "/api/v1/pitches/1/submit/", "post")
    assert told.json()["error"]["message"] == "This token lacks the scope pitches:write."
    # With the scope it is the person's own rules again: there is no such pitch. No CSRF token is needed.
    client = Client(enforce_csrf_checks=True)
    found = client.post("/api/v1/pitches/1/submit/", headers={"Authorization": f"Bearer {writes}"})
    assert (found.status_code, found.json()["error"]["code"]) == (404, "not_found")


def test_a_token_does_not_open_pages(company: Company) -> None:
    answer = call(make(company.hana, *Scope), "/ledger/")

    assert (answer.status_code, answer["Location"]) == (302, "/account/login/?next=/ledger/")


def test_use_is_noted_to_the_minute(company: Company) -> None:
    secret = make(company.ana)
    call(secret)
    first = ApiToken.objects.get().last_used_at
    assert first is not None

    call(secret)
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    call(secret)
    assert ApiToken.objects.filter(last_used_at__gt=first - timedelta(minutes=2)).exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"days": 0}, "days"),
        ({"days": 367}, "days"),
    ],
)
def test_what_the_service_refuses(company: Company, changes: dict[str, Any], field: str) -> None:
    asked: dict[str, Any] = {"name": "robot", "scopes": [Scope.LEDGER_READ], "days": 1, **changes}

    with pytest.raises(Refused) as refused:
        token_create(actor=company.ana, **asked)

    assert refused.value.field == field


def test_a_name_is_taken_once_and_a_person_has_twenty_at_the_most(company: Company) -> None:
    make(company.ana)
    with pytest.raises(Refused, match="already"):
        make(company.ana)
    for number in range(MOST_TOKENS - 1):
        make(company.ana, name=f"robot {number}")
    with pytest.raises(Refused, match="You have 20 tokens"):
        make(company.ana, name="one more")
    make(company.bo)
