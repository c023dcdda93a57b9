"""What was done to a period, in words."""

from django import template

from teams.models import AuditEvent

register = template.Library()

DONE = {
    "period.closing": "began to close",
    "period.closed": "closed",
    "period.open": "opened again",
    "period.accept": "accepted an open item",
    "period.reopen_ask": "asked to reopen",
    "period.reopen_granted": "granted the reopening",
    "period.reopen_refused": "refused the reopening",
}


@register.filter
def done(event: AuditEvent) -> str:
    """Say in a word or two what was done."""
    return DONE.get(event.verb, event.verb)
