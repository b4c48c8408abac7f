"""An event as text for a log, what is secret hidden; bounded in size, depth and time, whatever the event is.

Three things hide a value: the name of its member, its path, and what it looks like. JSON within a text (an
SQS body, an API's body, a stream's data in base64) is taken apart and treated the same; where that cannot be
done, its size stands for it.

Powertools has data masking. Ours exists because that one takes 1.9 ms for three paths (measured), looks into
no text, has no bounds, and raises where an event is odd.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring_ascii as _quote
from typing import Any, NamedTuple

from .event_text import EventText
from .json_paths import State, parse
from .secret_names import is_secret_name
from .secrets_in_text import HIDDEN, SecretsInText
from .settings import RedactionSettings
from .time_limit import TookTooLong, within

__all__ = ["Redactor"]

_SECONDS = 0.1
"""Processor time for one event or text: a tenth of what is kept back before Lambda's timeout."""


class _Rules(NamedTuple):
    is_secret: Callable[[str], bool]
    texts: SecretsInText
    paths: tuple[State, ...]
    fault: str | None


class Redactor:
    """Writes events and texts without their secrets; never raises.

    :param settings: what is hidden besides what is hidden always
    :param known_secrets: texts that are hidden wherever they stand. Default: none
    """

    def __init__(
        self, settings: RedactionSettings, *, known_secrets: Callable[[], frozenset[str]] = frozenset
    ) -> None:
        self._settings = settings
        self._known_secrets = known_secrets
        self._rules: _Rules | None = None

    def __call__(self, event: object) -> str:
        """The event as one line of JSON, at most 8,192 characters.

        A path's ``$`` is the event, and any document within it: a body that was JSON, the detail of an
        EventBridge event, the data that an API accepted.
        """
        try:
            rules = self._ready()
            if rules.fault is not None:
                # What should be hidden is not known, so nothing is shown.
                return _quote(f"{HIDDEN} {rules.fault}")
            writing = EventText(rules.is_secret, rules.texts.hide, rules.paths, beyond=rules.texts.longest())
            return within(_SECONDS, lambda: writing.write(event))
        except TookTooLong:
            return _quote(f"[not told: to redact it took more than {_SECONDS} s]")
        except Exception as error:  # noqa: BLE001  whatever an event does, its handler's failure is told
            return _quote(f"[not told: {type(error).__name__} while it was redacted]")

    def text(self, text: str) -> str:
        """An exception's message without its secrets, for example a token in a URL."""
        return self._hidden(text, SecretsInText.hide)

    def code(self, text: str) -> str:
        """Lines of source code without their secrets; what is assigned to a variable ``token`` stays."""
        return self._hidden(text, SecretsInText.hide_values)

    def _hidden(self, text: str, hide: Callable[[SecretsInText, str], str]) -> str:
        try:
            texts = self._ready().texts
            return within(_SECONDS, lambda: hide(texts, text))
        except (TookTooLong, Exception):  # noqa: BLE001
            return f"{HIDDEN} {len(text):,} characters"

    def _ready(self) -> _Rules:
        """The rules, made ready at the first failure: a cold start pays for no regular expression."""
        if self._rules is None:
            settings = self._settings
            is_secret = is_secret_name(settings.keys)
            paths, odd_paths = _sift(settings.paths, parse)
            patterns, odd_patterns = _sift(settings.patterns, re.compile)
            odd = {**odd_paths, **odd_patterns}
            told = "; ".join(f"{value!r}: {why}" for value, why in odd.items())
            fault = f"RESILIENT_REDACTION cannot be followed, so nothing is shown; correct {told}"
            self._rules = _Rules(
                is_secret,
                SecretsInText(is_secret, patterns),
                tuple(paths),
                fault if odd else None,
            )
        # A secret may have been renewed since.
        self._rules.texts.known = self._known_secrets()
        return self._rules


def _sift(values: Iterable[str], read: Callable[[str], Any]) -> tuple[list[Any], dict[str, str]]:
    """What could be read, and why the rest could not."""
    good: list[Any] = []
    odd: dict[str, str] = {}
    for value in values:
        try:
            good.append(read(value))
        except Exception as error:  # noqa: BLE001  a value of the wrong type is one more that cannot be read
            odd[str(value)] = str(error)
    return good, odd
