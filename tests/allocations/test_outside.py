"""Calls that do not go through our gateway: admitted, settled and voided over REST, by the caller's own id."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from django.test import Client

from allocations import secrets
from allocations.models import Denial, Hold, MeterWorker, OutsideCall, StopBehaviour
from allocations.selectors.unsettled import LostHold, lost_holds
from allocations.services import (
    KeyLimits,
    allocation_suspend,
    hold_charge,
    hold_release,
    key_models_set,
    key_revoke,
    key_suspend,
    sweep_run,
)
from ledger.checks import breaches
from ledger.models import AiModel, Dialect, RateSource, Tier, UsageRecord
from ledger.money import plain
from ledger.services import ModelFacts, alias_set, model_update, provider_add, rate_approve, rate_propose
from teams.models import Role, User
from teams.services import role_grant, user_create
from tests.allocations.callers import HALF, TENTH, Caller
from tests.allocations.gateways import House, Purse, chat, message
from tests.conftest import FreshDatabase

pytestmark = pytest.mark.usefixtures("module_database")

ZERO = {"input": 0, "cache_read": 0, "cache_write_5m": 0, "cache_write_1h": 0, "output": 0, "reasoning": 0}


@pytest.fixture(scope="module")
def house(module_database: FreshDatabase) -> House:
    return House()


@pytest.fixture(scope="module")
def finance(house: House) -> User:
    person = user_create(actor=house.actor, email="hana@acorn.example", name="Hana Example")
    role_grant(actor=house.actor, user=person, role=Role.FINANCE)
    return person


@pytest.fixture
def purse(house: House) -> Purse:
    return house.purse("50")


@pytest.fixture
def caller(purse: Purse) -> Caller:
    return Caller(purse.secret)


@pytest.fixture(autouse=True)
def proven(house: House) -> Iterator[None]:
    """Prove after every story that quotas, holds and records agree."""
    yield
    assert breaches() == []


def standing(purse: Purse) -> tuple[str, str]:
    """Return what is spent and held, of the line and the key alike."""
    line, own = purse.quota(), purse.key_quota
    assert (line.spent, line.held, line.tokens_held) == (own.spent, own.held, own.tokens_held)
    return plain(line.spent), plain(line.held)


def is_held(answer: dict[str, Any]) -> bool:
    """Say whether a call still has a process of its own."""
    return MeterWorker.objects.filter(pk=answer["hold"]).exists()


# --- A call and its end ---------------------------------------------------------------------------------


def test_a_request_is_bounded_held_and_charged_what_it_used(caller: Caller, purse: Purse) -> None:
    request = chat(max_tokens=100)
    held = caller.told(
        "admit", id="4711", model="tank-medium", surface="chat/completions", request=request, tags={"step": "1"}
    )

    assert standing(purse) == ("0", held["bound"])
    assert Decimal("0.0003") < Decimal(held["bound"]) < Decimal("0.001")
    names = ("id", "outcome", "model", "upstream_model", "provider", "tier", "because", "fell_from", "backups")
    assert [held[name] for name in names] == [
        *("4711", None, "tank-medium", "tank-medium", "sandbox", "standard", "", "", []),
    ]
    assert (held["output_cap"], held["output_cap_inserted"], held["currency"]) == (100, False, "USD")
    assert Decimal(held["remaining"]) == 50 - Decimal(held["bound"])
    left = datetime.fromisoformat(held["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left < timedelta(minutes=15)

    usage = {"prompt_tokens": 12, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}}
    answered = {"model_returned": "tank-medium", "service_tier": "default", "upstream_id": "chatcmpl-1"}
    end = caller.told("settle", id="4711", usage=usage, **answered, tags={"variant": "b"})

    assert end == {
        "id": "4711",
        "hold": held["hold"],
        "outcome": "settled",
        "settle_kind": "exact",
        "model": "tank-medium",
        "tokens": ZERO | {"input": 10, "cache_read": 2, "output": 5},
        "currency": "USD",
        "cost": "0.000027",
        "charged": "0.000027",
        "overage": "0",
        "remaining": "49.999973",
    }
    record = purse.record
    assert (record.request_id, record.surface, record.streamed) == (UUID(held["hold"]), "chat/completions", False)
    assert {name: getattr(record, name) for name in answered} == answered
    assert (record.tags, record.model_asked) == ({"step": "1", "variant": "b"}, "tank-medium")
    assert standing(purse) == ("0.000027", "0")
    assert not is_held(held)


def test_messages_are_settled_by_anthropics_own_usage_block(caller: Caller, purse: Purse) -> None:
    request = message("claude-sonnet-5-5", stream=True)
    caller.told("admit", id="m", model="claude-sonnet-5-5", surface="messages", request=request)
    usage = {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 2}
    assert caller.told("settle", id="m", usage=usage)["tokens"] == ZERO | {"input": 7, "cache_read": 3, "output": 2}
    assert (purse.record.surface, purse.record.streamed) == ("messages", True)


def test_a_call_without_a_cap_gets_the_largest_that_policy_and_what_is_left_allow(house: House) -> None:
    caller = Caller(house.purse("50", cap="0.02").secret)
    plenty = caller.admit("a", input_tokens=1_000, output_cap=None)
    assert (plenty["output_cap"], plenty["output_cap_inserted"], plenty["bound"]) == (4096, True, "0.013288")
    rest = caller.admit("b", input_tokens=1_000, output_cap=None)
    # What is left of 0.02 after 0.001 for the input, at three dollars a million.
    assert (rest["output_cap"], rest["bound"]) == ((20_000 - 13_288 - 1_000) // 3, "0.006712")
    assert caller.refused("admit", id="c", **TENTH | {"input_tokens": 1}) == (429, "insufficient_quota", "")


def test_what_cost_nothing_is_given_back(caller: Caller, purse: Purse) -> None:
    held = caller.admit()
    end = caller.void()
    assert end == caller.void()
    assert (end["outcome"], end["cost"], end["tokens"], end["remaining"]) == ("void", "0", ZERO, "50")
    assert standing(purse) == ("0", "0")
    assert (purse.records, is_held(held)) == ([], False)


@pytest.mark.parametrize(
    ("said", "kind", "tokens"),
    [
        ({}, "bound", {"input": 100_000, "output": 1_000}),
        ({"usage": {"prompt_tokens": "many"}, "dialect": "openai"}, "bound", {"input": 100_000, "output": 1_000}),
        ({"settle_kind": "estimated", "output_bytes": 40}, "estimated", {"input": 100_000, "output": 40}),
        ({"settle_kind": "estimated", "tokens": {"input": 9, "output": 2}}, "estimated", {"input": 9, "output": 2}),
    ],
    ids=["nothing is known", "what is said cannot be read", "it broke off", "the caller counted"],
)
def test_what_no_provider_counted_is_not_free(
    caller: Caller, purse: Purse, said: dict[str, Any], kind: str, tokens: dict[str, int]
) -> None:
    caller.admit(output_cap=1_000)
    end = caller.told("settle", id="call-1", **said)
    assert (end["settle_kind"], end["tokens"]) == (kind, ZERO | tokens)
    cost = Decimal(tokens["input"] + 3 * tokens["output"]) / 1_000_000
    assert (Decimal(end["cost"]), standing(purse)) == (cost, (plain(cost), "0"))


def test_a_call_that_cost_more_than_its_hold_closes_the_key(house: House) -> None:
    purse = house.purse("0.15")
    caller = Caller(purse.secret)
    caller.admit()
    end = caller.settle(tokens={"input": 200_000})
    assert (end["cost"], end["charged"], end["overage"], end["remaining"]) == ("0.2", "0.15", "0.05", "0")
    assert caller.refused("admit", id="next", **TENTH) == (401, "invalid_api_key", "")
    assert sweep_run(actor=house.actor)["keys_suspended"] == 1
    assert caller.settle(tokens={"input": 200_000}) == end


def test_the_rate_is_that_of_when_the_call_was_admitted(house: House, caller: Caller) -> None:
    model = house.model(house.provider("sandbox"), "dearer-soon", Tier.STANDARD, "1")
    caller.admit(model="dearer-soon")
    prices: Any = {"input_price": Decimal(9), "output_price": Decimal(9), "source": RateSource.NEGOTIATED}
    before = datetime.now(UTC) - timedelta(minutes=1)
    for valid_from in (before, None):
        rate = rate_propose(actor=house.actor, model=model, valid_from=valid_from, **prices)
        rate_approve(actor=house.actor, rate=rate)
    AiModel.objects.filter(pk=model.pk).update(is_enabled=False)
    assert caller.settle()["cost"] == "0.05"


# --- Which model ------------------------------------------------------------------------------------------


def test_the_caller_is_told_which_model_to_call_and_why(house: House) -> None:
    lines = {Tier.FRONTIER: "0.4", Tier.STANDARD: "50", Tier.ECONOMY: "1"}
    purse = house.purse(lines=lines, stop=StopBehaviour.FALL)
    caller = Caller(purse.secret)
    alias_set(actor=house.actor, name="best", model=AiModel.objects.get(name="tank-large"))

    served = [caller.admit(str(number), model=model) for number, model in enumerate(["best", "tank/auto", "best"])]

    told = [(one["model"], one["tier"], one["because"], one["fell_from"]) for one in served]
    # Half a dollar does not fit the frontier line; the dearest standard model is Anthropic's, and any will do.
    fallen = ("claude-sonnet-5-5", "standard")
    assert told == [(*fallen, "fell", "frontier")] * 3
    caller.settle("0")
    record = purse.record
    assert (record.model.name, record.model_asked, record.served_because) == ("claude-sonnet-5-5", "best", "fell")
    assert record.account == purse.allocation.lines.get(tier=Tier.STANDARD).account


def test_a_backup_that_answered_is_charged_at_its_own_rate(house: House, caller: Caller, purse: Purse) -> None:
    main = house.model(house.provider("sandbox"), "main", Tier.STANDARD, "1")
    other = provider_add(actor=house.actor, name="other", dialect=Dialect.SANDBOX)
    spare = house.model(other, "main-spare", Tier.STANDARD, "4")
    facts = ModelFacts(Tier.STANDARD, 200_000, 4096, 16, is_enabled=True, backup_of=main, backup_place=1)
    model_update(actor=house.actor, model=spare, facts=facts)

    held = caller.admit(model="main")
    assert (held["bound"], held["backups"]) == ("0.4", ["main-spare"])  # the dearer of the two
    assert caller.refused("settle", id="call-1", model="tank-large", **HALF) == (400, "invalid", "model")
    end = caller.settle(model="main-spare", **HALF)
    assert (end["model"], end["cost"]) == ("main-spare", "0.2")
    assert (purse.record.provider, purse.record.served_because) == (other, "backup")


def test_a_request_for_another_dialect_is_for_callers_that_translate(caller: Caller) -> None:
    asked = {"id": "x", "model": "claude-sonnet-5-5", "surface": "chat/completions"}
    request = chat(max_tokens=100)
    assert caller.refused("admit", **asked, request=request) == (404, "model_not_found", "model")
    held = caller.told("admit", **asked, request=request, translates=True)
    own = caller.told("admit", **asked | {"id": "y", "model": "gpt-6-astra"}, request=request, translates=True)
    assert held["model"] == "claude-sonnet-5-5"
    # What the translation may add is held too; a model of the request's own dialect needs none of it.
    longer_name = len("claude-sonnet-5-5") - len("gpt-6-astra")
    assert held["tokens"] - own["tokens"] - longer_name == 1_064
    fee = request | {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    assert caller.refused("admit", **asked | {"id": "z"}, request=fee, translates=True) == (400, "invalid", "tools")


# --- Said again -------------------------------------------------------------------------------------------


def test_the_same_call_is_held_and_charged_once_however_often_it_is_said(caller: Caller, purse: Purse) -> None:
    first = caller.admit()
    assert caller.admit() == first
    assert standing(purse) == ("0", "0.1")
    end = caller.settle()
    assert caller.settle() == end
    assert caller.admit() == first | {"outcome": "settled"}
    assert standing(purse) == ("0.05", "0")
    assert len(purse.records) == 1


def test_an_id_stands_for_one_call_of_one_key(house: House, caller: Caller, purse: Purse) -> None:
    caller.admit()
    assert caller.refused("admit", id="call-1", **TENTH | {"output_cap": 1}) == (409, "id_reused", "id")
    other = house.purse("50")
    assert Caller(other.secret).refused("settle", id="call-1", **HALF) == (404, "not_found", "")
    Caller(other.secret).admit()
    assert (standing(purse), standing(other)) == (("0", "0.1"),) * 2


def test_a_call_ends_in_one_way(caller: Caller, purse: Purse) -> None:
    caller.admit("spent")
    caller.settle("spent")
    caller.admit("free")
    caller.void("free")
    for what, said in (
        ("void", {"id": "spent"}),
        ("settle", {"id": "spent", **TOO}),
        ("settle", {"id": "free", **HALF}),
    ):
        assert caller.refused(what, **said) == (409, "already_ended", "id")
    assert standing(purse) == ("0.05", "0")


TOO: dict[str, Any] = {"tokens": {"input": 50_001}}


def test_after_a_week_an_id_may_be_used_again(
    caller: Caller, purse: Purse, owner_connection: psycopg.Connection
) -> None:
    caller.admit("old")
    caller.settle("old")
    caller.admit("held")
    caller.admit("new")
    caller.settle("new")
    pass_a_week(owner_connection, ["old", "held"])

    assert sweep_run(actor=purse.allocation.owner)["outside_calls_forgotten"] == 1

    assert caller.refused("settle", id="old", **HALF) == (404, "not_found", "")
    assert caller.settle("held")["outcome"] == caller.settle("new")["outcome"] == "settled"
    caller.admit("old", output_cap=1)


def pass_a_week(owner: psycopg.Connection, names: list[str]) -> None:
    """Let a week pass for some calls, as only the tables' owner can."""
    owner.execute(
        "UPDATE allocations_outsidecall SET expires_at = expires_at - interval '8 days',"
        " ended_at = ended_at - interval '8 days' WHERE caller_id = ANY(%s)",
        (names,),
    )
    owner.commit()


# --- Never settled ----------------------------------------------------------------------------------------


def expire(held: dict[str, Any], *, hours: int = 2) -> None:
    """Let a call's deadline pass."""
    past = datetime.now(UTC) - timedelta(hours=hours)
    MeterWorker.objects.filter(pk=held["hold"]).update(heartbeat_at=past, started_at=past)
    with connection.cursor() as cursor:
        cursor.execute("SELECT allocations_lapse('10 seconds')")


def lost(held: dict[str, Any]) -> LostHold:
    """Return the hold as finance finds it."""
    (found,) = [one for one in lost_holds() if str(one.worker_id) == held["hold"]]
    return found


def test_a_call_that_is_never_settled_is_listed_for_finance_and_stays_counted(
    caller: Caller, purse: Purse, finance: User
) -> None:
    held = caller.admit("forgotten")
    with connection.cursor() as cursor:
        cursor.execute("SELECT allocations_lapse('10 seconds')")
    assert Hold.objects.get(worker=held["hold"], quota=purse.quota()).state == "active"
    expire(held)

    assert standing(purse) == ("0", "0.1")
    browser = Client()
    browser.force_login(finance, backend="django.contrib.auth.backends.ModelBackend")
    page = browser.get("/allocations/unsettled/").content.decode()
    assert "outside call forgotten" in page
    assert f"A-{purse.allocation.pk:04d}" in page

    end = caller.settle("forgotten")
    assert (end["outcome"], end["charged"]) == ("settled", "0.05")
    assert (standing(purse), is_held(held)) == (("0.05", "0"), False)


def test_what_finance_charged_by_hand_stands(house: House, caller: Caller, purse: Purse, finance: User) -> None:
    held = caller.admit()
    expire(held)
    model = AiModel.objects.get(name="tank-medium")
    prices: Any = {"input_price": Decimal(1), "output_price": Decimal(3), "source": RateSource.NEGOTIATED}
    then = datetime(2019, 1, 1, tzinfo=UTC)
    rate_approve(actor=house.actor, rate=rate_propose(actor=house.actor, model=model, valid_from=then, **prices))
    hold_charge(actor=finance, hold=lost(held), cost=Decimal("0.07"), model=model, reason="The provider's report")

    assert caller.refused("void", id="call-1") == (409, "already_ended", "id")
    late = caller.settle()

    assert (late["settle_kind"], late["charged"], late["overage"]) == ("by_hand", "0.07", "0")
    assert (standing(purse), purse.record.request_id) == (("0.07", "0"), UUID(held["hold"]))
    assert not is_held(held)


def test_what_finance_gave_back_is_charged_all_the_same_when_its_caller_comes_back(
    caller: Caller, purse: Purse, finance: User
) -> None:
    first, second = caller.admit("a"), caller.admit("b")
    expire(first)
    expire(second)
    for held in (first, second):
        hold_release(actor=finance, hold=lost(held), reason="The provider knows of nothing")
    assert standing(purse) == ("0", "0")
    assert caller.settle("a")["charged"] == "0.05"
    assert caller.void("b")["outcome"] == "void"
    assert standing(purse) == ("0.05", "0")


def test_a_stopped_key_admits_nothing_and_its_calls_are_still_settled(
    house: House, caller: Caller, purse: Purse
) -> None:
    caller.admit()
    key_revoke(actor=house.actor, key=purse.key, reason="Leaked")
    assert caller.refused("admit", id="next", **TENTH) == (401, "invalid_api_key", "")
    assert caller.settle()["charged"] == "0.05"


# --- Refused ----------------------------------------------------------------------------------------------


def test_who_may_not_call_hears_why_and_finance_sees_it(house: House) -> None:
    poor, capped, few = house.purse("0.01"), house.purse(cap="0.01"), house.purse(limits=KeyLimits(tokens=10))
    asleep, shut, picky = house.purse(), house.purse(), house.purse()
    slow = house.purse(limits=KeyLimits(calls_at_once=1))
    key_suspend(actor=house.actor, key=asleep.key, reason="Odd")
    allocation_suspend(actor=house.actor, allocation=shut.allocation, reason="Under review")
    only = [AiModel.objects.get(name="gpt-6-astra")]
    key_models_set(actor=house.actor, key=picky.key, models=only, reason="One is enough")
    Caller(slow.secret).admit("first")

    def refusal(secret: str, **asked: Any) -> tuple[int, str, str]:
        return Caller(secret).refused("admit", **{"id": "call-1", **TENTH, **asked})

    assert refusal("") == (401, "invalid_api_key", "")
    assert refusal("sk-abc") == refusal(secrets.make()) == (401, "invalid_api_key", "")
    assert refusal(asleep.secret) == (401, "invalid_api_key", "")
    assert refusal(shut.secret) == (403, "permission_denied", "")
    assert refusal(poor.secret, model="no-such-model") == (404, "model_not_found", "model")
    assert refusal(poor.secret, model="tank-large") == (404, "model_not_found", "model")
    assert refusal(picky.secret) == (404, "model_not_found", "model")
    assert refusal(poor.secret) == refusal(capped.secret) == refusal(few.secret) == (429, "insufficient_quota", "")
    assert refusal(slow.secret) == (429, "rate_limit_exceeded", "calls_at_once")

    logged = {(row.key_id, row.reason, row.model): row.count for row in Denial.objects.all()}
    assert {
        (None, "key_unknown", ""): 2,
        (asleep.key.pk, "key_suspended", ""): 1,
        (shut.key.pk, "allocation_shut", ""): 1,
        (poor.key.pk, "no_line", ""): 1,
        (poor.key.pk, "no_line", "tank-large"): 1,
        (picky.key.pk, "no_line", "tank-medium"): 1,
        (poor.key.pk, "line_empty", "tank-medium"): 1,
        (capped.key.pk, "key_cap", "tank-medium"): 1,
        (few.key.pk, "token_limit", "tank-medium"): 1,
        (slow.key.pk, "rate_limit", "tank-medium"): 1,
    }.items() <= logged.items()
    assert {standing(one) for one in (poor, capped, few, picky)} == {("0", "0")}
    assert not OutsideCall.objects.filter(key__in=[poor.key.pk, capped.key.pk, few.key.pk, picky.key.pk]).exists()


def test_a_budget_error_says_which_budget_and_how_it_stands(house: House) -> None:
    purse = house.purse("0.01")
    answer = Caller(purse.secret).post("admit", id="call-1", **TENTH)
    error = answer.json()["error"]
    assert error["details"] == {
        "budget": "line:standard",
        "allocation": purse.allocation.number,
        "currency": "USD",
        "limit": "0.01",
        "spent": "0",
        "held": "0",
        "remaining": "0.01",
        "needed": "0.1",
        "ask_at": error["details"]["ask_at"],
    }
    assert error["details"]["ask_at"].endswith(f"/allocations/{purse.allocation.pk}/")
    assert answer["x-tank-remaining"] == "0.01"
    # The same id may try again when there is more.
    assert Caller(purse.secret).admit(input_tokens=10_000)["remaining"] == "0"


@pytest.mark.parametrize(
    ("what", "said", "field"),
    [
        ("admit", {"id": "two words", **TENTH}, "id"),
        ("admit", {"id": "a", "model": "tank-medium"}, "request"),
        ("admit", {"id": "a", **TENTH, "request": {}, "surface": "messages"}, "request"),
        ("admit", {"id": "a", "model": "tank-medium", "request": chat()}, "surface"),
        ("admit", {"id": "a", "model": "tank-medium", "request": {}, "surface": "chat/completions"}, "messages"),
        ("admit", {"id": "a", **TENTH, "outputcap": 5}, "outputcap"),
        ("admit", {"id": "a", **TENTH, "tags": {"a b": "c"}}, "tags"),
        ("admit", {"id": "a", **TENTH, "expires_in": 9}, "expires_in"),
        ("settle", {"id": "held", **HALF, "usage": {}}, "usage"),
        ("settle", {"id": "held", "usage": {"prompt_tokens": 1}}, "dialect"),
        ("settle", {"id": "held", "settle_kind": "exact"}, "settle_kind"),
        ("settle", {"id": "held", "tokens": {"input": -1}}, "tokens"),
        ("void", {}, "id"),
    ],
)
def test_what_is_wrong_is_told_by_field_and_nothing_is_lost(
    caller: Caller, purse: Purse, what: str, said: dict[str, Any], field: str
) -> None:
    caller.admit("held")
    assert caller.refused(what, **said) == (400, "invalid", field)
    assert standing(purse) == ("0", "0.1")
    assert UsageRecord.objects.filter(key_id=purse.key.pk).count() == 0


def test_only_the_database_says_how_a_call_ends(app_connection: psycopg.Connection) -> None:
    for statement in ("UPDATE allocations_outsidecall SET bound = 0", "DELETE FROM allocations_outsidecall"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), app_connection.transaction():
            app_connection.execute(statement.encode())
