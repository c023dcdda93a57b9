"""Envelopes: what is written today and may be read only later (ballots, the seed of a round).

A ballot is sealed to the public half of its round's key (HPKE, RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305), so
that who casts it cannot open it again. Round, pitch and member go into the key of each envelope, so that one cannot be
moved to another place, and every ballot has the same length, so that the outside tells nothing. The private half is
kept under a key that is derived from `ENCRYPTION_KEY` for this purpose alone. `docs/ballots.md` says who can read what.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from teams.encryption import fernet

BALLOT_LENGTH = 128
VERSION = b"\x01"
FERNET = b"gAAAA"
"""What ballots began with that were cast before rounds had keys of their own."""
SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


class BrokenSeal(Exception):
    """An envelope was made with another key, changed, or put into another place."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What a ballot says: a choice, and a score from 1 to 9 unless it abstains."""

    choice: str
    score: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an envelope belongs, by ids: the round, the pitch, and the member who cast it."""

    round: int
    pitch: int
    member: int

    @property
    def info(self) -> bytes:
        """Return the place as bytes that go into the envelope's key."""
        return f"tank ballot 1: round {self.round}, pitch {self.pitch}, member {self.member}".encode()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A round's ballot key: the public half in the open, 32 bytes, the private half in an envelope of its own."""

    public: bytes
    private_sealed: bytes


def key_make(round_id: int) -> KeyPair:
    """Return a new key for the ballots of a round."""
    private = X25519PrivateKey.generate()
    inside = json.dumps({"round": round_id, "private": private.private_bytes_raw().hex()})
    return KeyPair(private.public_key().public_bytes_raw(), fernet("ballot key").encrypt(inside.encode()))


def key_open(private_sealed: bytes, *, round_id: int) -> bytes:
    """Return the private half of a round's ballot key, 32 bytes. Raises BrokenSeal."""
    inside = json.loads(_open("ballot key", private_sealed))
    if inside["round"] != round_id:
        raise BrokenSeal(f"This is not the ballot key of round {round_id}.")
    return bytes.fromhex(inside["private"])


def ballot_seal(vote: Vote, *, public: bytes, place: Place) -> bytes:
    """Return a vote in its envelope; only the private half of the key opens it."""
    inside = json.dumps({"choice": vote.choice, "score": vote.score}).ljust(BALLOT_LENGTH).encode()
    return VERSION + SUITE.encrypt(inside, X25519PublicKey.from_public_bytes(public), info=place.info)


def ballot_open(sealed: bytes, *, private: bytes, place: Place) -> Vote:
    """Return what an envelope holds; called when voting has closed and nowhere else. Raises BrokenSeal."""
    if sealed.startswith(FERNET):
        return _ballot_open_fernet(sealed, place)
    try:
        if not sealed.startswith(VERSION):
            raise InvalidTag
        text = SUITE.decrypt(sealed[1:], X25519PrivateKey.from_private_bytes(private), info=place.info)
    except (InvalidTag, ValueError):
        raise BrokenSeal(f"This envelope does not belong to {place}, or it was changed.") from None
    inside = json.loads(text)
    return Vote(inside["choice"], inside["score"])


def _ballot_open_fernet(sealed: bytes, place: Place) -> Vote:
    inside = json.loads(_open("ballot", sealed))
    if (inside["pitch"], inside["member"]) != (place.pitch, place.member):
        raise BrokenSeal(f"This envelope does not belong to {place}.")
    return Vote(inside["choice"], inside["score"])


def receipt_of(sealed: bytes) -> str:
    """Return the receipt of an envelope: its SHA-256 in hexadecimal, which says nothing of what is inside."""
    return hashlib.sha256(sealed).hexdigest()


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
