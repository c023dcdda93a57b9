"""Cards about budget that pages of other floors show."""

from django import template

from allocations.selectors import pages
from teams.models import Team

register = template.Library()


@register.inclusion_tag("allocations/parts/rows.html")
def team_allocations(team: Team) -> dict[str, object]:
    """Show the allocations of a team as gauges."""
    rows = list(pages.with_figures(pages.allocations_of_teams([team])))
    return {"allocations": rows, "show_team": False}
