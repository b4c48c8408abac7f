"""A message that is delivered twice is handled once: Powertools' idempotency utility around a handler.

The key is the call's idempotency key, within this function. What each outcome leaves in the table:

* the handler returned: *completed*, so that any later delivery within the window is done without the handler;
* it raised, or rejected the message: nothing. A retry must run, and so must a rejected message that somebody
  corrected the handler for and sent back from the dead-letter queue, which keeps its key;
* it was interrupted, or its environment died: *in progress*, until the invocation's own end and no longer.

https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, cast

from .call import Call
from .interruption import DeadlineExceeded
from .not_begun import NotBegun
from .rare_records import RareRecords
from .settings import IdempotencySettings
from .unfinished import refuse_unfinished

__all__ = ["BeingHandled", "NotRemembered", "make_idempotent"]

_BEING_HANDLED = (
    "another environment is at work on it, or was stopped at it a moment ago, so the handler was not called "
    "and nothing is lost: it is tried again, and is done then if the other one completed it"
)
_NOT_BEGUN = (
    "the table that remembers what is done could not be asked, so the handler was not called and nothing is "
    "lost: it is tried again"
)
_NOT_NOTED = (
    "The handler completed it, so it counts as done, but the table does not know it: should it be delivered "
    "once more, after this invocation's time, the handler runs again."
)
_NOT_CLEARED = (
    "The handler failed, and the table still says that it is at work: it can be handled again after this "
    "invocation's time."
)


_AT_ONCE, _LOOKS_AGAIN = 0.1, 2.0
"""Seconds after which it is looked at again, at least and at most; each look is a write."""


class BeingHandled(NotBegun):
    """Another environment is at work on this message, or was killed at it and still has time left.

    :param ends_in: seconds until whoever is at work on it cannot be any more. Default: nobody knows
    """

    is_of_this_alone = True

    def __init__(self, text: str = "", *, ends_in: float | None = None) -> None:
        super().__init__(text)
        # Whoever is alive may end at any time. Of whoever is dead the mark ends with its invocation's time,
        # hardly before that of the next one: so not a moment later.
        self.retry_after = _LOOKS_AGAIN if ends_in is None else min(max(ends_in, _AT_ONCE), _LOOKS_AGAIN)


class NotRemembered(NotBegun):
    """The table could not be asked, so the handler was not called."""


def make_idempotent(
    function: Callable[[Any, Call], Any],
    settings: IdempotencySettings,
    *,
    function_name: str,
    records: RareRecords,
    connect: Callable[[], Any] | None = None,
) -> Callable[[Any, Call], Any]:
    """Wrap a message handler so that what it completed once is not handled again within the window.

    Powertools and a DynamoDB client are imported here, in the init phase, and nowhere else.

    :param function: the user's ``f(body, call)``
    :param settings: which table, and for how long
    :param function_name: whose keys these are: several functions may share a table
    :param records: tells what a person may want to know
    :param connect: makes the DynamoDB client. Default: one that gives up after about six seconds
    """
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent_function,
    )
    from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyAlreadyInProgressError

    from .stores.clients import client

    config = IdempotencyConfig(
        expires_after_seconds=int(settings.expires_after),
        raise_on_no_idempotency_key=True,
        # Powertools' default, MD5, does not exist where FIPS 140 is enforced.
        hash_function="sha256",
        # Of a context, only the remaining time is used.
        lambda_context=cast("Any", _Context()),
    )
    remembered = idempotent_function(
        _run,
        data_keyword_argument="key",
        persistence_store=DynamoDBPersistenceLayer(
            settings.table_name, boto3_client=(connect or (lambda: client("dynamodb")))()
        ),
        config=config,
        key_prefix=function_name,
    )

    def handle(body: Any, call: Call) -> Any:
        attempt = _Attempt(function, body, call)
        token = _call.set(call)
        try:
            remembered(key=call.idempotency_key, attempt=attempt)
        except _Failed:
            pass  # whatever the handler raised is raised below, without the way it took through Powertools
        except IdempotencyAlreadyInProgressError as error:
            text = f"{_BEING_HANDLED} (idempotency key {call.idempotency_key})"
            raise BeingHandled(text, ends_in=_ends_in(error)) from error
        except Exception as error:
            if not attempt.began:
                raise NotRemembered(f"{_NOT_BEGUN}. {_explain(error, settings.table_name)}") from error
            remedy = _NOT_NOTED if attempt.error is None else _NOT_CLEARED
            members = _about(call) | {"error": _explain(error, settings.table_name), "remedy": remedy}
            _tell(records, "NOT_REMEMBERED", members, counts="NotRemembered")
        except DeadlineExceeded as error:
            if not attempt.began:
                # It struck while the table did not answer: the handler must not be blamed for that.
                raise NotRemembered(f"{_NOT_BEGUN}. {_explain(error, settings.table_name)}") from error
            if not attempt.completed:
                raise
            # The work is done and only its note is missing: deleted, the message comes least often again.
            members = _about(call) | {"error": type(error).__name__, "remedy": _NOT_NOTED}
            _tell(records, "NOT_REMEMBERED", members, counts="NotRemembered")
        finally:
            _call.reset(token)
        if attempt.error is not None:
            raise attempt.error.with_traceback(attempt.trace)
        if not attempt.began:
            _tell(records, "REPEATED", _about(call), counts="Repeated")
        return attempt.outcome

    return handle


class _Failed(Exception):  # noqa: N818  stands for the handler's exception on its way through Powertools
    """The handler failed. Powertools must not see with what: some exceptions mean something to it."""


class _Attempt:
    """One call of the handler, and what became of it."""

    __slots__ = ("_body", "_call", "_function", "began", "completed", "error", "outcome", "trace")

    def __init__(self, function: Callable[[Any, Call], Any], body: Any, call: Call) -> None:
        self._function = function
        self._body = body
        self._call = call
        self.began = False
        self.completed = False
        self.error: Exception | None = None
        self.trace: TracebackType | None = None
        self.outcome: Any = None

    def run(self) -> None:
        self.began = True
        try:
            self.outcome = self._function(self._body, self._call)
            if self.outcome is not None:
                refuse_unfinished(self.outcome)
        except Exception as error:  # noqa: BLE001  raised again once Powertools is through
            self.error = error
            self.trace = error.__traceback__
            raise _Failed from None
        self.completed = True


_call: ContextVar[Call | None] = ContextVar("resilient_idempotent_call", default=None)


def _run(*, key: str, attempt: _Attempt) -> None:  # noqa: ARG001  the key is Powertools' to read
    # Nothing is returned, so that nothing is stored: what handlers return need not be JSON, may be secret.
    attempt.run()


class _Context:
    """What Powertools asks of a Lambda context: how long this attempt can last at most."""

    def get_remaining_time_in_millis(self) -> int:
        call = _call.get()
        return 0 if call is None else max(0, call.remaining_ms())


def _ends_in(error: BaseException) -> float | None:
    """Seconds until a mark ends, by the clock that Powertools reads; None where it does not say."""
    found = getattr(error.__context__, "old_data_record", None)
    at = getattr(found, "in_progress_expiry_timestamp", None)
    return None if at is None else float(at) / 1000 - time.time()


def _about(call: Call) -> dict[str, Any]:
    return {
        "correlation_id": call.correlation_id,
        "message_id": call.message_id,
        "idempotency_key": call.idempotency_key,
        "attempt": call.attempt,
        "request_id": call.request_id,
    }


def _tell(records: RareRecords, status: str, members: dict[str, Any], *, counts: str) -> None:
    with suppress(Exception):  # a log that is full must not bring a completed message back
        records.record(status, members, counts=counts)


def _explain(error: BaseException, table: str) -> str:
    from .stores.refusals import code_of, said_by

    cause = error.__cause__ or error
    said = said_by(cause) if isinstance(cause, Exception) else str(cause)
    code = code_of(cause) if isinstance(cause, Exception) else ""
    return f"Table {table!r}: {said}. {_REMEDIES.get(code, 'It is tried again')}"


_REMEDIES = {
    "AccessDeniedException": "Allow the function's role dynamodb:PutItem, UpdateItem and DeleteItem on it, "
    "and the use of its key where it has a customer key",
    "ConnectTimeoutError": "In a VPC, DynamoDB needs a gateway endpoint in the route tables of the "
    "function's subnets",
    "ProvisionedThroughputExceededException": "Its writes are throttled: bill it per request, or raise its "
    "capacity to two writes for each message or record",
    "ResourceNotFoundException": "There is no such table in this account and region: deploy the function "
    "again",
    "ThrottlingException": "Its writes are throttled: it is tried again; should that last, look at "
    "the table's warm throughput",
    "ValidationException": "It must have the partition key 'id', a string, and no sort key",
}
