"""Rounds before they open: changed while drafts, cloned, and prepared by themselves when they recur."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from django.db import transaction
from djmoney.money import Money

from pitches.models import CommitteeSeat, Round
from pitches.selectors.rounds import committee_of
from pitches.services.asking import terms_copy
from pitches.services.locks import round_locked
from pitches.services.notices import tell_chair
from pitches.services.rounds import Calendar, Rules, calendar_set, criteria_set, require_sense, round_create, rules_set
from pitches.transitions import RoundState
from pitches.zones import moment_months_later, months_later
from teams.access import require
from teams.errors import WrongState, require_reason
from teams.models import Role, User
from teams.selectors import has_role
from teams.services import audit_record

PREPARED_AHEAD = timedelta(days=45)
"""So long before its last day for pitches a recurring round is prepared."""


@transaction.atomic
def round_edit(
    *,
    actor: User,
    round_: Round,
    name: str,
    cap: Money,
    calendar: Calendar,
    starts_on: date,
    months: int,
    time_zone: str,
    rules: Rules,
    criteria: Sequence[tuple[str, str, int]],
    recurs_months: int | None = None,
) -> Round:
    """Change a round while it is a draft; everything but its calendar is fixed when it opens.

    Raises NotAllowed, WrongState, Refused (invalid, criteria_missing) with the field that is wrong.
    """
    require(actor, "pitches.change_round", message="Only the chair or finance changes rounds.")
    round_ = round_locked(round_)
    if round_.state != RoundState.DRAFT:
        raise WrongState("What decisions rest on is fixed since the round opened.")
    round_.name, round_.cap, round_.starts_on, round_.months = name.strip(), cap.amount, starts_on, months
    round_.time_zone, round_.recurs_months = time_zone, recurs_months
    calendar_set(round_, calendar)
    rules_set(round_, rules)
    require_sense(round_, cap)
    round_.save()
    criteria_set(round_, criteria)
    audit_record(actor=actor, verb="round.edit", target=round_, details={"cap": str(round_.cap)})
    return round_


@transaction.atomic
def round_recur(*, actor: User, round_: Round, months: int | None, reason: str) -> Round:
    """Let a round come again after some months, or not any more (None); a round that was prepared already stays.

    Raises NotAllowed, Refused (reason_missing, invalid).
    """
    require(actor, "pitches.change_round", message="Only the chair or finance changes rounds.")
    round_ = round_locked(round_)
    require_reason(reason, "Give a reason; it stays in the history.")
    before, round_.recurs_months = round_.recurs_months, months
    require_sense(round_, round_.cap_money)
    round_.save()
    details = {"from": before, "to": months}
    audit_record(actor=actor, verb="round.recur", target=round_, reason=reason, details=details)
    return round_


@transaction.atomic
def round_clone(*, actor: User, round_: Round, name: str, months: int) -> Round:
    """Prepare a draft with a round's rules, criteria and committee, its dates some months later by the local clock.

    Members who lost their role are left out. Raises NotAllowed, Refused (invalid).
    """
    clone = round_create(
        actor=actor,
        name=name,
        cap=round_.cap_money,
        calendar=Calendar(*(_later(round_, field, months) for field in Calendar.__dataclass_fields__)),
        starts_on=months_later(round_.starts_on, months),
        months=round_.months,
        time_zone=round_.time_zone,
        rules=Rules(**{field: getattr(round_, field) for field in Rules.__dataclass_fields__}),
        criteria=list(round_.criteria.order_by("position").values_list("name", "question", "weight")),
        recurs_months=round_.recurs_months,
    )
    clone.cloned_from = round_
    clone.save()
    CommitteeSeat.objects.bulk_create(
        CommitteeSeat(round=clone, user=seat.user, is_chair=seat.is_chair)
        for seat in committee_of(round_)
        if has_role(seat.user, Role.COMMITTEE, Role.CHAIR)
    )
    terms_copy(actor=actor, source=round_, target=clone)
    audit_record(actor=actor, verb="round.clone", target=clone, details={"from": round_.name})
    return clone


def _later(round_: Round, field: str, months: int) -> datetime:
    return moment_months_later(getattr(round_, field), round_.time_zone, months)


def rounds_prepare_due(*, actor: User, at: datetime | None = None) -> list[Round]:
    """Prepare, as a draft, what comes after each recurring round, 45 days before its last day for pitches; once."""
    now = at or datetime.now(UTC)
    due = Round.objects.filter(recurs_months__isnull=False, repeated_by=None)
    due = due.exclude(state__in=[RoundState.DRAFT, RoundState.CANCELLED]).order_by("pk")
    prepared = [_prepare(actor, round_, now) for round_ in due]
    return [round_ for round_ in prepared if round_ is not None]


@transaction.atomic
def _prepare(actor: User, round_: Round, now: datetime) -> Round | None:
    round_ = round_locked(round_)
    months = round_.recurs_months
    if months is None or Round.objects.filter(repeats=round_).exists():
        return None
    if _later(round_, "submissions_close_at", months) - PREPARED_AHEAD > now:
        return None
    name = _next_name(round_.name, months_later(round_.starts_on, months))
    following = round_clone(actor=actor, round_=round_, name=name, months=months)
    following.repeats = round_
    following.save()
    tell_chair(following, f"{following.name} is prepared", "Check its cap, rules and calendar, then open it.")
    return following


def _next_name(name: str, starts_on: date) -> str:
    base = re.sub(r", from [A-Z][a-z]{2} \d{4}( \(\d+\))?$", "", name)[:55]
    wanted = f"{base}, from {starts_on:%b %Y}"
    taken = set(Round.objects.filter(name__startswith=wanted).values_list("name", flat=True))
    count = 2
    found = wanted
    while found in taken:
        found, count = f"{wanted} ({count})", count + 1
    return found
