"""What was done, in words: every floor says its own verbs of the history, so that pages show none of them raw."""

from collections.abc import Mapping

_WORDS: dict[str, str] = {}


def register(words: Mapping[str, str]) -> None:
    """Add the words for verbs of the history, such as "key.revoke"; a floor calls it in its `AppConfig.ready`."""
    _WORDS.update(words)


def words_of(verb: str) -> str:
    """Say in a word or two what a verb means; one without words stands for itself."""
    return _WORDS.get(verb, verb)
