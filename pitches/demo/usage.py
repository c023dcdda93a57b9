"""Two weeks of calls on the allocations of the settled round.

The hook that meters calls stamps the time of the call itself, so calls of the past are written as its owner would
have: records, and on the quotas of line and key the sum of what they were charged.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import partial

from allocations.metering.types import Tokens
from allocations.models import Allocation, AllocationLine, Quota, QuotaKey
from allocations.services import key_issue
from ledger.ids import uuid7
from ledger.models import AiModel, Rate, SettleKind, UsageRecord
from ledger.rating import cost
from ledger.selectors import rate_in_force
from ledger.services import usage_post
from pitches.demo.people import Company
from teams.models import User

DAYS = 14
WEEKEND = 5  # Saturday's number; nobody works


@dataclass(frozen=True)
class Habit:
    """How a team uses one line: which model, how many calls on a working day in which hours (UTC), which tokens."""

    team: str
    key: str
    tier: str
    model: str
    calls: int
    tokens: tuple[int, int, int]
    workflow: str
    hours: tuple[int, ...]


HABITS = (
    Habit("Claims", "triage-prod", "standard", "sandbox-standard", 120, (45_000, 30_000, 1500), "sort", (9, 14)),
    Habit("Claims", "triage-night", "batch", "sandbox-batch", 30, (45_000, 30_000, 1500), "sort", (2,)),
    Habit("Legal", "contracts", "frontier", "sandbox-frontier", 40, (90_000, 60_000, 4000), "deviations", (10,)),
    Habit("Legal", "contracts", "standard", "sandbox-standard", 35, (12_000, 4000, 2500), "letter", (11,)),
    Habit(
        "IT platforms",
        "migration",
        "frontier",
        "sandbox-frontier",
        100,
        (300_000, 220_000, 16_000),
        "translate",
        (8, 15),
    ),
    Habit("IT platforms", "migration", "standard", "sandbox-standard", 40, (60_000, 45_000, 5000), "tests", (16,)),
)


def usage_make(company: Company, allocations: dict[str, Allocation], models: dict[str, AiModel], system: User) -> None:
    """Issue the teams' keys, write two weeks of calls and post them to the ledger."""
    dice = random.Random(20)  # noqa: S311 - a believable pattern, the same every time
    now = datetime.now(UTC)
    first = datetime.combine((now - timedelta(days=DAYS)).date(), time.min, UTC)
    keys: dict[tuple[str, str], QuotaKey] = {}
    for habit in HABITS:
        allocation, lead = allocations[habit.team], company.lead(habit.team)
        place = (habit.team, habit.key)
        if place not in keys:
            keys[place], _ = key_issue(actor=lead, allocation=allocation, name=habit.key)
        _write(habit, allocation, keys[place], models[habit.model], dice, first, now)
    usage_post(actor=system, since=first)


def _write(
    habit: Habit,
    allocation: Allocation,
    key: QuotaKey,
    model: AiModel,
    dice: random.Random,
    first: datetime,
    now: datetime,
) -> None:
    line = AllocationLine.objects.select_related("account", "quota", "allocation__team").get(
        allocation=allocation, tier=habit.tier
    )
    rate = rate_in_force(model, first)
    if rate is None:
        raise LookupError(f"{model} has no rate on {first}")
    record = partial(_record, habit, line, key, rate, dice)
    room = (line.quota.limit or Decimal(0)) * Decimal("0.97")
    records: list[UsageRecord] = []
    for moment in _moments(habit, dice, first, now):
        made = record(moment)
        if made.charged > room:
            break  # the line is as good as empty; from here on its calls fall to a cheaper tier
        room -= made.charged
        records.append(made)
    UsageRecord.objects.bulk_create(records, batch_size=2000)
    spent = sum((made.charged for made in records), Decimal(0))
    Quota.objects.filter(pk=line.quota.pk).update(spent=spent)
    quota = Quota.objects.get(key=key)
    Quota.objects.filter(pk=quota.pk).update(spent=quota.spent + spent)


def _moments(habit: Habit, dice: random.Random, first: datetime, now: datetime) -> list[datetime]:
    days = [first + timedelta(days=day) for day in range(DAYS + 1)]
    moments = [
        day + timedelta(hours=dice.choice(habit.hours), seconds=dice.uniform(0, 3500))
        for day in days
        if day.weekday() < WEEKEND
        for _ in range(int(habit.calls * dice.uniform(0.8, 1.2)))
    ]
    return sorted(moment for moment in moments if moment < now - timedelta(minutes=1))


def _record(
    habit: Habit,
    line: AllocationLine,
    key: QuotaKey,
    rate: Rate,
    dice: random.Random,
    moment: datetime,
) -> UsageRecord:
    model, allocation = rate.model, line.allocation
    tokens_in, cached, out = (int(count * dice.uniform(0.7, 1.3)) for count in habit.tokens)
    tokens = Tokens(input=max(tokens_in - cached, 0), cache_read=cached, output=out)
    charged = cost(rate, tokens)
    return UsageRecord(
        request_id=uuid7(moment),
        sent_at=moment,
        settled_at=moment + timedelta(seconds=dice.uniform(1, 40)),
        account=line.account,
        team=allocation.team,
        key_id=key.pk,
        provider_id=model.provider_id,
        model=model,
        rate=rate,
        model_asked=model.name,
        model_returned=model.name,
        surface="chat/completions",
        streamed=dice.random() < 0.5,
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cache_read,
        cache_write_5m_tokens=0,
        cache_write_1h_tokens=0,
        output_tokens=tokens.output,
        reasoning_tokens=0,
        cost=charged,
        charged=charged,
        overage=Decimal(0),
        settle_kind=SettleKind.EXACT,
        upstream_id=f"chatcmpl-demo{dice.getrandbits(40):010x}",
        tags={"workflow": habit.workflow},
    )
