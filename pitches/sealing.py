"""Envelopes: what is written today and may be read only later (ballots, the seed of a round).

A ballot says to which pitch and whose it is inside the envelope, so that one cannot be moved to another place, and
every ballot has the same length, so that the outside tells nothing. The key is derived from `ENCRYPTION_KEY`
for this purpose alone: what opens a provider's credential does not open a ballot.
"""

import json
import secrets
from dataclasses import dataclass

from cryptography.fernet import InvalidToken

from teams.encryption import fernet

BALLOT_LENGTH = 128


class BrokenSeal(Exception):
    """An envelope was made with another key, changed, or put into another place."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What a ballot says: a choice, and a score from 1 to 9 unless it abstains."""

    choice: str
    score: int | None


def ballot_seal(vote: Vote, *, pitch_id: int, member_id: int) -> bytes:
    """Return a vote in its envelope."""
    inside = json.dumps({"pitch": pitch_id, "member": member_id, "choice": vote.choice, "score": vote.score})
    return fernet("ballot").encrypt(inside.ljust(BALLOT_LENGTH).encode())


def ballot_open(sealed: bytes, *, pitch_id: int, member_id: int) -> Vote:
    """Return what an envelope holds; called when voting has closed and nowhere else. Raises BrokenSeal."""
    inside = json.loads(_open("ballot", sealed))
    if (inside["pitch"], inside["member"]) != (pitch_id, member_id):
        raise BrokenSeal(f"This ballot was not cast by {member_id} on pitch {pitch_id}.")
    return Vote(inside["choice"], inside["score"])


def seed_make() -> str:
    """Return a new seed: 256 random bits in hexadecimal."""
    return secrets.token_hex(32)


def seed_seal(seed: str) -> bytes:
    """Return a seed in its envelope."""
    return fernet("seed").encrypt(seed.encode())


def seed_open(sealed: bytes) -> str:
    """Return the seed that an envelope holds. Raises BrokenSeal."""
    return _open("seed", sealed)


def _open(purpose: str, sealed: bytes) -> str:
    try:
        return fernet(purpose).decrypt(bytes(sealed)).decode()
    except InvalidToken:
        raise BrokenSeal("This envelope was not sealed with this installation's key.") from None
