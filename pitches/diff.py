"""What changed between two revisions, word by word and fact by fact; pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

SAME, GONE, NEW = "same", "gone", "new"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a revision says, as people read it."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of words that stayed, went or came."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that is different, in pieces."""

    label: str
    pieces: tuple[Piece, ...]


def words_changed(before: str, after: str) -> tuple[Piece, ...]:
    """Return both texts as one run of pieces; joined without the new ones it is the old text, and vice versa."""
    old, new = _words(before), _words(after)
    pieces: list[Piece] = []
    for operation, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if operation == "equal":
            pieces.append(Piece(SAME, "".join(old[old_from:old_to])))
            continue
        if old_to > old_from:
            pieces.append(Piece(GONE, "".join(old[old_from:old_to])))
        if new_to > new_from:
            pieces.append(Piece(NEW, "".join(new[new_from:new_to])))
    return tuple(pieces)


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)


def facts_changed(before: Sequence[Fact], after: Sequence[Fact]) -> list[Change]:
    """Return the facts that differ, in the order of the newer revision, those that are gone at the end."""
    old, new = _by_label(before), _by_label(after)
    labels = [*new, *(label for label in old if label not in new)]
    return [
        Change(label, words_changed(old.get(label, ""), new.get(label, "")))
        for label in labels
        if old.get(label, "") != new.get(label, "")
    ]


def _by_label(facts: Iterable[Fact]) -> dict[str, str]:
    return {fact.label: fact.text for fact in facts}
