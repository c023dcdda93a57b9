"""Gathering what may explain a line, many lines at a time, and writing down how each ended."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from ledger.models import (
    TOKEN_CLASSES,
    Account,
    Attribution,
    DecidedLine,
    DecisionState,
    KeyStanding,
    LineAttribution,
    Outcome,
    Provider,
    ProviderKey,
    Rate,
    ReconciliationLine,
    ReconciliationPolicy,
)
from ledger.money import plain
from ledger.providers.base import Span
from ledger.reconciliation.above import HeldCalls, hot_path
from ledger.reconciliation.causes import Facts, Held, Part, Policy, RateRow, Side, Verdict, judge
from ledger.selectors.journal import today

AT_ONCE = 500
Shares = dict[int, Decimal]
Place = tuple[date, int]  # a day, and a model

# The parts of what is reported for a model on a day, by service tier; tokens from where tokens come from.
PARTS = """
SELECT g.day, n.model_id, g.token_class, g.service_tier, g.is_batch,
       sum(g.input_tokens)::bigint, sum(g.cache_read_tokens)::bigint, sum(g.cache_write_5m_tokens)::bigint,
       sum(g.cache_write_1h_tokens)::bigint, sum(g.output_tokens)::bigint, sum(g.amount), f.gives_tokens, f.gives_money
  FROM unnest(%(days)s::date[], %(models)s::bigint[]) p (day, model_id)
  JOIN ledger_providermodelname n ON n.provider_id = %(provider)s AND n.model_id = p.model_id
  JOIN ledger_feed f ON f.provider_id = %(provider)s AND f.is_enabled
  JOIN ledger_feedfigure g ON g.feed_id = f.id AND g.day = p.day AND g.model_name = n.name
   AND g.superseded_by_id IS NULL
  LEFT JOIN ledger_providerkey k ON k.provider_id = %(provider)s AND k.external_id = g.provider_key
 WHERE g.charge = 'tokens' AND (k.id IS NULL OR k.standing = 'gateway')
 GROUP BY g.day, n.model_id, g.token_class, g.service_tier, g.is_batch, f.gives_tokens, f.gives_money
 ORDER BY 1, 2, 3, 4, 5
"""
USED = """
SELECT u.day, u.model_id, u.account_id, sum(u.cost)
  FROM unnest(%(days)s::date[], %(models)s::bigint[]) p (day, model_id)
  JOIN ledger_usageday u ON u.day = p.day AND u.model_id = p.model_id AND u.provider_id = %(provider)s
 GROUP BY 1, 2, 3
"""
# Calls whose usage is no figure of the provider's, by the day that they were sent on and the line that pays.
ESTIMATED = """
SELECT p.day, p.model_id, u.account_id, u.settle_kind = 'by_hand', count(*), sum(u.input_tokens)::bigint,
       sum(u.cache_read_tokens)::bigint, sum(u.cache_write_5m_tokens)::bigint, sum(u.cache_write_1h_tokens)::bigint,
       sum(u.output_tokens)::bigint, sum(u.cost)
  FROM unnest(%(days)s::date[], %(models)s::bigint[]) p (day, model_id)
  JOIN ledger_usagerecord u ON u.provider_id = %(provider)s AND u.model_id = p.model_id AND u.settle_kind <> 'exact'
   AND (u.settled_at >= p.day AND u.settled_at < p.day + 1 OR u.sent_at >= p.day AND u.sent_at < p.day + 1
        AND (u.sent_at AT TIME ZONE 'UTC')::date <> (u.settled_at AT TIME ZONE 'UTC')::date)
   AND (u.sent_at AT TIME ZONE 'UTC')::date = p.day
 GROUP BY 1, 2, 3, 4
"""


@dataclass
class Around:
    """What is known around the lines that are judged together."""

    policy: Policy
    variance: int
    gateway_keys: tuple[str, ...]
    rates: dict[int, list[RateRow]] = field(default_factory=dict)
    parts: dict[Place, list[Part]] = field(default_factory=dict)
    used: dict[Place, Shares] = field(default_factory=dict)
    estimated: dict[Place, list[tuple[Any, ...]]] = field(default_factory=dict)
    held: dict[tuple[date, str], list[HeldCalls]] = field(default_factory=dict)
    gaps: dict[Place, dict[str, int]] = field(default_factory=dict)
    decided: dict[int, DecidedLine] = field(default_factory=dict)


def lines_judge(provider: Provider, span: Span) -> int:
    """Judge the lines of a provider's days that nobody has judged; returns how many were."""
    judged = 0
    around = _about(provider)
    while lines := list(_unjudged(provider, span)[:AT_ONCE]):
        judged += _judge(provider, lines, around)
    return judged


def policy_of(provider: Provider) -> ReconciliationPolicy:
    """Return what finance lets pass for a provider; where it said nothing, the defaults."""
    return ReconciliationPolicy.objects.filter(provider=provider).first() or policy_default(provider)


def policy_default(provider: Provider) -> ReconciliationPolicy:
    """Return what passes for a provider of which finance said nothing."""
    return ReconciliationPolicy(
        provider=provider, tolerance=Decimal("0.01"), tolerance_share=Decimal("0.001"), second_person_above=Decimal(100)
    )


def _unjudged(provider: Provider, span: Span) -> Any:
    rows = ReconciliationLine.objects.filter(provider=provider, outcome=Outcome.NEW, day__range=(span.first, span.last))
    return rows.select_related("model", "provider_key").order_by("day", "pk")


def _about(provider: Provider) -> Around:
    policy = policy_of(provider)
    keys = ProviderKey.objects.filter(provider=provider, standing=KeyStanding.GATEWAY).order_by("pk")
    return Around(
        Policy(policy.tolerance, policy.tolerance_share, policy.days_to_wait),
        variance=Account.objects.get(code=f"variance:{provider.name}").pk,
        gateway_keys=tuple(str(key) for key in keys),
    )


@transaction.atomic
def _judge(provider: Provider, lines: Sequence[ReconciliationLine], around: Around) -> int:
    _gather(provider, lines, around)
    attributions = []
    for line in lines:
        verdict = judge(facts_of(line, around))
        _write_on(line, verdict)
        attributions += [
            LineAttribution(line=line, account_id=account, amount=amount, rule=rule)
            for account, amount, rule in verdict.attributions
        ]
    written = ("outcome", "causes", "explanations", "unexplained", "is_agreed", "judged_at")
    LineAttribution.objects.filter(line__in=lines).delete()
    ReconciliationLine.objects.bulk_update(lines, written, batch_size=AT_ONCE)
    LineAttribution.objects.bulk_create(attributions, batch_size=AT_ONCE)
    return len(lines)


def _write_on(line: ReconciliationLine, verdict: Verdict) -> None:
    line.outcome, line.is_agreed, line.unexplained = verdict.outcome, verdict.is_agreed, verdict.unexplained
    line.causes = sorted({one.cause.value for one in verdict.explanations})
    line.explanations = [
        {"cause": one.cause.value, "amount": plain(one.amount), "evidence": one.evidence, "rule": one.rule.value}
        for one in verdict.explanations
    ]
    line.judged_at = datetime.now(UTC)


def facts_of(line: ReconciliationLine, around: Around) -> Facts:
    """Return a line and what may explain it."""
    key, place = line.provider_key, (line.day, line.model_id or 0)
    rate, others = _rates(around.rates.get(line.model_id or 0, []), line.day)
    used = around.used.get(place, {})
    doubtful = around.estimated.get(place, [])
    estimated, settled = [row for row in doubtful if not row[3]], [row for row in doubtful if row[3]]
    decided = around.decided.get(line.pk)
    tier = line.model.tier if line.model else ""
    return Facts(
        day=line.day,
        today=today(),
        policy=around.policy,
        metered=_side(line, "metered", line.metered_records),
        reported=_side(line, "reported", line.reported_requests),
        charge=line.charge,
        has_tokens=line.has_tokens,
        has_money=line.has_money,
        is_complete=line.is_complete,
        is_known_model=line.model_id is not None,
        key=str(key) if key else "",
        key_standing=key.standing if key else KeyStanding.GATEWAY,
        key_account=key.account_id if key else None,
        gateway_keys=around.gateway_keys,
        rate=rate,
        other_rates=others,
        parts=tuple(around.parts.get(place, [])),
        estimated_calls=sum(row[4] for row in estimated),
        estimated=_tokens_of(estimated),
        estimated_by=_shares((row[2], row[10]) for row in estimated),
        held=tuple(Held(h.account_id, h.amount, h.words) for h in around.held.get((line.day, tier), [])),
        before=around.gaps.get((line.day - timedelta(days=1), line.model_id or 0), {}),
        after=around.gaps.get((line.day + timedelta(days=1), line.model_id or 0), {}),
        used_by=used,
        used_by_both={day: _shares([*used.items(), *around.used.get((day, line.model_id or 0), {}).items()])
                      for day in (line.day - timedelta(days=1), line.day + timedelta(days=1))},
        decided=decided.difference if decided else None,
        decided_words=f"{decided.decision}: {decided.decision.reason}" if decided else "",
        decided_to=_decided_to(decided, used, around.variance) if decided else {},
        settled_lost=sum(row[4] for row in settled),
        settled_tokens=_tokens_of(settled),
        settled_cost=sum((row[10] for row in settled), Decimal(0)),
        settled_by=_shares((row[2], row[10]) for row in settled),
        variance=around.variance,
    )  # fmt: skip


def _tokens_of(rows: Sequence[tuple[Any, ...]]) -> dict[str, int]:
    """Return the tokens by class of rows of `ESTIMATED`."""
    return {name: sum(row[5 + n] for row in rows) for n, name in enumerate(TOKEN_CLASSES)}


def _side(line: ReconciliationLine, name: str, calls: int) -> Side:
    tokens = {one: getattr(line, f"{name}_{one}") for one in TOKEN_CLASSES}
    return Side(calls, {one: count for one, count in tokens.items() if count}, getattr(line, name))


def _decided_to(decided: DecidedLine, used: Shares, variance: int) -> Shares:
    """Return who takes what was decided; where nobody used the model that day, Variance does."""
    to_lines = decided.decision.attribution == Attribution.LINES and used
    return used if to_lines else {variance: Decimal(1)}


def _rates(rows: Sequence[RateRow], day: date) -> tuple[RateRow | None, tuple[RateRow, ...]]:
    """Return the row in force at the end of a day, and the others, the latest first."""
    latest = sorted(rows, key=lambda row: (row.valid_from, row.pk), reverse=True)
    ours = next((row for row in latest if row.valid_from <= day), None)
    return ours, tuple(row for row in latest if ours is None or row.pk != ours.pk)


def _shares(rows: Iterable[tuple[int, Decimal]]) -> Shares:
    shares: Shares = {}
    for account, amount in rows:
        shares[account] = shares.get(account, Decimal(0)) + amount
    return shares


# --- Gathering ----------------------------------------------------------------------------------


def _gather(provider: Provider, lines: Sequence[ReconciliationLine], around: Around) -> None:
    """Read what may explain these lines, in as many queries for five hundred of them as for one."""
    gateway = [line for line in lines if line.model_id and line.provider_key_id is None]
    places = sorted({(line.day, line.model_id or 0) for line in gateway})
    near = sorted({(day + timedelta(days=n), model) for day, model in places for n in (-1, 0, 1)})
    around.rates = _rates_of({model for _day, model in places})
    around.parts = _parts(provider, places, {line.day for line in lines if line.has_tokens})
    around.decided = _decided(lines)
    # What was decided goes by the day's use too, of whatever key the line is and whichever lines stand beside it.
    theirs = {(line.day, line.model_id) for line in lines if line.model_id and line.pk in around.decided}
    around.used = _used(provider, sorted({*near, *theirs}))
    doubtful = sorted({(line.day, line.model_id or 0) for line in gateway if line.metered_estimated})
    around.estimated = _by_place(ESTIMATED, provider, doubtful)
    around.held = _held({line.day for line in gateway})
    around.gaps = _gaps(provider, near)


def _by_place(query: str, provider: Provider, places: Sequence[Place]) -> dict[Place, list[tuple[Any, ...]]]:
    found: dict[Place, list[tuple[Any, ...]]] = {}
    if not places:
        return found
    facts: dict[str, Any] = {
        "provider": provider.pk,
        "days": [day for day, _ in places],
        "models": [model for _, model in places],
    }
    with connection.cursor() as cursor:
        cursor.execute(query, facts)
        for row in cursor.fetchall():
            found.setdefault((row[0], row[1]), []).append(row)
    return found


def _used(provider: Provider, places: Sequence[Place]) -> dict[Place, Shares]:
    rows = _by_place(USED, provider, places)
    return {place: {row[2]: row[3] for row in sorted(found)} for place, found in rows.items()}


def _parts(provider: Provider, places: Sequence[Place], by_tokens: set[date]) -> dict[Place, list[Part]]:
    found: dict[Place, list[Part]] = {}
    for (day, model), rows in _by_place(PARTS, provider, places).items():
        for _d, _m, token_class, tier, is_batch, *counts, amount, gives_tokens, gives_money in rows:
            # Tokens of a feed of money count only where there is no feed of tokens.
            tokens = dict(zip(TOKEN_CLASSES, counts, strict=True)) if gives_tokens or day not in by_tokens else {}
            money = amount if gives_money else Decimal(0)
            found.setdefault((day, model), []).append(Part(tokens, money, token_class, tier, is_batch))
    return found


def _rates_of(models: set[int]) -> dict[int, list[RateRow]]:
    rows: dict[int, list[RateRow]] = {}
    for rate in Rate.objects.filter(model__in=models, base=None, approved_at__isnull=False):
        prices = {name: getattr(rate, name) for name in TOKEN_CLASSES}
        rows.setdefault(rate.model_id, []).append(RateRow(rate.pk, prices, rate.valid_from.astimezone(UTC).date()))
    return rows


def _held(days: set[date]) -> dict[tuple[date, str], list[HeldCalls]]:
    found: dict[tuple[date, str], list[HeldCalls]] = {}
    for held in hot_path().held(days) if days else ():
        found.setdefault((held.day, held.tier), []).append(held)
    return found


def _gaps(provider: Provider, places: Sequence[Place]) -> dict[Place, dict[str, int]]:
    if not places:
        return {}
    rows = ReconciliationLine.objects.filter(
        provider=provider,
        provider_key=None,
        has_tokens=True,
        day__range=(places[0][0], places[-1][0]),
        model__in={model for _day, model in places},
    )
    return {(line.day, line.model_id or 0): _gap(line) for line in rows.iterator(chunk_size=AT_ONCE)}


def _gap(line: ReconciliationLine) -> dict[str, int]:
    gaps = {one: getattr(line, f"reported_{one}") - getattr(line, f"metered_{one}") for one in TOKEN_CLASSES}
    return {one: gap for one, gap in gaps.items() if gap}


def _decided(lines: Iterable[ReconciliationLine]) -> dict[int, DecidedLine]:
    """Return the latest approved decision about each line."""
    rows: Iterator[DecidedLine] = (
        DecidedLine.objects.filter(line__in=[line.pk for line in lines], decision__state=DecisionState.APPROVED)
        .select_related("decision")
        .order_by("decision_id")
        .iterator()
    )
    return {row.line_id: row for row in rows}
