"""Rows of an ask from what a key really used: whole, as of a moment, and labelled as measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from allocations.models import QuotaKey
from allocations.services import key_issue
from ledger.ids import uuid7
from ledger.models import Tier, UsageRecord
from ledger.services import usage_roll
from pitches import services
from pitches.asking import DEFAULT_TERMS
from pitches.forms.pitch import PitchDraft, rows_typed
from pitches.models import Pitch
from pitches.selectors.measured import key_measure, keys_of_team
from tests.cast import Company
from tests.pages import assert_readable, page_of, rows
from tests.pitches.stage import Stage, of, open_round_asking, queries_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(stage: Stage, company: Company) -> QuotaKey:
    """Give a story a key of Claims, out of a round that was played to its end; Claims begins another pitch."""
    [offer] = stage.offered()
    return key_issue(actor=company.ana, allocation=stage.accepted(offer), name="triage-prod")[0]


@pytest.fixture
def pitch(key: QuotaKey, company: Company) -> Pitch:
    """Give a story a draft of the next round."""

    round_ = open_round_asking(company, DEFAULT_TERMS, name="Q2")
    return services.pitch_create(actor=company.ana, round_=round_, team=company.claims, title="Triage goes on")


@contextmanager
def as_owner() -> Iterator[None]:
    """Let a story write what happened before; the metering hook stamps the time of the call itself."""
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE NONE")
        yield
        cursor.execute("SET ROLE tank_app")


def called(
    stage: Stage,
    key: QuotaKey,
    tokens: tuple[int, int, int],
    *,
    days: int = 0,
    count: int = 1,
    tier: Tier = Tier.STANDARD,
) -> None:
    """Write calls of some days ago: tokens uncached, from the cache, out."""
    model, line = stage.models[tier], key.allocation.lines.get(tier=Tier.STANDARD)
    moment = datetime.now(UTC) - timedelta(days=days)
    uncached, cached, out = tokens
    with as_owner():
        UsageRecord.objects.bulk_create(
            UsageRecord(
                request_id=uuid7(moment),
                sent_at=moment,
                settled_at=moment,
                account=line.account,
                team=key.allocation.team,
                key_id=key.pk,
                provider=model.provider,
                model=model,
                rate=model.rates.get(approved_at__isnull=False),
                model_asked=model.name,
                surface="chat/completions",
                streamed=False,
                input_tokens=uncached,
                cache_read_tokens=cached,
                cache_write_5m_tokens=0,
                cache_write_1h_tokens=0,
                output_tokens=out,
                reasoning_tokens=0,
                cost=Decimal(0),
                charged=Decimal(0),
                overage=Decimal(0),
                settle_kind="exact",
            )
            for _ in range(count)
        )


def roll() -> None:
    with as_owner():
        usage_roll(since=datetime.now(UTC) - timedelta(days=200))


@pytest.mark.parametrize("rolled", [False, True])
def test_a_measure_is_the_mean_call_of_each_tier_at_the_pace_of_the_period(
    stage: Stage, key: QuotaKey, rolled: bool
) -> None:
    called(stage, key, (100, 900, 50), days=29, count=2)
    called(stage, key, (401, 0, 20), days=3)
    called(stage, key, (10, 0, 5), tier=Tier.BATCH)
    if rolled:
        roll()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    found = key_measure(key, days=30, now=midnight + timedelta(days=1))

    standard, batch = found.tiers
    # 2,401 tokens in and 120 out over three calls in thirty days: up to the next token.
    assert (standard.tier, standard.calls, standard.input, standard.cached, standard.output) == (
        Tier.STANDARD,
        3,
        801,
        600,
        40,
    )
    assert (standard.median_input, standard.median_output) == (1000, 50)
    # A month is 30.4375 days: 3.04375 calls, up to the next one.
    assert (standard.calls_a_month, batch.calls_a_month) == (4, 2)
    assert (found.calls, found.batch_share) == (4, Decimal("0.25"))


def test_a_young_key_is_measured_from_its_first_call_on(stage: Stage, key: QuotaKey) -> None:
    called(stage, key, (100, 0, 50), days=9, count=20)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    found = key_measure(key, days=90, now=midnight + timedelta(days=1))

    # Twenty calls in ten days.
    assert (found.since, found.tiers[0].calls_a_month) == (midnight - timedelta(days=9), 61)


def test_calls_before_the_period_and_of_other_keys_do_not_count(stage: Stage, company: Company, key: QuotaKey) -> None:
    other, _ = key_issue(actor=company.ana, allocation=key.allocation, name="triage-test")
    called(stage, other, (9999, 0, 9999))
    called(stage, key, (9999, 0, 9999), days=40)
    called(stage, key, (100, 0, 50), days=1)

    [use] = key_measure(key, days=7).tiers

    assert (use.calls, use.input, use.median_input) == (1, 100, 100)


def test_the_page_says_how_many_calls_it_rests_on_and_as_of_when(
    stage: Stage, company: Company, key: QuotaKey, pitch: Pitch
) -> None:
    called(stage, key, (100, 900, 50), days=1, count=4)

    answer = company.client(company.bo).get(of(f"items/from-key/?key={key.pk}&days=30", pitch))

    assert_readable(answer)
    [row] = rows(answer, "Usage, table")
    assert [row[0], row[1], *row[3:6]] == ["Standard", "4", "1,000 median 1,000", "900", "50 median 50"]
    assert "4 calls from" in page_of(answer).one("main").text


def test_a_row_is_filled_in_and_says_that_it_was_measured(
    stage: Stage, company: Company, key: QuotaKey, pitch: Pitch
) -> None:
    called(stage, key, (100, 900, 50), count=4)
    called(stage, key, (10, 0, 5), tier=Tier.BATCH)
    data = {"key": str(key.pk), "days": "30", "version": "0"}

    answer = company.client(company.ana).post(of("items/from-key/", pitch), {**data, "tier": "standard"})

    assert answer["Location"] == of("edit/#items", pitch)
    pitch.refresh_from_db()
    [row] = rows_typed(pitch.draft, "items")
    measured = key_measure(key, days=30).tiers[0]
    assert row == {
        "workflow": "triage-prod, standard",
        "tier": "standard",
        "calls_target": str(measured.calls_a_month),
        "input_tokens": "1000",
        "cached_tokens": "900",
        "output_tokens": "50",
        "evidence": "measured",
    }
    assert PitchDraft(pitch.draft, pitch).items.is_valid()
    company.client(company.ana).post(of("items/from-key/", pitch), {**data, "version": "1", "tier": "all"})
    pitch.refresh_from_db()
    assert [row["tier"] for row in rows_typed(pitch.draft, "items")] == ["standard", "standard", "batch"]


@pytest.mark.parametrize("tier", ["frontier", "", "x"])
def test_a_tier_without_calls_fills_nothing(company: Company, key: QuotaKey, pitch: Pitch, tier: str) -> None:
    data = {"key": str(key.pk), "days": "30", "version": "0", "tier": tier}

    answer = company.client(company.ana).post(of("items/from-key/", pitch), data)

    assert answer.status_code == 422
    assert "This key used nothing there." in page_of(answer).one("main").text
    assert "No call in this period" in page_of(answer).one("main").text


def test_a_team_without_keys_is_shown_another_way(stage: Stage, company: Company) -> None:
    answer = company.client(company.ana).get(of("items/from-key/", stage.pitch()))

    assert_readable(answer)
    assert "Claims has no key yet" in page_of(answer).one("main").text


def test_keys_of_other_teams_are_not_there(company: Company, key: QuotaKey, pitch: Pitch, stage: Stage) -> None:

    theirs = services.pitch_create(actor=company.cy, round_=pitch.round, team=company.fraud, title="Fraud graph")

    answer = company.client(company.cy).get(of(f"items/from-key/?key={key.pk}&days=30", theirs))

    assert list(keys_of_team(company.fraud)) == []
    assert "triage-prod" not in page_of(answer).one("main").text
    assert company.client(company.cy).get(of(f"items/from-key/?key={key.pk}&days=30", pitch)).status_code == 404


def test_three_tiers_ask_as_often_as_one(stage: Stage, company: Company, key: QuotaKey, pitch: Pitch) -> None:
    ana, path = company.client(company.ana), of(f"items/from-key/?key={key.pk}&days=30", pitch)
    called(stage, key, (100, 0, 50))
    before = queries_of(ana, path)
    for tier in (Tier.ECONOMY, Tier.BATCH):
        called(stage, key, (100, 0, 50), tier=tier)

    assert queries_of(ana, path) == before
