"""The controller's hands: thin calls of Lambda, SQS and EventBridge."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resilient_runtime.breaker.circuit import Circuit
from resilient_runtime.stores.circuits import DynamoDBCircuits
from resilient_runtime.stores.refusals import code_of

from .controller import Unavailable, Wake
from .feeding import MappingState

__all__ = ["EventBus", "LambdaMappings", "WakeQueue", "make_client", "read_wake", "reader_of"]

_PASSES = frozenset(
    {
        # Lambda changes one mapping at a time, and says so with either of these.
        "ResourceInUseException",
        "ResourceConflictException",
        "TooManyRequestsException",
        "ThrottlingException",
        "ServiceException",
        "InternalFailure",
        "ServiceUnavailable",
        "RequestTimeout",
        # the network, by the name of botocore's exception
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "EndpointConnectionError",
        "ConnectionClosedError",
    }
)
"""https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html#API_UpdateEventSourceMapping_Errors"""

_ENTRIES = 10
"""https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html"""


def make_client(service: str) -> Any:
    """A client that gives up soon: the controller tries again itself, with its time in view."""
    # Late on purpose, like every import of botocore here.
    from resilient_runtime.stores.clients import client

    return client(service, read_timeout=5)


def reader_of(table: str, client: Any) -> Callable[[str], Circuit]:
    """Reads a circuit as it is at this moment: what is acted on must not be older than what made us look."""
    circuits = DynamoDBCircuits(table, lambda: client, consistent=True)
    return lambda name: circuits.read(name).circuit


class LambdaMappings:
    """Event source mappings by their UUID.

    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, mapping: str) -> MappingState | None:
        """The mapping as it is; None where there is none."""
        try:
            found = self._client.get_event_source_mapping(UUID=mapping)
        except Exception as error:
            if code_of(error) == "ResourceNotFoundException":
                return None
            raise _later(error) from error
        concurrency = (found.get("ScalingConfig") or {}).get("MaximumConcurrency")
        retries = found.get("MaximumRetryAttempts")
        return MappingState(
            str(found["State"]),
            None if concurrency is None else int(concurrency),
            None if retries is None else int(retries),
        )

    def update(self, mapping: str, *, enabled: bool, concurrency: int | None, retries: int | None) -> None:
        """Change it."""
        changes: dict[str, Any] = {"Enabled": enabled}
        if concurrency is not None:
            changes["ScalingConfig"] = {"MaximumConcurrency": concurrency}
        if retries is not None:
            changes["MaximumRetryAttempts"] = retries
        try:
            self._client.update_event_source_mapping(UUID=mapping, **changes)
        except Exception as error:
            raise _later(error) from error


class WakeQueue:
    """A queue that the controller itself is fed from."""

    def __init__(self, url: str, client: Any) -> None:
        self._url = url
        self._client = client

    def leave(self, wake: Wake, seconds: int) -> None:
        """Send a message that is kept back."""
        self._client.send_message(
            QueueUrl=self._url, MessageBody=json.dumps(wake._asdict()), DelaySeconds=seconds
        )


def read_wake(body: str) -> Wake:
    """The message, as it was left."""
    return Wake(**json.loads(body))


class EventBus:
    """EventBridge."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Put events, ten at a time.

        :raises RuntimeError: when one of them was not taken; all are then put again, some twice
        """
        for first in range(0, len(entries), _ENTRIES):
            answer = self._client.put_events(Entries=list(entries[first : first + _ENTRIES]))
            if answer.get("FailedEntryCount"):
                refused = [one["ErrorCode"] for one in answer["Entries"] if one.get("ErrorCode")]
                raise RuntimeError(f"EventBridge did not take all of a circuit's events: {refused}")


def _later(error: Exception) -> Exception:
    return Unavailable(str(error)) if code_of(error) in _PASSES else error
