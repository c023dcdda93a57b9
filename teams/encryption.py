"""Secrets at rest: Fernet (AES-128-CBC with HMAC-SHA256) under keys derived from `ENCRYPTION_KEY`.

Each purpose has a key of its own (HKDF): what opens a provider's credential opens no ballot and no webhook's secret.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(Exception):
    """A stored secret cannot be read with this encryption key."""


def encrypt(secret: str, purpose: str) -> bytes:
    """Return a secret encrypted for storage."""
    return fernet(purpose).encrypt(secret.encode())


def decrypt(stored: bytes | memoryview, purpose: str) -> str:
    """Return a stored secret; empty for nothing stored. Raises Unreadable when the key or the purpose is another."""
    if not stored:
        return ""
    try:
        return fernet(purpose).decrypt(bytes(stored)).decode()
    except InvalidToken:
        raise Unreadable("The encryption key does not open this secret.") from None


def fernet(purpose: str) -> Fernet:
    """Return the cipher of one purpose."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"tank envelope: {purpose}".encode())
    return Fernet(base64.urlsafe_b64encode(derived.derive(settings.ENCRYPTION_KEY.encode())))
