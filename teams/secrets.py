"""The secrets of personal API tokens: `tankpat_` and 64 hexadecimal digits, so that scanners can find leaks.

Only the SHA-256 of a secret is stored. A fast hash is right here: the secret has 256 bits of entropy.
"""

import hashlib
import re
import secrets

PREFIX = "tankpat_"
SHAPE = re.compile(rf"{PREFIX}[0-9a-f]{{64}}")


def make() -> str:
    """Make a new secret."""
    return f"{PREFIX}{secrets.token_hex(32)}"


def is_well_formed(secret: str) -> bool:
    """Say whether a text has the shape of a secret; asks no database."""
    return SHAPE.fullmatch(secret) is not None


def digest(secret: str) -> bytes:
    """Return the SHA-256 under which a secret is stored."""
    return hashlib.sha256(secret.encode()).digest()


def hint(secret: str) -> str:
    """Return the few characters by which people tell secrets apart ("tankpat_9f2a…07")."""
    return f"{secret[: len(PREFIX) + 4]}…{secret[-2:]}"
