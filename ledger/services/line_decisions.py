"""What people of finance decide about lines that no rule settles, and the second person where it takes two.

A decision pins each line's revision and difference: what was decided about one figure is not taken for another. The
decision is a transaction of its own; the run that judges and posts its lines follows at once, day by day.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction

from ledger.models import (
    Attribution,
    DecidedLine,
    DecisionState,
    LineDecision,
    Outcome,
    Provider,
    ReconciliationLine,
    ReconciliationPolicy,
    UsageDay,
)
from ledger.providers.base import Span
from ledger.reconciliation.again import lines_ask_again
from ledger.services.reconciliation import reconcile
from teams.access import require
from teams.errors import SHORTEST_REASON, Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record

log = logging.getLogger(__name__)
ZERO = Decimal(0)
MOST = 500  # lines of one decision, which are locked together
ANOTHER = "A decision about lines is approved by another person of finance."


def lines_decide(
    *, actor: User, lines: Sequence[ReconciliationLine], attribution: Attribution, reason: str
) -> LineDecision:
    """Decide where the differences of lines go: of open ones, and of explained ones that nobody takes.

    `lines` are as the person saw them, all of one provider. What goes to Variance (its size, in the provider's
    currency) is approved at once, and the lines' days are reconciled, as long as this person alone has not sent more
    there in the calendar month than the policy's `second_person_above`; above that it waits for a second person. A run
    that is refused changes nothing of the decision: the next one does it. Raises NotAllowed, Refused (reason_missing,
    no_lines, too_many, providers_differ, line_changed, not_open, line_waits).
    """
    require(actor, "ledger.judge_reconciliation", message="Only finance decides about lines.")
    require_reason(reason, f"Say why, in {SHORTEST_REASON} characters or more.", least=SHORTEST_REASON)
    decision = _decide(actor, lines, Attribution(attribution), reason.strip())
    if decision.state == DecisionState.APPROVED:
        _run(actor, decision)
    return decision


@transaction.atomic
def _decide(actor: User, lines: Sequence[ReconciliationLine], attribution: Attribution, reason: str) -> LineDecision:
    locked = _locked_lines(lines)
    provider = locked[0].provider
    # What finance has not said is written down before it is relied upon: the database asks the row. Who decides twice
    # at once takes turns there.
    ReconciliationPolicy.objects.get_or_create(provider=provider)
    policy = ReconciliationPolicy.objects.select_for_update(no_key=True).get(provider=provider)
    size = variance_of(locked, attribution)
    is_small = size + alone_to_variance(provider, actor) <= policy.second_person_above
    decision = LineDecision.objects.create(
        provider=provider,
        attribution=attribution,
        reason=reason,
        state=DecisionState.APPROVED if is_small else DecisionState.PROPOSED,
        to_variance=size,
        proposed_by=actor,
        decided_at=datetime.now(UTC) if is_small else None,
    )
    DecidedLine.objects.bulk_create(
        DecidedLine(decision=decision, line=line, revision=line.revision, difference=line.reported - line.metered)
        for line in locked
    )
    details = {"attribution": attribution.value, "lines": len(locked), "to_variance": str(size)}
    audit_record(actor=actor, verb="line_decision.propose", target=decision, reason=reason, details=details)
    if is_small:
        _ask_again(decision)
        audit_record(actor=actor, verb="line_decision.approved", target=decision, details={"alone": True})
    return decision


def _locked_lines(lines: Sequence[ReconciliationLine]) -> list[ReconciliationLine]:
    """Lock the lines and check that each is still as it was seen, and waits for a person."""
    if not lines:
        raise Refused("Choose a line.", code="no_lines")
    if len(lines) > MOST:
        raise Refused(f"Decide about {MOST} lines at most at a time.", code="too_many")
    seen = {line.pk: line.revision for line in lines}
    rows = ReconciliationLine.objects.select_for_update(of=("self",)).select_related("provider", "provider_key")
    locked = list(rows.filter(pk__in=seen).order_by("pk"))
    if len({line.provider_id for line in locked}) != 1:
        raise Refused("Decide about lines of one provider at a time.", code="providers_differ")
    for line in locked:
        _require_as_seen(line, seen[line.pk])
        if not is_to_decide(line):
            raise Refused(f"{line_name(line)} does not wait for a decision.", code="not_open")
    _require_no_other(locked)
    return locked


def _require_as_seen(line: ReconciliationLine, revision: int) -> None:
    if line.revision != revision:
        raise Refused(
            f"{line_name(line)} has other figures by now: look at it again, then decide.", code="line_changed"
        )


def _require_no_other(lines: Iterable[ReconciliationLine]) -> None:
    rows = DecidedLine.objects.filter(line__in=[line.pk for line in lines], decision__state=DecisionState.PROPOSED)
    other = rows.select_related("decision", "line__provider", "line__provider_key").order_by("pk").first()
    if other is not None:
        raise Refused(f"{line_name(other.line)} waits for a second person in {other.decision}.", code="line_waits")


def is_to_decide(line: ReconciliationLine) -> bool:
    """Say whether a line waits for a person: it is open, or it is explained and nobody takes its difference."""
    return line.outcome == Outcome.OPEN or (line.outcome == Outcome.EXPLAINED and not line.is_agreed)


def line_name(line: ReconciliationLine) -> str:
    """Name a line for people: provider, model or charge, day, and the key where it is not the gateway's."""
    key = f", key {line.provider_key}" if line.provider_key else ""
    return f"{line.provider.name} {line.model_name or line.charge}, {line.day}{key}"


def variance_of(lines: Sequence[ReconciliationLine], attribution: Attribution) -> Decimal:
    """Return the size of what a decision sends to Variance, differences of either sign added up, in the currency.

    What is to go to allocation lines goes to Variance too where no line used the model on that day.
    """
    used = _used(lines) if attribution == Attribution.LINES else set()
    rows = [line for line in lines if (line.provider_id, line.day, line.model_id) not in used]
    return sum((abs(line.reported - line.metered) for line in rows), ZERO)


def _used(lines: Iterable[ReconciliationLine]) -> set[tuple[int, date, int | None]]:
    asked = list(lines)
    rows = UsageDay.objects.filter(
        provider__in={line.provider_id for line in asked},
        day__in={line.day for line in asked},
        model__in={line.model_id for line in asked if line.model_id},
    )
    return set(rows.values_list("provider_id", "day", "model_id").distinct())


def line_decision_approve(*, actor: User, decision: LineDecision) -> LineDecision:
    """Approve another person's decision, and reconcile the days of its lines at once.

    Raises NotAllowed (also for one's own), WrongState, Refused (line_changed, not_open).
    """
    approved = _approve(actor, decision)
    _run(actor, approved)
    return approved


@transaction.atomic
def _approve(actor: User, decision: LineDecision) -> LineDecision:
    locked = _locked(decision)
    require(actor, "ledger.decide_line", locked, message=ANOTHER)
    rows = ReconciliationLine.objects.select_for_update(of=("self",)).select_related("provider", "provider_key")
    lines = {line.pk: line for line in rows.filter(decided__decision=locked).order_by("pk")}
    for decided in locked.lines.all():
        line = lines[decided.line_id]
        _require_as_seen(line, decided.revision)
        if not is_to_decide(line):
            raise Refused(f"{line_name(line)} does not wait for a decision any more.", code="not_open")
    _end(locked, DecisionState.APPROVED, actor)
    _ask_again(locked)
    return locked


@transaction.atomic
def line_decision_refuse(*, actor: User, decision: LineDecision, reason: str) -> LineDecision:
    """Refuse another person's decision; its lines stay. Raises NotAllowed, WrongState, Refused (reason_missing)."""
    locked = _locked(decision)
    require(actor, "ledger.decide_line", locked, message=ANOTHER)
    require_reason(reason, f"Say why, in {SHORTEST_REASON} characters or more.", least=SHORTEST_REASON)
    return _end(locked, DecisionState.REFUSED, actor, reason.strip())


@transaction.atomic
def line_decision_withdraw(*, actor: User, decision: LineDecision) -> LineDecision:
    """Take back one's own decision before it is approved. Raises NotAllowed, WrongState."""
    locked = _locked(decision)
    require(actor, "ledger.withdraw_line_decision", locked, message="Only who proposed a decision takes it back.")
    return _end(locked, DecisionState.WITHDRAWN, actor)


def _locked(decision: LineDecision) -> LineDecision:
    rows = LineDecision.objects.select_for_update(of=("self",)).select_related("provider", "proposed_by")
    locked = rows.get(pk=decision.pk)
    if locked.state != DecisionState.PROPOSED:
        raise WrongState(f"{locked} is decided already: {locked.get_state_display().lower()}.")
    return locked


def _end(decision: LineDecision, state: DecisionState, actor: User, reason: str = "") -> LineDecision:
    decision.state, decision.decided_by, decision.decided_at = state, actor, datetime.now(UTC)
    decision.decision_reason = reason
    decision.save(update_fields=["state", "decided_by", "decided_at", "decision_reason"])
    audit_record(actor=actor, verb=f"line_decision.{state.value}", target=decision, reason=reason)
    return decision


def _ask_again(decision: LineDecision) -> None:
    """Have the lines of an approved decision judged by it in the run that follows."""
    rows = ReconciliationLine.objects.filter(decided__decision=decision)
    lines_ask_again(ReconciliationLine.objects.filter(pk__in=rows.values("pk")))


def _run(actor: User, decision: LineDecision) -> None:
    """Reconcile exactly the days of a decision's lines; what is refused, such as a closed year, the next run tries."""
    try:
        for span in _spans(decision):
            reconcile(actor=actor, provider=decision.provider, span=span)
    except Refused as error:
        log.warning("%s is approved, and the run after it was refused: %s", decision, error.message)


def _spans(decision: LineDecision) -> list[Span]:
    """Return the days of a decision's lines, days that follow one another as one span."""
    days = decision.lines.order_by("line__day").values_list("line__day", flat=True).distinct()
    spans: list[Span] = []
    for day in days:
        if spans and spans[-1].last + timedelta(days=1) == day:
            spans[-1] = Span(spans[-1].first, day)
        else:
            spans.append(Span(day, day))
    return spans


def alone_to_variance(provider: Provider, person: User) -> Decimal:
    """Return what a person has sent to Variance alone in this calendar month (UTC), its size in the currency."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_alone_to_variance(%s, %s, now())", [provider.pk, person.pk])
        amount: Decimal = cursor.fetchone()[0]
    return amount
