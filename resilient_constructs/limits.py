"""Limits as values: name, range, unit and the AWS page they come from, and the one way to report a breach.

A default, a bound and a unit are one named thing, typed once. Every room declares its own in its
``limits.py`` and hands values to ``Faults``, which tells all the faults of one construct at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

__all__ = ["Faults", "Limit"]

# A CDK number token is a double near -1.888e289; no legal value of any AWS property is below this.
# The road not taken is Token.is_unresolved, which costs a round trip to Node for every property.
_NUMBER_TOKEN_CEILING = -1e200


def _is_token(value: object) -> bool:
    if isinstance(value, str):
        return "${Token[" in value
    return isinstance(value, (int, float)) and -math.inf < value < _NUMBER_TOKEN_CEILING


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """A numeric property's legal range, with its unit and its source.

    :param prop: the property's name as the user types it
    :param low: smallest legal value, or None where there is none
    :param high: largest legal value, or None where there is none
    :param unit: what the number counts, in the plural ("invocations", "seconds")
    :param page: the AWS page that states the range
    :param default: the value used where the user gives none
    :param whole: whether only whole numbers make sense. Default: yes
    """

    prop: str
    low: float | None
    high: float | None
    unit: str
    page: str
    default: float | None = None
    whole: bool = True

    def allows(self, value: object) -> bool:
        """Whether ``value`` is a number in range; an unresolved token always is."""
        if _is_token(value):
            return True
        # bool is an int to Python, and max_concurrency=True is a slip of the pen, not a one.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        if self.whole and value != int(value):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    @property
    def allowed(self) -> str:
        """The range in words, as the error prints it."""
        kind = "" if not self.whole else "whole numbers, "
        if self.low is None:
            return f"{kind}at most {self.high:,} {self.unit}" if self.high is not None else f"{kind}any"
        if self.high is None:
            return f"{kind}at least {self.low:,} {self.unit}"
        return f"{kind}{self.low:,} to {self.high:,} {self.unit}"


@dataclass(slots=True)
class Faults:
    """Collects what is wrong with one construct and raises it as one ``ValueError``.

    :param owner: who the faults belong to, class and construct ID: ``"FlowControlledConsumer 'Delivery'"``
    """

    owner: str
    found: list[str] = field(default_factory=list)

    def check(self, limit: Limit, value: object) -> None:
        """Note a fault when ``value`` is out of the limit's range; None and tokens pass."""
        if value is not None and not limit.allows(value):
            self.add(limit.prop, value, limit.allowed, limit.page)

    def add(self, prop: str, value: object, allowed: str, page: str) -> None:
        """Note a fault: which property, what it was, what it may be, and the page that says so."""
        self.found.append(f"{prop} is {value!r}; allowed: {allowed} ({page})")

    def raise_any(self) -> None:
        """Raise every fault noted so far as one error.

        :raises ValueError: when at least one fault was noted
        """
        if not self.found:
            return
        if len(self.found) == 1:
            raise ValueError(f"{self.owner}: {self.found[0]}")
        listed = "\n".join(f"  - {fault}" for fault in self.found)
        raise ValueError(f"{self.owner} has {len(self.found)} faults:\n{listed}")
