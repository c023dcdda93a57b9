"""Pitches like one another, found by their words: for who writes one, for who judges one, and for who searches.

PostgreSQL's full-text search finds and ranks (`ts_rank_cd`; title before summary and problem before workflows), in the
functions of `pitches/sql/folder.sql`. How alike two pitches are is the Sørensen-Dice coefficient of their sets of word
stems, 2 * common / (first + second), of the whole text or of the titles alone, whichever is more: from 0, nothing in
common, to 1, the same words. https://www.postgresql.org/docs/current/textsearch-controls.html,
https://doi.org/10.2307/1932409
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import F, Q, QuerySet, Value

from pitches.diff import SAME, Piece
from pitches.models import Pitch, PitchRevision
from pitches.selectors.conflicts import HasConflict
from pitches.selectors.earlier import outcome_of
from pitches.selectors.pitches import STATED, pitches_of_teams, pitches_visible_to
from pitches.selectors.rounds import rounds_seated
from pitches.transitions import DECISIONS_PUBLIC, PRIVATE_PITCH, PitchState
from teams.selectors import Person

MOST_SIMILAR = 5
MOST_FOUND = 50
LEAST_ALIKE = Decimal("0.25")
"""Below it two pitches are not shown as similar."""
LIKELY_DUPLICATE = Decimal("0.5")
"""From here on a pitch is called a likely duplicate."""
LONGEST_SEARCH = 200
FOUND = "found"
BEGIN, END = "\x02", "\x03"  # around a word in a headline; no text of a pitch keeps them


@dataclass(frozen=True, slots=True)
class Words:
    """What a pitch is compared by."""

    title: str
    body: str
    workflows: str


@dataclass(frozen=True, slots=True)
class Match:
    """One pitch that was found: how alike it is (0 to 1; None for a search), and where the words stand in it.

    Who may not open it is shown no passage of it, and how alike the titles are.
    """

    pitch: Pitch
    alike: Decimal | None
    pieces: tuple[Piece, ...]
    may_open: bool
    outcome: str

    @property
    def title(self) -> str:
        """Return what it is called in its last submission; what was typed since stays with its team."""
        return self.pitch.current.title if self.pitch.current else str(self.pitch)

    @property
    def is_likely(self) -> bool:
        """Say whether it is a likely duplicate."""
        return self.alike is not None and self.alike >= LIKELY_DUPLICATE


def words_of_draft(typed: Mapping[str, str]) -> Words:
    """Return what a draft is compared by, as far as it is typed."""
    rows = [text for name, text in typed.items() if re.fullmatch(r"items-\d+-workflow", name)]
    return Words(typed.get("title", ""), f"{typed.get('summary', '')} {typed.get('problem', '')}", "\n".join(rows))


def words_of_revision(revision: PitchRevision) -> Words:
    """Return what a revision is compared by."""
    return Words(revision.title, f"{revision.summary} {revision.problem}", revision.workflows)


@dataclass(frozen=True, slots=True)
class Known:
    """The ids of the pitches that somebody may know of: by every word, or by the title alone."""

    whole: list[int]
    titles: list[int]


def pitches_read_by(user: Person) -> QuerySet[Pitch]:
    """Return the pitches whose words somebody may be shown: drafts of the own teams, and what one may open anyway.

    A member of a committee is not shown what they are recused from.
    """
    own = Q(pk__in=pitches_of_teams(user).order_by().values("pk"))
    seen = Q(pk__in=pitches_visible_to(user).order_by().values("pk"), current__isnull=False)
    return Pitch.objects.filter(own | (seen & ~_recused(user)))


def pitches_published(user: Person) -> QuerySet[Pitch]:
    """Return the pitches of which everybody may know title, team, round and outcome: those of published rounds."""
    hidden = [*PRIVATE_PITCH, PitchState.WITHDRAWN]
    public = Pitch.objects.filter(round__state__in=DECISIONS_PUBLIC, current__isnull=False).exclude(state__in=hidden)
    return public.exclude(_recused(user))


def pitches_known_to(user: Person) -> Known:
    """Return what somebody may know of, in two queries."""
    if user.pk is None:
        return Known([], [])
    whole = set(pitches_read_by(user).values_list("pk", flat=True))
    return Known(sorted(whole), sorted(set(pitches_published(user).values_list("pk", flat=True)) - whole))


def titles_shown(user: Person, ids: Collection[int]) -> frozenset[int]:
    """Return those of some pitches whose title somebody may read: what they may open, and what is published."""
    opened = Q(pk__in=pitches_visible_to(user).order_by().values("pk"), current__isnull=False)
    rows = Pitch.objects.filter(opened | Q(pk__in=pitches_published(user).values("pk")), pk__in=ids)
    return frozenset(rows.values_list("pk", flat=True))


def _recused(user: Person) -> Q:
    judged = Pitch.objects.filter(HasConflict(F("pk"), Value(user.pk)), round__in=rounds_seated(user).values("pk"))
    return Q(pk__in=judged.values("pk"))


def pitches_similar(user: Person, words: Words, *, besides: Collection[int]) -> list[Match]:
    """Return the pitches most like what is written, the most alike first, of those that the reader may know.

    `besides` are ids of pitches that are left out.
    """
    known = pitches_known_to(user)
    whole, titles = ([pk for pk in ids if pk not in besides] for ids in (known.whole, known.titles))
    said = [text.replace("\x00", "") for text in (words.title, words.body, words.workflows)]
    asked = "SELECT pitch, alike, headline FROM pitches_similar(%s, %s, %s, %s::bigint[], %s::bigint[], %s, %s)"
    return _matches(known, asked, [*said, whole, titles, LEAST_ALIKE, MOST_SIMILAR])


def pitches_found(user: Person, text: str) -> list[Match]:
    """Return the pitches that hold the words searched for, best first, of those that the reader may know.

    Quotes, `or` and a leading minus work as in a web search; a number such as P-0007 finds that pitch.
    """
    text = text.replace("\x00", "")[:LONGEST_SEARCH].strip()
    known = pitches_known_to(user)
    number = re.fullmatch(r"[Pp]-?0*(\d{1,17})", text)
    if number is not None:
        wanted = int(number[1])
        return _whole(known, [(wanted, None, ())] if wanted in {*known.whole, *known.titles} else [])
    asked = "SELECT pitch, NULL, headline FROM pitches_search(%s, %s::bigint[], %s::bigint[], %s)"
    return _matches(known, asked, [text, known.whole, known.titles, MOST_FOUND])


def _matches(known: Known, asked: str, values: Sequence[Any]) -> list[Match]:
    with connection.cursor() as cursor:
        cursor.execute(asked, values)
        rows = cursor.fetchall()
    return _whole(known, [(pk, alike, headline_pieces(headline or "")) for pk, alike, headline in rows])


def _whole(known: Known, found: list[tuple[int, Decimal | None, tuple[Piece, ...]]]) -> list[Match]:
    pitches = Pitch.objects.select_related(*STATED).in_bulk([pk for pk, _, _ in found])
    opened = frozenset(known.whole)
    return [Match(pitches[pk], alike, pieces, pk in opened, outcome_of(pitches[pk])) for pk, alike, pieces in found]


def headline_pieces(headline: str) -> tuple[Piece, ...]:
    """Return a headline of the database as pieces: the words that were found, and what stands between them."""
    pieces: list[Piece] = []
    for part in re.split(f"({BEGIN}[^{END}]*{END})", headline):
        if part.startswith(BEGIN):
            pieces.append(Piece(FOUND, part.strip(BEGIN + END)))
        elif part:
            pieces.append(Piece(SAME, part))
    return tuple(pieces)
