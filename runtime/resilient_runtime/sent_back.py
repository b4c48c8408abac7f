"""What of a batch goes back to its queue, and when it may come again.

When it comes again is a help and no more: whatever goes wrong with that, the message returns when its queue's
visibility timeout ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .call import Call
from .deliveries import Deliveries, Invocation, read_into
from .messages import group_of
from .status import StatusLines, Teller

if TYPE_CHECKING:
    from .late_returns import LateReturns
    from .returning import Returns

__all__ = ["SentBack"]

_MOST_TOLD = 100


class SentBack:
    """Keeps what goes back of one batch after the other, and tells of what was not begun.

    :param returns: when messages that go back may be received again. None: when the visibility timeout of
        their queue ends
    :param lines: writes the status records
    :param tell: takes each of them
    """

    __slots__ = ("_deliveries", "_lines", "_returns", "_tell")

    def __init__(
        self, returns: Returns | LateReturns | None, deliveries: Deliveries, lines: StatusLines, tell: Teller
    ) -> None:
        self._returns = returns
        self._deliveries = deliveries
        self._lines = lines
        self._tell = tell

    def begin(self) -> None:
        """A batch begins."""
        if self._returns is not None:
            self._returns.begin()

    def settled(self) -> None:
        """A message was completed or rejected."""
        if self._returns is not None:
            self._returns.settled()

    def failed(self, record: Mapping[str, Any], call: Call, error: BaseException) -> None:
        """A message failed, and goes back."""
        if self._returns is None:
            return
        try:
            self._returns.failed(record, call, error, group_of(record))
        except Exception as broken:  # noqa: BLE001
            self._tell(self._lines.broken, "visibility", broken)

    def takes_back(self, record: Mapping[str, Any]) -> bool:
        """Whether the message that has just failed is tried again instead of going back."""
        return self._returns is not None and self._returns.takes_back(record)

    def kept(self, record: Mapping[str, Any]) -> None:
        """The message that has just failed is a dead letter instead."""
        if self._returns is not None:
            self._returns.kept(record, group_of(record))

    def after(self, record: Mapping[str, Any], seconds: float | None, *, refused: int | None = None) -> None:
        """Have a message return after some seconds; None leaves that to its queue's visibility timeout.

        :param refused: see ``Returns.held``
        """
        if self._returns is None or seconds is None:
            return
        try:
            self._returns.held(record, group_of(record), seconds, refused=refused)
        except Exception as broken:  # noqa: BLE001
            self._tell(self._lines.broken, "visibility", broken)

    def hold(
        self,
        record: Mapping[str, Any],
        reason: str,
        invocation: Invocation,
        seconds: float | None,
        *,
        group: str | None = None,
    ) -> None:
        """Return a message that is not begun.

        :param seconds: see ``after``
        :param group: its message group, where an earlier message of that went back
        """
        call = self._deliveries.plain(record, invocation)
        with suppress(Exception):  # it goes back unread; its record then has the message id alone
            read_into(call, record)
        self.after(record, seconds, refused=call.attempt if seconds else None)
        self._tell(self._lines.held, call, reason, group)

    def hold_all(
        self,
        records: Sequence[Mapping[str, Any]],
        reason: str,
        invocation: Invocation,
        seconds: float | None,
    ) -> list[str]:
        """Return messages that are not begun; in order, as a FIFO queue's must be."""
        for record in records[:_MOST_TOLD]:
            self.hold(record, reason, invocation, seconds)
        if len(records) > _MOST_TOLD:
            # A batch has up to 10,000 messages, and there is hardly any time left.
            more = len(records) - _MOST_TOLD
            for record in records[_MOST_TOLD:]:
                self.after(record, seconds)
            last = self._deliveries.plain(records[-1], invocation)
            self._tell(self._lines.held, last, f"{reason}; and {more - 1:,} more before this one")
        return [record["messageId"] for record in records]

    def tell(self, left: float) -> None:
        """Say when the messages that go back may come again; if that fails, they come later.

        :param left: seconds until the invocation must end
        """
        if self._returns is None:
            return
        try:
            self._returns.tell(left)
        except Exception as error:  # noqa: BLE001
            self._tell(self._lines.broken, "visibility", error)
