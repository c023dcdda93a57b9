"""What must be true before a period is closed: a checklist that every floor adds its items to."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from ledger.models import (
    Account,
    AccountClass,
    CloseAcceptance,
    Correction,
    CorrectionState,
    InvoiceState,
    Period,
    PeriodState,
    ProviderInvoice,
)
from ledger.money import show
from ledger.selectors.reconciliation import lines_to_decide
from ledger.selectors.spend import posted_between, recorded_between


@dataclass(frozen=True, slots=True)
class Finding:
    """What an item finds for a period: done, or in words what is open and the page where it is worked on."""

    is_done: bool
    words: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the checklist. What `may_be_accepted` can be closed over, by name and with a reason."""

    name: str
    title: str
    look: Callable[[Period], Finding]
    may_be_accepted: bool


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """An item as it stands for a period, and its acceptance when there is one."""

    item: Item
    finding: Finding
    acceptance: CloseAcceptance | None

    @property
    def is_settled(self) -> bool:
        """Say whether the period can be closed as far as this item goes."""
        return self.finding.is_done or self.acceptance is not None


_ITEMS: dict[str, Item] = {}


def register(*items: Item) -> None:
    """Add items to every period's checklist."""
    _ITEMS.update({item.name: item for item in items})


def item_of(name: str) -> Item | None:
    """Return an item by its stable name."""
    return _ITEMS.get(name)


def checklist(period: Period) -> list[CheckedItem]:
    """Return every item as it stands now. An acceptance holds only for what was found when it was given."""
    given = {row.item: row for row in period.acceptances.select_related("accepted_by").order_by("pk")}
    return [_checked(item, item.look(period), given) for item in _ITEMS.values()]


def _checked(item: Item, finding: Finding, given: dict[str, CloseAcceptance]) -> CheckedItem:
    acceptance = given.get(item.name)
    holds = acceptance is not None and acceptance.found == finding.words and not finding.is_done
    return CheckedItem(item, finding, acceptance if holds else None)


def moments(period: Period) -> tuple[datetime, datetime]:
    """Return the first moment of a period and the first after it, UTC."""
    first = datetime.combine(period.starts_on, time.min, UTC)
    return first, datetime.combine(period.ends_on + timedelta(days=1), time.min, UTC)


def _earlier_closed(period: Period) -> Finding:
    earlier = Period.objects.filter(ends_on__lt=period.starts_on).exclude(state=PeriodState.CLOSED)
    first = earlier.order_by("starts_on").first()
    if first is None:
        return Finding(True, "All earlier periods are closed.")
    return Finding(False, f"Period {first} is {first.get_state_display().lower()}.", f"/ledger/periods/{first}/")


def _usage_posted(period: Period) -> Finding:
    first, after = moments(period)
    recorded, posted = recorded_between(first, after), posted_between(first, after)
    # What costs nothing is never posted by itself, so the money decides.
    if recorded.cost == posted.cost:
        return Finding(True, f"All {recorded.records:,} usage records are posted.")
    missing = recorded.records - posted.records
    return Finding(False, f"{missing:,} of {recorded.records:,} usage records are not posted yet.")


def _usage_accrued(period: Period) -> Finding:
    open_ = [f"{row.account.name} {show(row.left, row.account.currency)}" for row in clearing(period)]
    if not open_:
        return Finding(True, "What was metered is billed or accrued.")
    return Finding(False, f"Metered, and neither billed nor accrued: {', '.join(open_)}.")


@dataclass(frozen=True, slots=True)
class Clearing:
    """What a Metered account holds: used, and neither billed nor accrued; in the account's currency."""

    account: Account
    left: Decimal


def clearing(period: Period) -> list[Clearing]:
    """Return what each Metered account holds at a period's end by the dates of the facts, where it is not zero."""
    until = Q(postings__entry__effective_on__lte=period.ends_on)
    accounts = Account.objects.filter(account_class=AccountClass.METERED).select_related("provider")
    held = accounts.annotate(left=Coalesce(Sum("postings__amount", filter=until), Decimal(0))).exclude(left=0)
    return [Clearing(account, account.left) for account in held.order_by("code")]


def _corrections_decided(period: Period) -> Finding:
    waiting = Correction.objects.filter(state=CorrectionState.PROPOSED, effective_on__lte=period.ends_on).count()
    if not waiting:
        return Finding(True, "No correction waits for a decision.")
    return Finding(False, f"Corrections that wait for a decision: {waiting}.", "/ledger/corrections/")


def _invoices_decided(period: Period) -> Finding:
    waiting = ProviderInvoice.objects.filter(state=InvoiceState.ENTERED, month__lte=period.ends_on).count()
    if not waiting:
        return Finding(True, "No invoice waits for a decision.")
    return Finding(False, f"Invoices that wait for a decision: {waiting}.", "/ledger/invoices/")


def _differences_decided(period: Period) -> Finding:
    waiting = lines_to_decide().filter(day__range=(period.starts_on, period.ends_on)).count()
    if not waiting:
        return Finding(True, "No difference with a provider waits for a decision.")
    address = f"/ledger/reconciliation/lines/?from={period.starts_on}&to={period.ends_on}&waits=1"
    return Finding(False, f"Differences with providers that wait for a decision: {waiting}.", address)


register(
    Item("earlier_closed", "Earlier periods are closed", _earlier_closed, may_be_accepted=False),
    Item("usage_posted", "Usage is posted", _usage_posted, may_be_accepted=False),
    Item("corrections_decided", "Corrections are decided", _corrections_decided, may_be_accepted=True),
    Item("invoices_decided", "Invoices are decided", _invoices_decided, may_be_accepted=True),
    Item("differences_decided", "Differences with providers are decided", _differences_decided, may_be_accepted=True),
    Item("usage_accrued", "Usage not yet billed is accrued", _usage_accrued, may_be_accepted=True),
)
