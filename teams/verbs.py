"""What was done, in words: every floor says its own verbs of the history, so that pages show none of them raw."""

from collections.abc import Callable, Mapping
from typing import Any

Details = Callable[[Mapping[str, Any]], str]

_WORDS: dict[str, str] = {}
_DETAILS: dict[str, Details] = {}


def register(words: Mapping[str, str], details: Mapping[str, Details] | None = None) -> None:
    """Add the words for verbs of the history, such as "key.revoke"; a floor calls it in its `AppConfig.ready`.

    `details` says of some of them what turns an event's details into words.
    """
    _WORDS.update(words)
    _DETAILS.update(details or {})


def words_of(verb: str) -> str:
    """Say in a word or two what a verb means; one without words stands for itself."""
    return _WORDS.get(verb, verb)


def details_of(verb: str, details: Mapping[str, Any]) -> str:
    """Say what exactly was done; empty where a verb alone says it."""
    say = _DETAILS.get(verb)
    return say(details) if say else ""
