"""Who is asked to review what: free of conflicts, and as even as conflicts allow. A leaf without a database.

The sum of squares of the members' loads is the least possible, which makes the sorted loads as even as any assignment
can be (semi-matchings: Harvey, Ladner, Lovász and Tamir, "Semi-matchings for bipartite graphs and load balancing",
2006): an assignment is optimal exactly when no chain of exchanges leads from a member to one with at least two pitches
fewer. What is held already stays; only the rest is chosen.
"""

import hashlib
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

Pair = tuple[int, int]
"""A pitch and a member."""


@dataclass(slots=True)
class _Board:
    """The state of the search: who is asked for what, and how much each member has."""

    eligible: Mapping[int, list[int]]
    held: frozenset[Pair]
    asked: dict[int, set[int]]
    loads: dict[int, int] = field(default_factory=dict)

    def give(self, pitch: int, member: int) -> None:
        self.asked[pitch].add(member)
        self.loads[member] += 1

    def take(self, pitch: int, member: int) -> None:
        self.asked[pitch].remove(member)
        self.loads[member] -= 1


def assign(
    eligible: Mapping[int, Collection[int]], *, each: int, seed: str, held: Collection[Pair] = ()
) -> frozenset[Pair]:
    """Return (pitch, member) pairs: `each` eligible members per pitch, or all where there are fewer, loads even.

    `held` pairs stay where their member is still eligible, also beyond `each`. Ties are broken by SHA-256 of the seed
    and the ids, so that the order of the input does not matter and the same seed gives the same pairs.
    """
    kept = frozenset((pitch, member) for pitch, member in held if member in eligible.get(pitch, ()))
    board = _begin(eligible, kept, seed)
    for pitch in sorted(board.eligible, key=lambda one: _lot(seed, one)):
        free = [member for member in board.eligible[pitch] if member not in board.asked[pitch]]
        places = {member: place for place, member in enumerate(free)}
        free.sort(key=lambda member: (board.loads[member], places[member]))
        for member in free[: max(0, each - len(board.asked[pitch]))]:
            board.give(pitch, member)
    while _improve(board):
        pass
    return frozenset((pitch, member) for pitch, members in board.asked.items() for member in members)


def _begin(eligible: Mapping[int, Collection[int]], kept: frozenset[Pair], seed: str) -> _Board:
    ordered = {
        pitch: sorted(set(eligible[pitch]), key=lambda member: _lot(seed, pitch, member)) for pitch in sorted(eligible)
    }
    board = _Board(ordered, kept, {pitch: set() for pitch in ordered})
    board.loads = {member: 0 for members in ordered.values() for member in members}
    for pitch, member in kept:
        board.give(pitch, member)
    return board


def _lot(seed: str, *ids: int) -> str:
    return hashlib.sha256(":".join((seed, *map(str, ids))).encode()).hexdigest()


def _improve(board: _Board) -> bool:
    """Move load along one chain of exchanges from a member to one with at least two fewer; False when none is left."""
    for start in sorted(board.loads, key=lambda member: (-board.loads[member], member)):
        chain = _chain(board, start)
        if chain:
            for giver, pitch, taker in chain:
                board.take(pitch, giver)
                board.give(pitch, taker)
            return True
    return False


def _chain(board: _Board, start: int) -> list[tuple[int, int, int]]:
    """Return the exchanges (giver, pitch, taker) of a shortest improving chain from a member; empty when there is none.

    A pitch is on a shortest chain at most once from each giver, and whoever takes it did not have it.
    """
    came: dict[int, tuple[int, int]] = {}
    queue, seen = deque([start]), {start}
    while queue:
        giver = queue.popleft()
        for pitch, members in board.asked.items():
            if giver not in members or (pitch, giver) in board.held:
                continue
            for taker in board.eligible[pitch]:
                if taker in seen or taker in members:
                    continue
                came[taker] = (giver, pitch)
                if board.loads[taker] <= board.loads[start] - 2:
                    return _walk(came, start, taker)
                seen.add(taker)
                queue.append(taker)
    return []


def _walk(came: Mapping[int, tuple[int, int]], start: int, end: int) -> list[tuple[int, int, int]]:
    chain = []
    taker = end
    while taker != start:
        giver, pitch = came[taker]
        chain.append((giver, pitch, taker))
        taker = giver
    return chain
