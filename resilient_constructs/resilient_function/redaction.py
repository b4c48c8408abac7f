"""What a FAILED record hides of an event, as users of the construct say it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from resilient_runtime.json_paths import parse
from resilient_runtime.settings import RedactionSettings

from resilient_constructs.limits import Faults

from .limits import LOGS_PAGE

__all__ = ["Redaction"]

_PATTERN_PAGE = "https://docs.python.org/3/library/re.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Redaction:
    """What is hidden of an event in a FAILED record, besides what is hidden always.

    Hidden always are the values of members whose name says so (password, token, authorization …), and tokens,
    card numbers and e-mail addresses wherever they stand in a text.

    :param keys: names of members whose value is hidden wherever they stand, compared without case, ``-`` and
        ``_``. Default: none more
    :param paths: places such as ``$.customer.address``, ``$.items[*].note`` or ``$..iban``, where ``$`` is
        the event, and the body of a message too. Default: none
    :param patterns: Python's regular expressions; what they match in any text is hidden. Default: none more

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
    """

    keys: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def check(self, faults: Faults) -> None:
        """Note what could never hide anything, or would hide everything."""
        for name in ("keys", "paths", "patterns"):
            value = getattr(self, name)
            if isinstance(value, str):
                # each letter of it would be taken for a key of its own
                faults.add(f"redact.{name}", value, "a tuple of texts, not one text", LOGS_PAGE)
                return
        for key in self.keys:
            if not key.strip("-_ "):
                faults.add("redact.keys", key, "the name of a member", LOGS_PAGE)
        for path in self.paths:
            try:
                parse(path)  # as the runtime will
            except ValueError:
                allowed = "a path such as $.customer.address, $.items[*].note or $..iban"
                faults.add("redact.paths", path, allowed, LOGS_PAGE)
        for pattern in self.patterns:
            _check_pattern(faults, pattern)

    def settings(self) -> RedactionSettings:
        """What the runtime is told."""
        return RedactionSettings(
            keys=tuple(self.keys), paths=tuple(self.paths), patterns=tuple(self.patterns)
        )


def _check_pattern(faults: Faults, pattern: str) -> None:
    try:
        hides_nothing = re.compile(pattern).search("") is not None
    except re.error as error:
        allowed = f"a regular expression of Python, and this one has: {error}"
        faults.add("redact.patterns", pattern, allowed, _PATTERN_PAGE)
        return
    if hides_nothing:
        # it matches between any two letters
        allowed = "a regular expression that does not match the empty text"
        faults.add("redact.patterns", pattern, allowed, _PATTERN_PAGE)
