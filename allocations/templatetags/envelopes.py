"""Cards about budget that pages of other floors show."""

from django import template

from allocations.models import Quota
from allocations.selectors import Figures, pages
from ledger.templatetags.money import gauge
from teams.models import Team

register = template.Library()


@register.inclusion_tag("allocations/parts/rows.html")
def team_allocations(team: Team) -> dict[str, object]:
    """Show the allocations of a team as gauges."""
    rows = list(pages.with_figures(pages.allocations_of_teams([team])))
    return {"allocations": rows, "show_team": False}


@register.inclusion_tag("parts/gauge.html")
def quota_gauge(quota: Quota) -> dict[str, object]:
    """Draw a quota's limit in money, or the one in tokens where it has no other."""
    if quota.limit is not None or quota.token_limit is None:
        return gauge(quota.spent, quota.held, quota.limit)
    drawn = gauge(quota.tokens_spent, quota.tokens_held, quota.token_limit)
    return drawn | {"label": token_words(quota)}


@register.filter
def token_words(quota: Quota | Figures) -> str:
    """Say how a quota stands in tokens: "1,200 of 5,000 tokens used, 300 held"."""
    limit = "" if quota.token_limit is None else f" of {quota.token_limit:,}"
    held = f", {quota.tokens_held:,} held" if quota.tokens_held else ""
    return f"{quota.tokens_spent:,}{limit} tokens used{held}"
