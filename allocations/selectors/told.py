"""What alerts are about, and in what words: the same in inboxes, e-mails and on pages."""

from decimal import Decimal

from allocations.models import AlertKind, Allocation, BudgetAlert, Quota, QuotaKey, Window
from ledger.models import Tier
from ledger.money import show

OF_WINDOW = {Window.DAY.value: "daily", Window.MONTH.value: "monthly"}


def key_of(quota: Quota) -> QuotaKey | None:
    """Return the key whose cap a quota is, in all or of one day or month; None of a line's."""
    return quota.key or quota.window_of


def allocation_of(quota: Quota) -> Allocation:
    """Return the allocation that a line's or a key's quota belongs to."""
    owned = quota.line or key_of(quota)
    if owned is None:
        raise LookupError(f"quota {quota.pk} belongs to nothing")
    return owned.allocation


def place_words(quota: Quota) -> str:
    """Name a line or a key: "Standard line", "key triage-prod"."""
    if quota.line is not None:
        return f"{Tier(quota.line.tier).label} line"
    key = key_of(quota)
    return f"key {key.name}" if key is not None else "quota"


def share_words(alert: BudgetAlert) -> str:
    """Say which part is gone: "80 % spent", "50 % of the daily cap spent", "95 % of the monthly tokens used"."""
    span = OF_WINDOW.get(alert.quota.window, "")
    if alert.kind == AlertKind.TOKENS:
        return f"{alert.percent} % of the {span + ' ' if span else ''}tokens used"
    return f"{alert.percent} % of the {span} cap spent" if span else f"{alert.percent} % spent"


def what_words(alert: BudgetAlert) -> str:
    """Say what an alert says, short: which part is gone, or when the line runs out and until when it was to last."""
    if alert.runs_out_on and alert.ends_on:
        return f"Runs out on {alert.runs_out_on:%-d %b}, {alert.ends_on:%-d %b} was planned"
    return share_words(alert)


def figures_words(alert: BudgetAlert) -> str:
    """Say what was spent, held and left, in money or in tokens."""
    left = amount_words(alert, alert.limit - alert.spent - alert.held)
    spent, limit, held = (amount_words(alert, amount) for amount in (alert.spent, alert.limit, alert.held))
    if alert.kind == AlertKind.TOKENS:
        return f"{spent} of {limit} tokens are used, {held} are held, {left} are left."
    return f"{spent} of {limit} is spent, {held} is held, {left} is left."


def amount_words(alert: BudgetAlert, amount: Decimal) -> str:
    """Write an amount of an alert: money with its sign, tokens as a count."""
    return f"{int(amount):,}" if alert.kind == AlertKind.TOKENS else show(amount, alert.currency)
