"""Minutes: what the committee did with a round, from what was recorded, in a constant number of queries.

They are for the committee while it works; once the decisions are published for chairs, finance and auditors too. Until
then a member reads nothing of a pitch that they are recused from, and no figure about all pitches together, as on the
board; what is left out is counted. Who sat in the room is not recorded, so the minutes name who did something.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F

from ledger.money import show
from pitches.board.words import move_words
from pitches.models import (
    Ballot,
    BoardMove,
    CommitteeSeat,
    Decision,
    MoveKind,
    Outcome,
    Pitch,
    Remark,
    Review,
    Round,
    Screening,
)
from pitches.selectors.board import moves_shown
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.rounds import committee_of
from pitches.transitions import DECISIONS_PUBLIC, PRIVATE_PITCH
from teams.models import AuditEvent, User

TOGETHER = timedelta(seconds=60)  # steps of a slider that belong together
Details = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done; `text` continues the name of who did it. `move` is there for a move at the board."""

    at: datetime
    order: int
    who: str
    kind: str
    text: str
    pitch: int | None = None
    move: BoardMove | None = None
    steps: int = 1


@dataclass(slots=True)
class Minutes:
    """The minutes of a round as one reader may read them."""

    round: Round
    seats: list[CommitteeSeat]
    is_public: bool
    is_whole: bool
    facts: dict[str, int] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    left_out: int = 0

    @property
    def shown(self) -> list[Entry]:
        """Return the entries; steps of a slider that follow each other are one."""
        return _joined(self.entries)

    @property
    def present(self) -> dict[str, int]:
        """Return how often each member did something, moves of the calendar apart."""
        sitting = {seat.user.name for seat in self.seats}
        done = [entry for entry in self.entries if entry.kind != "calendar"]
        return dict(Counter(entry.who for entry in done if entry.who in sitting))


def minutes_of(user: User, round_: Round) -> Minutes:
    """Return the minutes of a round for one reader; ask `pitches.view_minutes` first."""
    is_public = round_.state in DECISIONS_PUBLIC
    hidden = frozenset[int]() if is_public else conflicted_ids(user, round_)
    pitches = _titles(round_)
    minutes = Minutes(round_, committee_of(round_), is_public, is_whole=not hidden)
    events = [*_events_of_round(round_), *_events_of_pitches(pitches)]
    moves = moves_shown(round_, frozenset(), most=None)
    everything = [*_told(round_, events, pitches, hidden), *_played(moves, is_whole=minutes.is_whole)]
    minutes.entries = sorted(
        (entry for entry in everything if entry.pitch not in hidden), key=lambda entry: (entry.at, entry.order)
    )
    minutes.left_out = len(everything) - len(minutes.entries)
    minutes.facts = _facts(round_, hidden)
    return minutes


def _titles(round_: Round) -> dict[int, str]:
    rows = Pitch.objects.filter(round=round_, current__isnull=False).exclude(state__in=PRIVATE_PITCH)
    return dict(rows.values_list("pk", "current__title"))


def _events_of_round(round_: Round) -> list[AuditEvent]:
    rows = AuditEvent.objects.filter(object_type="pitches.round", object_id=str(round_.pk), verb__in=ROUND_WORDS)
    return list(rows.select_related("actor").order_by("pk"))


def _events_of_pitches(pitches: Mapping[int, str]) -> list[AuditEvent]:
    ids = [str(pk) for pk in pitches]
    rows = AuditEvent.objects.filter(object_type="pitches.pitch", object_id__in=ids, verb__in=PITCH_WORDS)
    return list(rows.select_related("actor").order_by("pk"))


def _told(
    round_: Round, events: Sequence[AuditEvent], titles: Mapping[int, str], hidden: frozenset[int]
) -> Iterable[Entry]:
    """Turn events into entries; decisions that an adoption made are told by it."""
    people = {seat.user.email: seat.user.name for seat in committee_of(round_)}
    outcomes = Counter(Decision.objects.filter(pitch__round=round_).values_list("outcome", flat=True))
    by_adoption = _by_adoption(events)
    for event in events:
        details: dict[str, Any] = {**event.details, "hidden": hidden, "people": people, "outcomes": outcomes}
        details["titles"] = titles
        if event.object_type == "pitches.round":
            kind, words = ROUND_WORDS[event.verb]
            reason = "" if event.verb in STEPS and not _unscreened(details) else event.reason
            yield Entry(event.at, event.pk, event.actor.name, kind, _sentence(words(details), reason))
        elif event.pk not in by_adoption:
            pitch = int(event.object_id)
            kind, words = PITCH_WORDS[event.verb]
            text = words(details | {"title": titles[pitch], "own": event.actor.email == details.get("member")})
            yield Entry(event.at, event.pk, event.actor.name, kind, _sentence(text, event.reason), pitch)


STEPS = frozenset({"round.review", "round.vote", "round.decide", "round.publish"})
"""Their reason is the step itself, which the sentence says; a vote that opened without a screening has one."""


def _by_adoption(events: Sequence[AuditEvent]) -> set[int]:
    """Return the decisions that adoptions made: of each of its pitches the last one before an adoption's own line."""
    found: set[int] = set()
    latest: dict[int, int] = {}
    for event in sorted(events, key=lambda event: event.pk):
        if event.verb == "pitch.decide":
            latest[int(event.object_id)] = event.pk
        elif event.verb == "round.adopt":
            found |= {latest[pitch] for pitch in event.details["pitches"] if pitch in latest}
    return found


def _sentence(text: str, reason: str) -> str:
    reason = " ".join(reason.split()).rstrip(".")
    return f"{text}: {reason}." if reason else f"{text}."


def _played(moves: Iterable[BoardMove], *, is_whole: bool) -> Iterable[Entry]:
    for move in moves:
        kind = "note" if move.kind == MoveKind.NOTE else "move"
        text = move_words(move, is_whole=is_whole)
        yield Entry(move.at, move.number, move.actor.name, kind, text, move.pitch_id, move)


def _joined(entries: Iterable[Entry]) -> list[Entry]:
    """Make one entry of the steps of a slider: the last one says what came of it."""
    found: list[Entry] = []
    for entry in entries:
        last = found[-1] if found else None
        if last is not None and _belong(last, entry):
            found[-1] = replace(entry, steps=last.steps + 1)
        else:
            found.append(entry)
    return found


def _belong(one: Entry, following: Entry) -> bool:
    is_one = _is_slide(one) and _is_slide(following) and one.who == following.who
    return is_one and following.at - one.at <= TOGETHER


def _is_slide(entry: Entry) -> bool:
    return entry.move is not None and entry.move.kind == MoveKind.SLIDE


def _count(number: int, one: str) -> str:
    many = {"pitch": "pitches"}.get(one, f"{one}s")
    return f"{number} {one if number == 1 else many}"


def _adopted(details: Details) -> str:
    seen = [pk for pk in details.get("pitches", []) if pk not in details["hidden"]]
    return f"made tentative decisions on {_count(len(seen), 'pitch')} from choice {details.get('selection')}"


def _unscreened(details: Details) -> list[str]:
    """Return the titles of what went on the ballot without a screening, of those that the reader may know."""
    seen = (pk for pk in details.get("unscreened", []) if pk not in details["hidden"])
    return [details["titles"][pk] for pk in seen if pk in details["titles"]]


def _voted(details: Details) -> str:
    missed = ", ".join(f"“{title}”" for title in _unscreened(details))
    without = f" without a screening by both of {missed}" if missed else ""
    return f"ended the reviews and opened the vote{without}"


def _published(details: Details) -> str:
    counts: Counter[str] = details["outcomes"]
    told = [f"{counts[outcome]} {outcome.label.lower()}" for outcome in Outcome if counts[outcome]]
    return f"published every decision at once ({', '.join(told)})"


def _chosen(details: Details) -> str:
    words = "to adopt" if details.get("kind") == "final" else "to look at"
    return f"ran the exact choice, number {details.get('number')}, {words}"


def _recused(details: Details) -> str:
    name = details["people"].get(details.get("member"), "a member")
    if details.get("kind") == "rule":
        return f"noted that a rule recuses {name} from “{details['title']}”"
    return f"stepped aside from “{details['title']}”" if details["own"] else f"recused {name} from “{details['title']}”"


def _judged(details: Details) -> str:
    name = details["people"].get(details.get("member"), "a member")
    done = "waived" if details.get("to") == "waived" else "dismissed"
    return f"{done} the conflict of {name} about “{details['title']}”"


def _forced(details: Details) -> str:
    return "fund" if details.get("force") == "in" else "leave out"


def _price(details: Details) -> str:
    price = details.get("price")
    return f" at a price of {show(Decimal(price))} of worth" if price and not details["hidden"] else ""


Words = Callable[[Details], str]
ROUND_WORDS: dict[str, tuple[str, Words]] = {
    "round.open": ("calendar", lambda d: "opened the round"),
    "round.review": ("calendar", lambda d: "closed the round for pitches; the reviews began"),
    "round.vote": ("calendar", _voted),
    "round.decide": ("calendar", lambda d: "closed the vote"),
    "round.reveal": ("calendar", lambda d: f"opened {_count(d.get('ballots', 0), 'ballot')} at once"),
    "round.reschedule": ("calendar", lambda d: "changed the calendar"),
    "round.choose": ("choice", _chosen),
    "round.adopt": ("choice", _adopted),
    "round.publish": ("calendar", _published),
    "round.settle": ("calendar", lambda d: "settled the round"),
    "round.cancel": ("calendar", lambda d: "cancelled the round"),
}
PITCH_WORDS: dict[str, tuple[str, Words]] = {
    "pitch.recuse": ("conflict", _recused),
    "pitch.conflict_judge": ("conflict", _judged),
    "pitch.decide": ("decision", lambda d: f"decided tentatively to {d.get('outcome')} “{d['title']}”"),
    "pitch.override_propose": (
        "override",
        lambda d: f"proposed an override to {_forced(d)} “{d['title']}”{_price(d)}",
    ),
    "pitch.override_sign": ("override", lambda d: f"signed the override to {_forced(d)} “{d['title']}”{_price(d)}"),
    "pitch.override_withdraw": ("override", lambda d: f"withdrew the override to {_forced(d)} “{d['title']}”"),
}


def _facts(round_: Round, hidden: frozenset[int]) -> dict[str, int]:
    """Count what led up to the deliberation, of the pitches that the reader may see."""
    reviews = Review.objects.filter(revision__pitch__round=round_, revision=F("revision__pitch__current"))
    ballots = Ballot.objects.filter(pitch__round=round_).exclude(revealed_at=None)
    screenings = Screening.objects.filter(revision__pitch__round=round_, carried_from=None)
    remarks = Remark.objects.filter(pitch__round=round_)
    return {
        "reviews": reviews.exclude(revision__pitch__in=hidden).count(),
        "ballots": ballots.exclude(pitch__in=hidden).count(),
        "screenings": screenings.exclude(revision__pitch__in=hidden).count(),
        "remarks": remarks.exclude(pitch__in=hidden).count(),
    }
