"""Tokens that say what they are for and until when, and that nobody else can make.

URL-safe and opaque: a signature and a short text. Nothing needs to be kept for them.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable

_SIGNATURE_BYTES = 16


class Forged(ValueError):
    """The token was not made here."""


class Expired(ValueError):
    """The token was good once."""


class Tokens:
    """Make and read tokens of one purpose.

    Args:
        secret: signs; whoever has it can make tokens.
        clock: seconds since 1970.
    """

    def __init__(self, secret: bytes, purpose: str, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret, purpose.encode(), hashlib.sha256)
        self._clock = clock

    def make(self, text: str, lifetime_s: float) -> str:
        """Return a token that gives ``text`` back until its time is over."""
        body = f"{int(self._clock() + lifetime_s)}.{text}".encode()
        return base64.urlsafe_b64encode(self._sign(body) + body).decode().rstrip("=")

    def read(self, token: str) -> str:
        """Return the text in a token.

        Raises:
            Forged, Expired: it is not ours, or its time is over.
        """
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as exc:
            raise Forged from exc
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise Forged
        until, _, text = body.decode().partition(".")
        if self._clock() >= int(until):
            raise Expired
        return text

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:_SIGNATURE_BYTES]
