"""``Returns`` that is made when the first message goes back: most environments see nothing fail for long.

It imports dataclasses, 15 ms of a cold start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .call import Call

if TYPE_CHECKING:
    from .returning import Returns

__all__ = ["LateReturns"]


class LateReturns:
    """Stands for the ``Returns`` of a batch until there is something to return.

    :param make: makes it
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Returns]) -> None:
        self._make = make
        self._made: Returns | None = None

    def begin(self) -> None:
        """See ``Returns.begin``."""
        if self._made is not None:
            self._made.begin()

    def settled(self) -> None:
        """See ``Returns.settled``."""
        if self._made is not None:
            self._made.settled()

    def failed(self, record: Mapping[str, Any], call: Call, error: BaseException, group: str | None) -> None:
        """See ``Returns.failed``."""
        self._needed().failed(record, call, error, group)

    def takes_back(self, record: Mapping[str, Any]) -> bool:
        """See ``Returns.takes_back``."""
        return self._made is not None and self._made.takes_back(record)

    def kept(self, record: Mapping[str, Any], group: str | None) -> None:
        """See ``Returns.kept``."""
        if self._made is not None:
            self._made.kept(record, group)

    def held(
        self, record: Mapping[str, Any], group: str | None, after: float = 0.0, *, refused: int | None = None
    ) -> None:
        """See ``Returns.held``."""
        self._needed().held(record, group, after, refused=refused)

    def tell(self, left: float) -> None:
        """See ``Returns.tell``."""
        if self._made is not None:
            self._made.tell(left)

    def _needed(self) -> Returns:
        if self._made is None:
            made = self._make()
            made.begin()
            self._made = made
        return self._made
