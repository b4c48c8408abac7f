"""An event that only claims its payload: a handler gets the payload itself.

A function need not be told which workflows it works for, nor where their inputs are kept: its role says what
it may read, and a claim is good only for content whose digest it names.

Records of the invocation still show the event as it came, which is the claim: what was too large for an
execution's input is too large for a log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from .handler_lookup import Handler
from .work_envelope import envelope_of

if TYPE_CHECKING:
    from .stores.claims import S3Claims

__all__ = ["ReadsClaims", "made_whole"]


class ReadsClaims(Protocol):
    """Where payloads are kept."""

    def read(self, claim: Mapping[str, Any]) -> str:
        """The payload, as JSON.

        :raises Exception: when it cannot be had
        """
        ...


def made_whole(function: Handler, connect: Callable[[], ReadsClaims] | None = None) -> Handler:
    """Wrap a handler of events so that it gets what an event claims.

    :param connect: makes the store when the first payload is claimed. Default: S3
    """
    stores: list[ReadsClaims] = []

    def store() -> ReadsClaims:
        if not stores:
            stores.append(_s3() if connect is None else connect())
        return stores[0]

    def handle(event: Any, context: Any) -> Any:
        about = envelope_of(event)
        claim = None if about is None else about.get("claim")
        if type(claim) is dict:
            event = json.loads(store().read(claim))
        return function(event, context)

    return handle


def _s3() -> S3Claims:
    # Late on purpose: few inputs are that large, and botocore takes 150 ms to import.
    from .stores.claims import S3Claims

    return S3Claims()
