"""What is secret in a text whatever its place: tokens, keys, payment cards, e-mail addresses.

Every expression here is linear: no part of it can match the same letters in two ways, or only a bounded
number of them. A failing handler must not spend its last second in a regular expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = ["HIDDEN", "SecretsInText", "hide_cards"]

HIDDEN = "[hidden]"

_SHORTEST = 6
_LONGEST_TOLD_APART = 256

_TOKENS = (
    # A JSON web token, or any JSON object in base64: both begin with {" https://datatracker.ietf.org/doc/html/rfc7519
    ("eyJ", r"eyJ[A-Za-z0-9_+/-]{8,}=*(?:\.[A-Za-z0-9_-]*){0,4}"),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    ("A", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"),
    # GitHub, Hugging Face, npm, Stripe
    # https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
    ("_", r"(?:gh[pousr]|github_pat|hf|npm|whsec|[rsp]k_live|[rsp]k_test)_[A-Za-z0-9_]{16,}"),
    # GitLab, PyPI, OpenAI and others, Slack
    ("-", r"(?:glpat|pypi|sk|xox[abeoprs])-[A-Za-z0-9_-]{16,}"),
    ("AIza", r"AIza[A-Za-z0-9_-]{30,}"),
    ("PRIVATE KEY", r"(?s)-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}-----|\Z)"),
)
_SCHEME = r"(?i)\b(bearer(?=.{8})|(?:basic|negotiate)(?=.{16}))(?:[ \t]{1,8}|%20|\+)[\w.~+/-]{8,}=*"
_USER_OF_URL = r"://[^/\s@\"'<>]{1,256}@"
# The quote that a text begins with is not the name's.
_EMAIL = r"[\w.+~-][\w.+'~-]{0,63}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"

# ``token=…``, ``"token": "…"``, ``\"token\": …``, ``a[token]=…``, ``Cookie: …``: from the beginning of a
# name only, so that a long word is looked at once.
_MEMBER = r"""(?<![\w.-])([\w.-]{1,128})(?:\]|%5D)?(?:\\?["'])?[ \t]{0,4}(?:=|:|%3D)[ \t]{0,4}"""
_QUOTED = r"""(?s)\\?"(?:[^"\\]|\\.)*(?:"|\\?\Z)|\\?'(?:[^'\\]|\\.)*(?:'|\\?\Z)"""
_WORD = r"""[^\s&,;"'<>()\[\]{}]+"""
_LINE = r"""[^\r\n"']+"""

_DIGITS = re.compile(r"[0-9](?:[ -]?[0-9]){12,}")
_GROUP = re.compile(r"[0-9]+")
_DOUBLED = str.maketrans("0123456789", "0246813579")
_SHORTEST_CARD, _LONGEST_CARD = 13, 19
_FIRST = {13: "4", 14: "3", 15: "3"}


class SecretsInText:
    """Hides what is secret in a text.

    :param is_secret: tells whether a name's value is secret, as in ``name=value``
    :param patterns: what they match is hidden too
    :ivar known: texts that are hidden wherever they stand
    """

    def __init__(
        self,
        is_secret: Callable[[str], bool],
        patterns: Iterable[re.Pattern[str]] = (),
    ) -> None:
        self._is_secret = is_secret
        self.known: frozenset[str] = frozenset()
        self._tokens = [(needle, re.compile(pattern)) for needle, pattern in _TOKENS]
        self._scheme, self._user, self._email = (re.compile(one) for one in (_SCHEME, _USER_OF_URL, _EMAIL))
        self._member, self._quoted, self._word, self._line = (
            re.compile(one) for one in (_MEMBER, _QUOTED, _WORD, _LINE)
        )
        self._more = tuple(patterns)

    def longest(self) -> int:
        """How many letters of a text must be seen together, so that no secret is taken for something else."""
        return max((_LONGEST_TOLD_APART, *map(len, self.known)))

    def hide(self, text: str) -> str:
        """The text without its secrets."""
        text = self._without_known(text)
        if len(text) >= _SHORTEST and ("=" in text or ":" in text or "%3D" in text):
            text = self._hide_members(text)
        return self.hide_values(text)

    def hide_values(self, text: str) -> str:
        """The same, but a secret name's value stays: in code, ``token = read()`` gives nothing away."""
        text = self._without_known(text)
        if len(text) >= _SHORTEST:
            if "://" in text:
                text = self._user.sub(f"://{HIDDEN}@", text)
            for needle, token in self._tokens:
                if needle in text:
                    text = token.sub(HIDDEN, text)
            text = self._scheme.sub(rf"\1 {HIDDEN}", text)
            if "@" in text or "%40" in text:
                text = self._email.sub(HIDDEN, text)
            text = hide_cards(text)
        for pattern in self._more:
            text = pattern.sub(HIDDEN, text)
        return text

    def _without_known(self, text: str) -> str:
        for secret in self.known:
            text = text.replace(secret, HIDDEN)
        return text

    def _hide_members(self, text: str) -> str:
        kept: list[str] = []
        done = 0
        for found in self._member.finditer(text):
            name = found[1]
            if found.start() < done or not self._is_secret(name):
                continue
            # A header's value has spaces and semicolons in it.
            header = "cookie" in name.lower() or "authorization" in name.lower()
            start = found.end()
            value = self._quoted.match(text, start) or (self._line if header else self._word).match(
                text, start
            )
            if value is not None:
                kept += (text[done:start], HIDDEN)
                done = value.end()
        return "".join((*kept, text[done:])) if kept else text


def hide_cards(text: str) -> str:
    """Hide what can be a payment card's number: 13 to 19 digits with a card's first digit and checksum."""
    return _DIGITS.sub(_without_cards, text)


def _without_cards(found: re.Match[str]) -> str:
    text = found[0]
    groups = [one.span() for one in _GROUP.finditer(text)]
    kept: list[str] = []
    done = first = 0
    while first < len(groups):
        last = _last_group_of_card(text, groups, first)
        if last is not None:
            kept += (text[done : groups[first][0]], HIDDEN)
            done = groups[last][1]
            first = last
        first += 1
    return "".join((*kept, text[done:])) if kept else text


def _last_group_of_card(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """Where the longest card ends that begins with this group of digits, else None."""
    found = None
    digits = ""
    for index in range(first, len(groups)):
        start, end = groups[index]
        # Cards are printed in groups; single digits apart are a list of numbers.
        if end - start == 1 or len(digits) + end - start > _LONGEST_CARD:
            break
        digits += text[start:end]
        if len(digits) >= _SHORTEST_CARD and _is_card(digits):
            found = index
    return found


def _is_card(digits: str) -> bool:
    """Luhn's checksum (ISO/IEC 7812-1), for what begins like a card that is in use."""
    # One number in ten has the checksum, and a timestamp in milliseconds has 13 digits: hence the prefix.
    if digits[0] not in _FIRST.get(len(digits), "23456"):
        return False
    return sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0
