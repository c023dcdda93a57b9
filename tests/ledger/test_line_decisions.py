"""Decisions about lines: alone up to a size, by two beyond it, and never about other figures than were seen."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from ledger.models import (
    Account,
    Attribution,
    DecisionState,
    LineDecision,
    Outcome,
    ReconciliationLine,
    ReconciliationPolicy,
)
from ledger.selectors import balance
from ledger.services.line_decisions import (
    alone_to_variance,
    line_decision_approve,
    line_decision_refuse,
    line_decision_withdraw,
    lines_decide,
)
from ledger.services.reconciliation import policy_set
from ledger.waiting import things_waiting
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent
from tests.budget import Budget
from tests.ledger.reported import Reports, day_ago, open_reports, said

pytestmark = pytest.mark.django_db

WHY = "Their invoice says so too"


@pytest.fixture
def reports(budget: Budget) -> Reports:
    """Let the provider charge 8 dollars where 2 were metered, three days ago, and 5 for nothing that anybody knows."""
    found = open_reports(budget)
    row = found.used(2, ago=5)
    found.says(row | {"amount": "10"}, said(4, 0, model_name="", requests=0, amount="5", charge="minimum"))
    found.reconciled()
    return found


def held(code: str) -> object:
    return balance(Account.objects.get(code=f"{code}:sandbox")).amount


def refusal(work: object, **given: object) -> str:
    with pytest.raises(Refused) as refused:
        work(**given)  # type: ignore[operator]
    return refused.value.code


def test_finance_sends_small_differences_to_variance_alone_and_sees_it_at_once(reports: Reports) -> None:
    hana, lines = reports.budget.company.hana, reports.lines()
    assert [(line.outcome, line.is_agreed) for line in lines] == [("open", False), ("explained", False)]
    assert (held("metered"), held("billed"), held("variance")) == (2, 0, 0)

    decision = lines_decide(actor=hana, lines=lines, attribution=Attribution.VARIANCE, reason=WHY)

    assert (decision.state, decision.to_variance, decision.decided_by) == (DecisionState.APPROVED, Decimal(13), None)
    assert [(line.outcome, line.causes, line.is_agreed) for line in reports.lines()] == 2 * [
        ("explained", ["decided"], True)
    ]
    assert (held("metered"), held("billed"), held("variance")) == (0, 15, -13)
    verbs = AuditEvent.objects.filter(object_type="ledger.linedecision").order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["line_decision.propose", "line_decision.approved"]
    assert refusal(lines_decide, actor=hana, lines=reports.lines(), attribution="variance", reason=WHY) == "not_open"


def test_the_allocation_lines_that_used_the_model_take_what_is_sent_to_them(reports: Reports) -> None:
    line = reports.budget.line.account
    before, lines = balance(line).amount, reports.lines()

    decision = lines_decide(actor=reports.budget.company.hana, lines=lines, attribution=Attribution.LINES, reason=WHY)

    # Nobody used a minimum: that part goes to Variance all the same, and counts as such.
    assert decision.to_variance == Decimal(5)
    assert (before - balance(line).amount, held("variance")) == (Decimal(8), -5)


def test_above_the_threshold_a_second_person_approves(reports: Reports) -> None:
    company, lines = reports.budget.company, reports.lines()
    threshold = ReconciliationPolicy(provider=reports.provider, second_person_above=Decimal("12.99"))
    policy_set(actor=company.hana, policy=threshold, reason="We look twice")
    reports.reconciled()

    decision = lines_decide(actor=company.hana, lines=lines, attribution=Attribution.VARIANCE, reason=WHY)
    assert (decision.state, held("billed")) == (DecisionState.PROPOSED, 0)
    assert refusal(lines_decide, actor=company.lou, lines=lines[:1], attribution="variance", reason=WHY) == "line_waits"
    titles = [thing.title for thing in things_waiting()]
    assert f"Decide on {decision}: 2 lines of sandbox" in titles
    with pytest.raises(NotAllowed):
        line_decision_approve(actor=company.hana, decision=decision)
    with pytest.raises(NotAllowed):
        line_decision_withdraw(actor=company.lou, decision=decision)

    approved = line_decision_approve(actor=company.lou, decision=decision)

    assert (approved.state, approved.decided_by) == (DecisionState.APPROVED, company.lou)
    assert (held("metered"), held("billed"), held("variance")) == (0, 15, -13)
    with pytest.raises(WrongState):
        line_decision_refuse(actor=company.lou, decision=decision, reason="Not this way, please")


def test_many_small_decisions_of_one_month_count_as_one_large(reports: Reports) -> None:
    company, lines = reports.budget.company, reports.lines()
    threshold = ReconciliationPolicy(provider=reports.provider, second_person_above=Decimal(12))
    policy_set(actor=company.hana, policy=threshold, reason="We look twice")
    reports.reconciled()
    sizes = [abs(line.reported - line.metered) for line in lines]
    assert (len(sizes), sum(sizes), max(sizes) <= 12) == (2, 13, True)

    decisions = [
        lines_decide(actor=company.hana, lines=[line], attribution=Attribution.VARIANCE, reason=WHY) for line in lines
    ]

    assert [decision.state for decision in decisions] == [DecisionState.APPROVED, DecisionState.PROPOSED]
    approved = line_decision_approve(actor=company.lou, decision=decisions[1])
    assert (approved.state, held("metered")) == (DecisionState.APPROVED, 0)
    # What two people sent there is not what one sent alone.
    assert alone_to_variance(reports.provider, company.hana) == sizes[0]
    with pytest.raises(DatabaseError, match="a second person approves that"), transaction.atomic():
        LineDecision.objects.create(
            provider=reports.provider,
            attribution=Attribution.VARIANCE,
            reason=WHY,
            state=DecisionState.APPROVED,
            to_variance=12 - sizes[0] + Decimal("0.01"),
            proposed_by=company.hana,
            decided_at=datetime(2020, 1, 1, tzinfo=UTC),
        )


def test_no_program_lets_one_person_alone_send_more_to_variance(reports: Reports) -> None:
    ReconciliationPolicy.objects.create(provider=reports.provider, second_person_above=Decimal(12))
    with pytest.raises(DatabaseError, match="a second person approves that"), transaction.atomic():
        LineDecision.objects.create(
            provider=reports.provider,
            attribution=Attribution.VARIANCE,
            reason=WHY,
            state=DecisionState.APPROVED,
            to_variance=Decimal(13),
            proposed_by=reports.budget.company.hana,
        )
    assert not connection.needs_rollback


def test_what_was_decided_of_one_figure_is_not_taken_for_another(reports: Reports) -> None:
    company, seen = reports.budget.company, reports.lines()[:1]
    policy = ReconciliationPolicy(provider=reports.provider, second_person_above=Decimal(1))
    policy_set(actor=company.hana, policy=policy, reason="We look twice")
    reports.reconciled()
    decision = lines_decide(actor=company.hana, lines=seen, attribution=Attribution.VARIANCE, reason=WHY)
    reports.says(said(5, 2, amount="11"))
    reports.reconciled()

    with pytest.raises(Refused) as refused:
        line_decision_approve(actor=company.lou, decision=decision)
    assert refused.value.code == "line_changed"
    assert refused.value.message.startswith(f"sandbox tank-small, {day_ago(5)} has other figures by now")
    line_decision_refuse(actor=company.lou, decision=decision, reason="They changed it meanwhile")
    again = {"actor": company.hana, "lines": seen, "attribution": Attribution.VARIANCE, "reason": WHY}
    assert refusal(lines_decide, **again) == "line_changed"


def test_a_decision_is_withdrawn_by_who_made_it_and_needs_lines_a_reason_and_finance(reports: Reports) -> None:
    company, lines = reports.budget.company, reports.lines()
    policy_set(
        actor=company.hana,
        policy=ReconciliationPolicy(provider=reports.provider, second_person_above=Decimal(0)),
        reason="Always two",
    )
    reports.reconciled()
    to_variance = {"attribution": Attribution.VARIANCE, "reason": WHY}

    assert refusal(lines_decide, actor=company.jo, lines=lines, **to_variance) == "not_allowed"
    assert refusal(lines_decide, actor=company.hana, lines=[], **to_variance) == "no_lines"
    short = {"attribution": Attribution.VARIANCE, "reason": "ok"}
    assert refusal(lines_decide, actor=company.hana, lines=lines, **short) == "reason_missing"
    decision = lines_decide(actor=company.hana, lines=lines, attribution=Attribution.VARIANCE, reason=WHY)
    line_decision_withdraw(actor=company.hana, decision=decision)
    assert LineDecision.objects.get().state == DecisionState.WITHDRAWN
    assert ReconciliationLine.objects.filter(outcome=Outcome.OPEN).count() == 1
