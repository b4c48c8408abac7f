"""What becomes of a message that is handed to a ``StorageFirstApi``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Accepted", "Rejected", "SendFailed", "Sending", "Throttled", "Unavailable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The API has stored the message: from here on it is the API's duty.

    :param message_id: the id of the message or event, as the storage gave it
    :param correlation_id: finds every log line of this piece of work
    :param idempotency_key: what the message was sent with
    :param attempts: how many requests it took
    """

    message_id: str
    correlation_id: str
    idempotency_key: str
    attempts: int


# Neither this nor its kinds end in Error: they read as what happened.
class SendFailed(Exception):  # noqa: N818
    """A message was not accepted, or nobody knows whether it was.

    :ivar status: the last answer's status; None where there was no answer
    :ivar problem: the last answer's ``application/problem+json``; empty where it was none
    :ivar accepted: ``no``, or ``unknown`` when an attempt ended without a clear answer
    :ivar correlation_id: what every attempt was sent with
    :ivar idempotency_key: what every attempt was sent with, and the next one should be
    :ivar attempts: how many requests were made
    """

    def __init__(
        self, what: str, *, sending: Sending, status: int | None, problem: Mapping[str, Any], remedy: str
    ) -> None:
        self.status = status
        self.problem = problem
        self.accepted: Literal["no", "unknown"] = "unknown" if sending.unclear else "no"
        self.correlation_id = sending.correlation_id
        self.idempotency_key = sending.idempotency_key
        self.attempts = sending.attempts
        known = (
            "The message was NOT accepted"
            if self.accepted == "no"
            else "It is UNKNOWN whether the message was accepted"
        )
        super().__init__(
            f"{what}. {known}: {remedy} (idempotency_key {self.idempotency_key}, "
            f"correlation_id {self.correlation_id}, attempts {self.attempts})"
        )


class Rejected(SendFailed):
    """The API refuses this request (4xx), and would refuse it again."""


class Throttled(SendFailed):
    """The API is well, and takes no more requests for now (429)."""

    throttled = True


class Unavailable(SendFailed):
    """The API could not be reached, or could not store the message, until attempts or time were up."""


@dataclass(kw_only=True, slots=True)
class Sending:
    """One message on its way."""

    idempotency_key: str
    correlation_id: str
    attempts: int = 0
    unclear: bool = False
