"""Provider credentials at rest, encrypted for this purpose alone."""

from teams import encryption
from teams.encryption import Unreadable as BadCredential

__all__ = ["BadCredential", "decrypt", "encrypt"]

PURPOSE = "provider credential"


def encrypt(secret: str) -> bytes:
    """Return the secret encrypted for storage."""
    return encryption.encrypt(secret, PURPOSE)


def decrypt(stored: bytes) -> str:
    """Return the secret; empty for nothing stored. Raises BadCredential when the key is another."""
    return encryption.decrypt(stored, PURPOSE)
