"""The secrets of quota keys: `tank_`, 32 random characters, and a checksum so that scanners can find leaks.

Only the SHA-256 of a secret is stored. A fast hash is right here: the secret has 190 bits of entropy, so there
is nothing to guess, and a gateway hashes it on every call.
"""

import hashlib
import secrets
import string
import zlib

PREFIX = "tank_"
ALPHABET = string.digits + string.ascii_letters
RANDOM_CHARACTERS = 32
CHECKSUM_CHARACTERS = 6


def make() -> str:
    """Make a new secret."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return f"{PREFIX}{body}{_checksum(body)}"


def is_well_formed(secret: str) -> bool:
    """Say whether a text has the shape and the checksum of a secret; asks no database."""
    body, checksum = secret[len(PREFIX) : -CHECKSUM_CHARACTERS], secret[-CHECKSUM_CHARACTERS:]
    return (
        secret.startswith(PREFIX)
        and len(body) == RANDOM_CHARACTERS
        and body.isascii()
        and secrets.compare_digest(checksum.encode(), _checksum(body).encode())
    )


def digest(secret: str) -> bytes:
    """Return the SHA-256 under which a secret is stored."""
    return hashlib.sha256(secret.encode()).digest()


def hint(secret: str) -> str:
    """Return the few characters by which people tell secrets apart ("tank_9fK2…Q7")."""
    return f"{secret[: len(PREFIX) + 4]}…{secret[-2:]}"


def _checksum(body: str) -> str:
    # CRC-32 in base 62, as GitHub's tokens have it.
    value, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARACTERS):
        value, place = divmod(value, len(ALPHABET))
        digits = ALPHABET[place] + digits
    return digits
