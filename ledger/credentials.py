"""Provider credentials at rest: Fernet (AES-128-CBC with HMAC-SHA256) under the key in `ENCRYPTION_KEY`."""

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class BadCredential(Exception):
    """A stored credential cannot be read with this encryption key."""


def encrypt(secret: str) -> bytes:
    """Return the secret encrypted for storage."""
    return Fernet(settings.ENCRYPTION_KEY).encrypt(secret.encode())


def decrypt(stored: bytes) -> str:
    """Return the secret; empty for nothing stored. Raises BadCredential when the key is another."""
    if not stored:
        return ""
    try:
        return Fernet(settings.ENCRYPTION_KEY).decrypt(bytes(stored)).decode()
    except InvalidToken:
        raise BadCredential("The encryption key does not open this credential.") from None
