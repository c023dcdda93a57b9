"""How the history of an object reads, on every page the same."""

from django import template

from teams.models import AuditEvent
from teams.verbs import words_of

register = template.Library()


@register.filter
def done(event: AuditEvent) -> str:
    """Say in a word or two what was done."""
    return words_of(event.verb)
