"""How the history of an object reads, on every page the same."""

from django import template

from teams.models import AuditEvent
from teams.verbs import details_of, words_of

register = template.Library()


@register.filter
def done(event: AuditEvent) -> str:
    """Say in a word or two what was done."""
    return words_of(event.verb)


@register.filter
def details(event: AuditEvent) -> str:
    """Say what exactly was done; empty where the verb alone says it."""
    return details_of(event.verb, event.details)
