"""Rate and access audit: who proposed and approved prices, handled keys and lines' limits, and gave roles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import reverse

from allocations.models import Allocation, QuotaKey
from allocations.reports.lines import span_of
from ledger.models import Provider, Rate
from ledger.money import plain
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row
from teams.models import AuditEvent, BusinessUnit, Role, Team, TeamRole, User
from teams.verbs import details_of

VERBS = {
    "rate.approve": "Price approved",
    "provider.set": "Provider set",
    "alias.set": "Model alias set",
    "alias.remove": "Model alias removed",
    "key.issue": "Key issued",
    "key.rotate": "Key rotated",
    "key.limits_set": "Key's limits changed",
    "key.models_set": "Key's models changed",
    "line.tokens_set": "Line's token limit changed",
    "key.suspend": "Key suspended",
    "key.resume": "Key resumed",
    "key.revoke": "Key revoked",
    "role.grant": "Role granted",
    "role.withdraw": "Role withdrawn",
    "user.create": "Account made",
    "user.activate": "Account opened again",
    "user.deactivate": "Account shut",
    "team.membership_set": "Member of a team",
    "team.membership_remove": "No more in a team",
    "unit.head_set": "Head of a unit",
}
CHUNK = 500
ROLE_WORDS = {**dict(Role.choices), **dict(TeamRole.choices)}


class AccessAudit(Report):
    """Every change to prices, keys, roles and accounts, from the history that nobody can rewrite."""

    slug = "access-audit"
    title = "Rate and access audit"
    purpose = "Who set which price, handled which key, and gave whom which role?"
    group = "Control"
    filters: ClassVar = frozenset({Filter.PERIOD})

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("at", "When", Kind.TIME),
            Column("what", "What"),
            Column("which", "Which", drill="object"),
            Column("details", "Details"),
            Column("by", "By"),
            Column("reason", "Reason"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the changes, newest first."""
        for _, row in merge(_proposals(choice), _events(choice), key=lambda one: one[0], reverse=True):
            yield row


def _proposals(choice: Choice) -> Iterator[tuple[datetime, Row]]:
    first, after = span_of(choice)
    rates = Rate.objects.filter(created_at__gte=first, created_at__lt=after).order_by("-created_at", "-pk")
    for rate in rates.select_related("model", "proposed_by").iterator():
        cells = (rate.created_at, "Price proposed", rate.model.name, _price(rate), str(rate.proposed_by), rate.note)
        yield rate.created_at, Row(cells, {"object": reverse("ledger:rates")})


def _price(rate: Rate) -> str:
    size = f", for calls above {rate.above_input_tokens} input tokens" if rate.above_input_tokens else ""
    return (
        f"{plain(rate.input)} in, {plain(rate.output)} out, {rate.currency} per million tokens, "
        f"from {rate.valid_from:%Y-%m-%d %H:%M} UTC{size}"
    )


def _events(choice: Choice) -> Iterator[tuple[datetime, Row]]:
    first, after = span_of(choice)
    events = AuditEvent.objects.filter(verb__in=VERBS, at__gte=first, at__lt=after)
    found = events.select_related("actor").order_by("-at", "-pk").iterator(chunk_size=CHUNK)
    while chunk := list(islice(found, CHUNK)):
        names = Names.of(chunk)
        for event in chunk:
            which, details, url = names.say(event)
            cells = (event.at, VERBS[event.verb], which, details, str(event.actor), event.reason)
            yield event.at, Row(cells, {"object": url} if url else {})


@dataclass(frozen=True, slots=True)
class Names:
    """What the events of a chunk are about."""

    keys: dict[int, QuotaKey]
    rates: dict[int, Rate]
    allocations: dict[int, Allocation]
    others: dict[tuple[str, int], str]

    @classmethod
    def of(cls, events: Sequence[AuditEvent]) -> "Names":
        """Read the objects of some events, each kind in one query."""
        ids: dict[str, set[int]] = {}
        for event in events:
            ids.setdefault(event.object_type, set()).add(int(event.object_id))
        sources: tuple[QuerySet[Any], ...] = (
            User.objects.all(),
            Team.objects.all(),
            BusinessUnit.objects.all(),
            Provider.objects.all(),
        )
        others = {
            (source.model._meta.label_lower, row.pk): str(row)
            for source in sources
            for row in source.filter(pk__in=ids.get(source.model._meta.label_lower, ()))
        }
        keys = QuotaKey.objects.select_related("allocation").in_bulk(ids.get("allocations.quotakey", ()))
        rates = Rate.objects.select_related("model", "proposed_by").in_bulk(ids.get("ledger.rate", ()))
        allocations = Allocation.objects.in_bulk(ids.get("allocations.allocation", ()))
        return cls(keys, rates, allocations, others)

    def say(self, event: AuditEvent) -> tuple[str, str, str]:
        """Return what an event is about, its details in words, and the page of its object ("" for none)."""
        pk, details = int(event.object_id), _details(event)
        if event.object_type == "allocations.quotakey" and pk in self.keys:
            key = self.keys[pk]
            url = reverse("allocations:key", args=[key.allocation.number, key.pk])
            return f"{key.name} of {key.allocation.number}", details, url
        if event.object_type == "allocations.allocation" and pk in self.allocations:
            allocation = self.allocations[pk]
            return str(allocation), details, reverse("allocations:allocation", args=[allocation.number])
        if event.object_type == "ledger.rate" and pk in self.rates:
            rate = self.rates[pk]
            return rate.model.name, f"{_price(rate)}; proposed by {rate.proposed_by}", reverse("ledger:rates")
        return self.others.get((event.object_type, pk), f"{event.object_type} {event.object_id}"), details, ""


def _details(event: AuditEvent) -> str:
    if said := details_of(event.verb, event.details):
        return said
    words = {name: ROLE_WORDS.get(value, value) if name == "role" else value for name, value in event.details.items()}
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in words.items() if value not in (None, ""))
