"""What a provider reports, against what was metered: from the figures to the accounts."""

from datetime import date, timedelta
from decimal import Decimal

import psycopg
import pytest

from ledger.checks import breaches
from ledger.closing import checklist
from ledger.models import FeedFigure, JournalEntry, KeyStanding, Outcome, Period, ProviderKey, ReconciliationLine
from ledger.money import usd
from ledger.providers.base import Span
from ledger.reconciliation.effects import effects_post
from ledger.reconciliation.judging import lines_judge
from ledger.reconciliation.lost import UNUSED
from ledger.reconciliation.matching import lines_match
from ledger.reconciliation.names import names_resolve
from ledger.selectors import balance
from ledger.services import invoice_agree, invoice_enter, usage_roll
from ledger.services.feed_keys import key_stand
from ledger.services.reconciliation import reconcile
from teams.models import AuditEvent
from tests.cast import build_company
from tests.conftest import FreshDatabase
from tests.ledger.history import Used, last_month, noon
from tests.ledger.reconciliation.bill import Bill, balances, open_bill
from tests.ledger.reconciliation.month import hold_lost

CALL = Used(input=1_000_000, cache_read=500_000, output=200_000)  # 1 + 0.05 + 0.60 dollars on acme-small


@pytest.fixture
def bill(fresh_database: FreshDatabase, owner_connection: psycopg.Connection) -> Bill:
    return open_bill(owner_connection)


def day(number: int) -> date:
    """Return a day of the last month."""
    return last_month() + timedelta(days=number - 1)


def lines() -> dict[int, ReconciliationLine]:
    """Return the lines by day of the month."""
    return {line.day.day: line for line in ReconciliationLine.objects.order_by("day")}


def test_what_both_sides_count_alike_goes_from_metered_to_billed(bill: Bill) -> None:
    bill.used(day(2), CALL)
    bill.used(day(2), CALL, team="Green")
    bill.bills(day(2), Used(input=2_000_000, cache_read=1_000_000, output=400_000), calls=2)
    bill.fetch()

    done = reconcile(actor=bill.actor, provider=bill.provider)

    assert done.outcomes == {Outcome.MATCHED: 1}
    assert balances() == {
        "metered": Decimal(0),
        "billed": Decimal("3.30"),
        "variance": Decimal(0),
        "line Blue": Decimal("998.35"),
        "line Green": Decimal("998.35"),
    }


def test_a_second_run_posts_nothing(bill: Bill) -> None:
    bill.used(day(2), CALL)
    bill.bills(day(2), CALL, times="1.25")
    bill.fetch()
    reconcile(actor=bill.actor, provider=bill.provider)
    before = JournalEntry.objects.count()

    bill.fetch(pages=3)
    again = reconcile(actor=bill.actor, provider=bill.provider)

    assert (again.changed, again.judged, again.entries) == (0, 0, 0)
    assert JournalEntry.objects.count() == before


def test_another_price_is_named_and_charged_to_who_used_the_model(bill: Bill) -> None:
    bill.used(day(2), CALL)
    bill.used(day(2), CALL, team="Green")
    bill.used(day(2), CALL, team="Green")
    bill.bills(day(2), Used(input=3_000_000, cache_read=1_500_000, output=600_000), calls=3, times="1.25")
    bill.fetch()

    reconcile(actor=bill.actor, provider=bill.provider)

    line = lines()[2]
    rate = bill.desk().rate.pk
    assert (line.outcome, line.causes, line.is_agreed) == (Outcome.EXPLAINED, ["price"], True)
    assert line.explanations[0]["evidence"] == (
        f"Per million tokens the provider charges uncached input $1.25 (rate #{rate}: $1.00), "
        f"cached input $0.1250 (rate #{rate}: $0.10), output $3.75 (rate #{rate}: $3.00)."
    )
    assert balances() == {
        "metered": Decimal(0),
        "billed": Decimal("6.1875"),
        "variance": Decimal(0),
        "line Blue": Decimal("997.9375"),
        "line Green": Decimal("995.875"),
    }


def test_a_re_read_posts_only_the_difference_and_keeps_what_was_said_before(bill: Bill) -> None:
    bill.used(day(2), CALL)
    bill.bills(day(2), CALL, times="1.25")
    bill.fetch()
    reconcile(actor=bill.actor, provider=bill.provider)
    bill.token_rows.clear()
    bill.money_rows.clear()
    bill.bills(day(2), CALL)
    bill.fetch()

    reconcile(actor=bill.actor, provider=bill.provider)

    line = lines()[2]
    assert (line.outcome, line.revision) == (Outcome.MATCHED, 2)
    assert [(kept.revision, kept.figures["reported"]) for kept in line.revisions.all()] == [(1, 2.0625)]
    assert balances()["billed"] == Decimal("1.65")
    assert balances()["line Blue"] == Decimal("998.35")
    assert FeedFigure.objects.filter(feed=bill.money, superseded_by__isnull=False).count() == 3


def test_a_correction_that_the_line_cannot_pay_is_variance_and_stops_the_keys(bill: Bill) -> None:
    blue = bill.desk()
    bill.used(day(2), Used(input=999_000_000))
    bill.bills(day(2), Used(input=999_000_000), times="1.5")
    bill.fetch()

    reconcile(actor=bill.actor, provider=bill.provider)

    assert balances()["line Blue"] == Decimal(0)
    assert balances()["variance"] == Decimal("-498.5")
    assert balances()["billed"] == Decimal("1498.5")
    assert {key.state for key in blue.allocation.keys.all()} == {"suspended"}
    assert balance(blue.line.account).amount == blue.quota.limit - blue.quota.spent


def test_verify_names_what_reconciliation_says_and_did_not_post(bill: Bill) -> None:
    bill.used(day(2), CALL)
    bill.bills(day(2), CALL, times="1.25")
    bill.fetch()
    reconcile(actor=bill.actor, provider=bill.provider)
    assert breaches() == []

    with bill.owner.transaction():
        bill.owner.execute("ALTER TABLE ledger_reconciliationposting DISABLE TRIGGER USER")
        bill.owner.execute("UPDATE ledger_reconciliationposting SET amount = amount + 1 WHERE amount > 1")
        bill.owner.execute("UPDATE ledger_lineattribution SET amount = amount + 2")

    assert [(breach.check, breach.row) for breach in breaches()] == [
        (
            "what reconciliation posted is in its entries",
            "account billed:acme: reconciliation says 3.0625, its entries have 2.0625",
        ),
        (
            "a line that is agreed is attributed to the last place",
            f"line {lines()[2].pk} of {day(2)}: 2.0625 was reported, 1.65 metered, and accounts take 2.4125",
        ),
    ]


def test_a_month_is_not_closed_over_a_difference_that_nobody_decided(bill: Bill) -> None:
    bill.used(day(2), CALL)
    bill.fetch()
    reconcile(actor=bill.actor, provider=bill.provider)
    period = Period.objects.get(starts_on=last_month())

    item = next(one for one in checklist(period) if one.item.name == "differences_decided")

    assert lines()[2].outcome == Outcome.OPEN
    assert item.finding.words == "Differences with providers that wait for a decision: 1."


def test_an_invoice_over_what_is_billed_already_posts_nothing_more(bill: Bill) -> None:
    bill.used(day(2), CALL)
    bill.bills(day(2), CALL)
    bill.fetch()
    reconcile(actor=bill.actor, provider=bill.provider)
    company = build_company()
    facts = {"provider": bill.provider, "month": last_month(), "issued_on": day(20)}
    invoice = invoice_enter(actor=company.hana, number="A-1", amount=usd("1.65"), **facts)  # type: ignore[arg-type]

    agreed = invoice_agree(actor=company.lou, invoice=invoice)

    assert agreed.entry is None
    assert balances()["billed"] == Decimal("1.65")


def test_what_a_crash_left_held_goes_back_when_the_provider_has_nothing_more(bill: Bill) -> None:
    bill.used(day(2), CALL)
    hold_lost(bill, Decimal(5), noon(day(2), 15))
    bill.fetch()
    reconcile(actor=bill.actor, provider=bill.provider)
    assert bill.desk().quota.held == 5  # the call that was metered is not told of yet: nobody can be sure

    bill.bills(day(2), CALL)
    bill.fetch()
    reconcile(actor=bill.actor, provider=bill.provider)

    assert bill.desk().quota.held == 0
    assert balances()["line Blue"] == Decimal("998.35")
    released = AuditEvent.objects.get(verb="hold.release")
    assert (released.actor, released.reason) == (bill.actor, UNUSED)


def test_a_key_that_finds_its_owner_is_paid_for_on_all_its_days(bill: Bill) -> None:
    company = build_company()
    bill.used(day(2), CALL)
    bill.bills(day(2), CALL)
    bill.bills(day(2), CALL, provider_key="key_lab")
    bill.fetch()
    reconcile(actor=bill.actor, provider=bill.provider)
    assert balances()["billed"] == Decimal("1.65")
    key, green = ProviderKey.objects.get(), bill.desk("Green").line.account
    reason = "The lab's own key, which Green pays for"

    facts = {"owner": company.ana, "account": green, "reason": reason}
    key_stand(actor=company.hana, key=key, standing=KeyStanding.CLAIMED, **facts)  # type: ignore[arg-type]
    # A day long after it: what is to be judged before it is judged too, and holds nothing up.
    bill.used(day(20), CALL)
    bill.bills(day(20), CALL)
    bill.fetch()
    reconcile(actor=bill.actor, provider=bill.provider, span=Span(day(20), day(20)))

    assert balances()["billed"] == Decimal("4.95")
    assert balances()["line Green"] == Decimal("998.35")

    key_stand(actor=company.hana, key=key, standing=KeyStanding.GATEWAY, reason="It was the gateway's after all")
    reconcile(actor=bill.actor, provider=bill.provider, span=Span(day(20), day(20)))

    assert balances()["line Green"] == Decimal(1000)
    own = ReconciliationLine.objects.get(day=day(2), provider_key=None)
    assert (own.causes, own.is_agreed, own.reported) == (["unmetered"], False, Decimal("3.30"))


def test_a_day_that_nobody_has_judged_holds_no_other_day_up(bill: Bill) -> None:
    for number in (2, 5):
        bill.used(day(number), CALL)
        bill.bills(day(number), CALL)
    bill.fetch()
    month = Span(day(1), day(28))
    usage_roll(since=noon(day(1)))
    names_resolve(bill.provider, month)
    lines_match(bill.provider, month)
    lines_judge(bill.provider, month)
    ReconciliationLine.objects.filter(day=day(2)).update(outcome=Outcome.NEW, is_agreed=False)

    entries = effects_post(actor=bill.actor, provider=bill.provider, span=month)

    assert [entry.effective_on for entry in entries] == [day(5)]
