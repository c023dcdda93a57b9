"""Who is told about budgets that run low, and in what words: inbox and e-mail for people, events for webhooks."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import Prefetch

from allocations.models import AlertKind, Allocation, BudgetAlert, Quota, QuotaKey
from allocations.selectors.told import allocation_of, figures_words, key_of, place_words, share_words
from ledger.money import plain
from teams.models import Membership, Role, Team, TeamRole, User, WebhookEvent
from teams.selectors import people_with_role
from teams.services import notification_send
from teams.webhook_services import event_send

HEAD_FROM, FINANCE_FROM = 95, 100
EVENTS = {
    AlertKind.THRESHOLD: WebhookEvent.BUDGET_THRESHOLD,
    AlertKind.TOKENS: WebhookEvent.BUDGET_THRESHOLD,
    AlertKind.BURN_RATE: WebhookEvent.BUDGET_BURN_RATE,
}


def alerts_tell(ids: Iterable[int]) -> None:
    """Tell people and webhooks of alerts; of several thresholds of one quota, of the highest alone."""
    highest: dict[tuple[int, str], BudgetAlert] = {}
    for alert in _with_facts(ids):
        highest[alert.quota_id, alert.kind] = alert
    finance = list(people_with_role(Role.FINANCE)) if highest and settings.ALERT_FINANCE else []
    for alert in highest.values():
        _tell(alert, finance)


def _with_facts(ids: Iterable[int]) -> Iterable[BudgetAlert]:
    ways = tuple(f"quota__{owner}__allocation" for owner in ("line", "key", "window_of"))
    leads = Membership.objects.filter(role=TeamRole.LEAD, user__is_active=True).select_related("user")
    return (
        BudgetAlert.objects.filter(pk__in=list(ids))
        .select_related(*(f"{way}__{end}" for way in ways for end in ("owner", "team__business_unit__head")))
        .prefetch_related(*(Prefetch(f"{way}__team__memberships", leads, to_attr="leads") for way in ways))
        .order_by("percent", "pk")
    )


def _tell(alert: BudgetAlert, finance: list[User]) -> None:
    allocation = allocation_of(alert.quota)
    title, body = _words(alert, allocation)
    for person in _people(alert, allocation, finance):
        notification_send(user=person, title=title, body=body, url=f"/allocations/{allocation.number}/")
    event_send(event=EVENTS[AlertKind(alert.kind)], team=allocation.team, data=_data(alert, allocation))


def _people(alert: BudgetAlert, allocation: Allocation, finance: list[User]) -> list[User]:
    found = {allocation.owner, *(membership.user for membership in leads_at_hand(allocation.team))}
    # A key's cap is the team's own, and so are tokens; that a line ends concerns who gave the money.
    if alert.quota.line is not None and alert.kind == AlertKind.THRESHOLD:
        found |= _people_above(alert.percent or 0, allocation, finance)
    return sorted((person for person in found if person.is_active), key=lambda person: person.pk)


def _people_above(percent: int, allocation: Allocation, finance: list[User]) -> set[User]:
    head = allocation.team.business_unit.head
    found = {head} if percent >= HEAD_FROM and head is not None else set()
    return found | set(finance) if percent >= FINANCE_FROM else found


def leads_at_hand(team: Team) -> list[Membership]:
    """Return the leads that were read together with many teams."""
    leads: list[Membership] = getattr(team, "leads", [])
    return leads


def _words(alert: BudgetAlert, allocation: Allocation) -> tuple[str, str]:
    what = f"{place_words(alert.quota)} of {allocation.number} {allocation.name}"
    figures, resets_at = figures_words(alert), alert.quota.resets_at
    if alert.kind != AlertKind.BURN_RATE:
        again = f" It starts again on {resets_at:%-d %b %Y, %H:%M} UTC." if resets_at else ""
        return f"{share_words(alert)}: {what}", figures + again
    ends = f"at the pace of the last seven days, and was planned to last until {alert.ends_on:%-d %b %Y}."
    return (
        f"Runs out on {alert.runs_out_on:%-d %b}: {what}",
        f"It lasts until {alert.runs_out_on:%-d %b %Y} {ends} {figures}",
    )


def _data(alert: BudgetAlert, allocation: Allocation) -> dict[str, Any]:
    quota, is_tokens = alert.quota, alert.kind == AlertKind.TOKENS
    figures = {
        "unit": "tokens" if is_tokens else "money",
        "limit": plain(alert.limit),
        "spent": plain(alert.spent),
        "held": plain(alert.held),
        "available": plain(alert.limit - alert.spent - alert.held),
        "currency": None if is_tokens else alert.currency,
    }
    why: dict[str, Any] = {"threshold_percent": alert.percent}
    if alert.kind == AlertKind.BURN_RATE and alert.runs_out_on and alert.ends_on:
        why = {"runs_out_on": alert.runs_out_on.isoformat(), "ends_on": alert.ends_on.isoformat()}
    tier = quota.line.tier if quota.line is not None else None
    key = key_of(quota)
    where = {"tier": tier, "key": None if key is None else _key(key), "window": _window(quota)}
    return {"alert": alert.pk} | _place(allocation) | where | why | figures


def _window(quota: Quota) -> dict[str, str] | None:
    if quota.starts_on is None or quota.resets_at is None:
        return None
    return {
        "span": quota.window,
        "starts_on": quota.starts_on.isoformat(),
        "resets_at": f"{quota.resets_at:%Y-%m-%dT%H:%M:%SZ}",
    }


def _place(allocation: Allocation) -> dict[str, Any]:
    return {
        "allocation": allocation.number,
        "allocation_name": allocation.name,
        "team": allocation.team.slug,
        "url": f"{settings.TANK_URL}/allocations/{allocation.number}/",
    }


def _key(key: QuotaKey) -> dict[str, Any]:
    return {"id": key.pk, "name": key.name}


def key_suspended_tell(key: QuotaKey, reason: str) -> None:
    """Tell webhooks that a key is suspended, and why."""
    data = _place(key.allocation) | {"key": _key(key), "reason": reason}
    event_send(event=WebhookEvent.KEY_SUSPENDED, team=key.allocation.team, data=data)
