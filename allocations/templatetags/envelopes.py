"""Cards about budget that pages of other floors show."""

from django import template

from allocations.selectors import pages
from teams.models import AuditEvent, Team

register = template.Library()
DONE = {
    "key.issue": "Issued",
    "key.rotate": "New secret",
    "key.cap_set": "Cap changed",
    "key.suspend": "Suspended",
    "key.resume": "Resumed",
    "key.revoke": "Revoked",
}


@register.filter
def done(event: AuditEvent) -> str:
    """Say in a word or two what was done to a key."""
    return DONE.get(event.verb, event.verb)


@register.inclusion_tag("allocations/parts/rows.html")
def team_allocations(team: Team) -> dict[str, object]:
    """Show the allocations of a team as gauges."""
    rows = list(pages.with_figures(pages.allocations_of_teams([team])))
    return {"allocations": rows, "show_team": False}
