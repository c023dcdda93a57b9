"""The whole way of reconciliation for a provider's days: match, judge, settle what was lost, post what is agreed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Count, Max, Min

from ledger.models import (
    Cause,
    Feed,
    FeedDay,
    KeyStanding,
    Outcome,
    Provider,
    ProviderKey,
    ReconciliationLine,
    ReconciliationPolicy,
)
from ledger.money import exact, show
from ledger.providers.base import Span
from ledger.reconciliation.again import lines_ask_again
from ledger.reconciliation.effects import effects_post
from ledger.reconciliation.judging import lines_judge
from ledger.reconciliation.lost import lost_settle, unused_release
from ledger.reconciliation.matching import lines_match
from ledger.reconciliation.names import names_resolve
from ledger.selectors.journal import today
from ledger.services.usage import usage_post
from teams.access import require
from teams.errors import Refused, require_reason
from teams.models import Role, User
from teams.selectors import people_with_role
from teams.services import audit_record, notification_send

RUN_LOCK = 7246887  # advisory, with the provider's id
SETTLED = "Settled from the provider's figures by reconciliation."
GAP = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a run did: lines that were new or changed, lines judged, entries posted, and how the lines stand now."""

    provider: str
    first: str
    last: str
    changed: int
    judged: int
    entries: int
    outcomes: dict[str, int]


def reconcile(*, actor: User, provider: Provider, span: Span | None = None) -> Reconciled:
    """Reconcile a provider's days with the figures that its feeds have brought; may run at any time, and again.

    Without a span, all days that a feed covers. Each step is a transaction of its own, so an interrupted run keeps what
    it did and the next one does the rest. Raises NotAllowed, Refused (no_figures).
    """
    require(actor, "ledger.reconcile", message="Only finance reconciles.")
    span = span or covered_span(provider)
    if span is None:
        raise Refused(f"No feed has brought figures of {provider.name} yet.", code="no_figures")
    with _alone(provider):
        return _reconcile(actor, provider, span)


@contextmanager
def _alone(provider: Provider) -> Iterator[None]:
    """Let one run at a time work on a provider, others wait: two would both judge and post the same.

    The lock goes with the process, so one that died is in nobody's way.
    """
    lock = [RUN_LOCK, provider.pk % 2**31]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", lock)
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", lock)


def _reconcile(actor: User, provider: Provider, asked: Span) -> Reconciled:
    usage_post(actor=actor)
    span = _with_unjudged(provider, asked)
    names_resolve(provider, span)
    changed = lines_match(provider, span)
    judged = lines_judge(provider, span)
    if lost_settle(actor=actor, provider=provider, span=span):
        usage_post(actor=actor)
        changed += lines_match(provider, span)
        judged += lines_judge(provider, span)
    unused_release(actor=actor, provider=provider, span=span)
    entries = effects_post(actor=actor, provider=provider, span=span)
    _unmetered_tell(provider, span)
    return Reconciled(
        provider.name, str(span.first), str(span.last), changed, judged, len(entries), outcomes_of(provider, span)
    )


def _with_unjudged(provider: Provider, span: Span) -> Span:
    """Return a span with the days before and after it whose lines are to be judged again: a key's owner may be new."""
    days = ReconciliationLine.objects.filter(provider=provider, outcome=Outcome.NEW).aggregate(
        first=Min("day"), last=Max("day")
    )
    return Span(min(span.first, days["first"] or span.first), max(span.last, days["last"] or span.last))


def covered_span(provider: Provider) -> Span | None:
    """Return the first and the last day that a feed of the provider covers; None without any."""
    days = FeedDay.objects.filter(feed__provider=provider, feed__is_enabled=True)
    first, last = days.order_by("day").first(), days.order_by("day").last()
    return Span(first.day, last.day) if first and last else None


def outcomes_of(provider: Provider, span: Span) -> dict[str, int]:
    """Return how many lines of a span ended how."""
    rows = ReconciliationLine.objects.filter(provider=provider, day__range=(span.first, span.last))
    return dict(rows.values_list("outcome").annotate(count=Count("pk")).order_by("outcome"))


# --- Telling people -----------------------------------------------------------------------------


@transaction.atomic
def _unmetered_tell(provider: Provider, span: Span) -> None:
    """Tell finance and platform admins of traffic past Tank, each key and each line of the gateway's key once."""
    keys = ProviderKey.objects.select_for_update().filter(
        provider=provider, standing=KeyStanding.UNKNOWN, told_at=None, lines__isnull=False
    )
    named = list(ProviderKey.objects.filter(pk__in=keys.values("pk")))
    lines = ReconciliationLine.objects.filter(
        provider=provider,
        day__range=(span.first, span.last),
        provider_key=None,
        causes__contains=[Cause.UNMETERED],
        told_at=None,
    )
    said = [_key_words(key) for key in named] + [_line_words(line) for line in lines]
    if not said:
        return
    for person in people_with_role(Role.FINANCE, Role.PLATFORM_ADMIN):
        notification_send(
            user=person,
            title=f"{provider.name} reports traffic that was not metered",
            body="\n".join(said),
            url="/ledger/reconciliation/keys/",
        )
    now = datetime.now(UTC)
    ProviderKey.objects.filter(pk__in=[key.pk for key in named]).update(told_at=now)
    lines.update(told_at=now)


def _key_words(key: ProviderKey) -> str:
    rows = ReconciliationLine.objects.filter(provider_key=key).order_by("day")
    cost = sum((line.reported for line in rows), exact(0))
    return f"Key {key}, of which nobody has said whose it is: {show(cost)} since {key.first_seen_on}."


def _line_words(line: ReconciliationLine) -> str:
    more = show(line.reported - line.metered, line.currency)
    return f"{line.model_name} on {line.day}, with the gateway's own key: {more} more than was metered."


# --- What finance lets pass ---------------------------------------------------------------------


@transaction.atomic
def policy_set(*, actor: User, policy: ReconciliationPolicy, reason: str) -> ReconciliationPolicy:
    """Set what finance lets pass for a provider; lines that are not agreed are judged again by the next run.

    Raises NotAllowed, Refused (reason_missing).
    """
    require(actor, "ledger.judge_reconciliation", message="Only finance says what may pass.")
    require_reason(reason)
    before = ReconciliationPolicy.objects.filter(provider=policy.provider).first()
    policy.pk = before.pk if before else None
    policy.save()
    names = ("tolerance", "tolerance_share", "second_person_above", "days_to_wait", "suspends_on_overage")
    details = {name: [str(getattr(before, name)) if before else None, str(getattr(policy, name))] for name in names}
    audit_record(actor=actor, verb="reconciliation.policy", target=policy.provider, reason=reason, details=details)
    lines_ask_again(ReconciliationLine.objects.filter(provider=policy.provider, is_agreed=False))
    return policy


def feeds_of(provider: Provider) -> list[Feed]:
    """Return the feeds of a provider that are switched on and are read over the network."""
    return [feed for feed in Feed.objects.filter(provider=provider, is_enabled=True).order_by("pk") if not feed.is_file]


def days_back(count: int) -> Span:
    """Return the last so many days with today."""
    return Span(today() - timedelta(days=count - 1), today())
