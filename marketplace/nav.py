"""The shell around every page: where one can go, by role, and what waits there."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from allocations.selectors.unsettled import unsettled_count
from ledger.reports.base import visible_to
from ledger.selectors.desk import corrections_waiting_count
from ledger.selectors.invoices import invoices_waiting_count
from ledger.selectors.reconciliation import lines_to_decide_count
from teams.models import User
from teams.selectors import mails_failed_count, unread_count

THEMES = ("light", "dark")


@dataclass(frozen=True, slots=True)
class Link:
    """One way to go; `count` is how many things wait there."""

    title: str
    url: str
    is_current: bool
    count: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """Ways that belong together."""

    title: str
    links: list[Link]


def shell(request: HttpRequest) -> dict[str, Any]:
    """Give templates the theme that was chosen and the navigation, which is read only when it is shown."""
    theme = request.COOKIES.get("tank_theme")
    return {"theme": theme if theme in THEMES else "", "nav": partial(sections, request)}


def sections(request: HttpRequest) -> list[Section]:
    """Return the navigation of whoever is logged in; nothing for strangers."""
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return []
    link = partial(_link, request.path)
    found = [
        Section("", _everybody(user, link)),
        Section("Committee", _committee(user, link)),
        Section("Finance", _finance(user, link)),
        Section("Platform", _platform(user, link)),
    ]
    return _nearest([section for section in found if section.links])


def _nearest(found: list[Section]) -> list[Section]:
    """Leave one link current: where a page lies below two of them, the nearer one."""
    current = [link.url for section in found for link in section.links if link.is_current]
    nearest = max(current, key=len, default="")
    return [
        Section(section.title, [replace(link, is_current=link.url == nearest) for link in section.links])
        for section in found
    ]


def _everybody(user: User, link: Any) -> list[Link]:
    webhooks = [link("Webhooks", "teams:webhooks")] if user.has_perm("teams.list_webhooks") else []
    return [
        link("Home", "home", exact=True),
        link("Inbox", "teams:inbox", count=unread_count(user)),
        link("Pitches", "pitches:pitches"),
        link("Rounds", "pitches:rounds"),
        link("Allocations", "allocations:list"),
        link("Teams", "teams:list"),
        link("Rate card", "ledger:rates"),
        *webhooks,
    ]


def _committee(user: User, link: Any) -> list[Link]:
    desk = [link("Desk", "admin:pitches_round_changelist")] if user.has_perm("pitches") else []
    screening = [link("Screening", "pitches:screening_queue")] if user.has_perm("pitches.list_screenings") else []
    return desk + screening


def _finance(user: User, link: Any) -> list[Link]:
    reports = [link("Reports", "ledger:reports")] if visible_to(user) else []
    if not user.has_perm("ledger.view_ledger"):
        return reports
    return [
        link("Overview", "ledger:overview", exact=True),
        link("Trial balance", "ledger:trial_balance"),
        link("Journal", "ledger:entries"),
        link("Budget", "ledger:budget"),
        link("Periods", "ledger:periods"),
        link("Corrections", "ledger:corrections", count=corrections_waiting_count()),
        link("Reconciliation", "ledger:reconciliation", count=lines_to_decide_count()),
        link("Invoices", "ledger:invoices", count=invoices_waiting_count()),
        *reports,
        link("Unsettled holds", "allocations:unsettled", count=unsettled_count()),
        *([link("Resolved claims", "pitches:claims")] if user.has_perm("pitches.view_claims") else []),
    ]


def _platform(user: User, link: Any) -> list[Link]:
    if not user.has_perm("teams.view_user"):
        return []
    failed = mails_failed_count()
    return [
        link("People", "teams:people"),
        *_feeds(user, link),
        link("E-mail", "admin:teams_outgoingmail_changelist", count=failed),
        link("Admin", "admin:index"),
    ]


def _feeds(user: User, link: Any) -> list[Link]:
    """Return the feeds and the keys past Tank for those whose navigation has no reconciliation."""
    if user.has_perm("ledger.view_ledger") or not user.has_perm("ledger.view_feed"):
        return []
    return [link("Feeds", "ledger:feeds"), link("Keys past Tank", "ledger:provider_keys")]


def _link(path: str, title: str, name: str, *, exact: bool = False, count: int = 0) -> Link:
    url = reverse(name)
    return Link(title, url, path == url if exact else path.startswith(url), count)
