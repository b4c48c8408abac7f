"""Which members of an event are secret by their name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = ["STEMS", "WORDS", "is_secret_name"]

STEMS = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "authorization",
    "authentication",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "credential",
    "cookie",
    "signature",
    "cardnumber",
    "creditcard",
    "debitcard",
    "securitycode",
    "socialsecurity",
    "accountnumber",
    "connectionstring",
)
"""Secret wherever they stand in a name: ``clientSecret``, ``X-Amz-Security-Token``."""

WORDS = frozenset(
    {
        "auth",
        "bearer",
        "card",
        "csrf",
        "cvc",
        "cvv",
        "cvv2",
        "dsn",
        "iban",
        "jwt",
        "otp",
        "pan",
        "passport",
        "pin",
        "pwd",
        "session",
        "sessionid",
        "ssn",
        "xsrf",
    }
)
"""Secret only as a whole word, for they hide in harmless ones: cardinality, shipping, kibana."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+[0-9]*")
_MOST_REMEMBERED = 1024


def is_secret_name(more: Iterable[str]) -> Callable[[str], bool]:
    """A function that tells whether a member of this name is secret.

    :param more: names that are secret too, compared as a whole without case, ``-`` and ``_``
    """
    exact = WORDS | {_plain(name) for name in more}
    known: dict[str, bool] = {}

    def secret(name: str) -> bool:
        found = known.get(name)
        if found is None:
            plain = _plain(name)
            found = (
                plain in exact
                or any(stem in plain for stem in STEMS)
                or any(word.lower() in WORDS for word in _WORD.findall(name))
            )
            # Names are few, except where an event uses ids as names: those must not pile up.
            if len(known) < _MOST_REMEMBERED:
                known[name] = found
        return found

    return secret


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").replace(" ", "").lower()
