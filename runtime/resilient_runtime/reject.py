"""``Reject``: the handler's way to say that no later attempt can succeed."""

from __future__ import annotations

__all__ = ["Reject"]


# Not called RejectError: it reads as an order, ``raise Reject("no such address")``.
class Reject(Exception):  # noqa: N818
    """Give this message up at once: it would fail whatever the weather.

    In mode ``messages`` the whole message goes to the dead-letter queue with its reason, and only when it is
    stored there is it deleted from its queue. Raise it ``from`` the exception that gave it away, and that
    exception is kept too. In mode ``event`` it propagates like any other exception, because whoever invoked
    the function decides what becomes of the event.

    :param reason: why, in a sentence for the person who will read the dead-letter queue
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
