"""Calls every witness of a finished run and lets the ledger judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .courier import Call
from .drive import Sent
from .ledger import Attempt, Evidence, Ledger, balance
from .witnesses import System, completed_records, depths, peek

__all__ = ["account", "stop_consuming"]

# A message that is being worked on comes back after its visibility timeout at the latest.
_COME_BACK_SECONDS = 60.0
# Logs arrive a moment after the work that they tell of.
_LOG_SECONDS = 5.0


def account(
    client: Callable[[str], Any], system: System, *, sent: Sequence[Sent], calls: Sequence[Call]
) -> Ledger:
    """The ledger of a run that is over.

    :param client: makes a boto3 client of a service
    :param sent: every request with its answer
    :param calls: every call that the downstream got
    """
    # Work queues before dead-letter queues: looking may be a message's last receive, which moves it there.
    waiting = peek(client, system.work_queues)
    evidence = Evidence(
        attempts=[
            Attempt(
                correlation_id=answer.correlation_id,
                status=answer.status,
                acceptable=not answer.kind.malformed,
                answered_id=answer.answered_id,
            )
            for answer in sent
        ],
        records=completed_records(client, system),
        deliveries=[call.correlation_id for call in calls if call.status == 200],
        dead_letters=peek(client, system.dead_letter_queues),
        waiting=waiting,
    )
    deadline = time.monotonic() + _LOG_SECONDS
    while not (ledger := balance(evidence)).balanced and time.monotonic() < deadline:
        time.sleep(0.5)
        evidence = replace(evidence, records=completed_records(client, system))
    return ledger


def stop_consuming(client: Callable[[str], Any], system: System) -> None:
    """Disable the event source mappings and wait until what is in flight is back, to be counted by id."""
    functions = client("lambda")
    if system.guard is not None:
        # Else the controller would enable them again.
        functions.put_function_concurrency(FunctionName=system.guard.function, ReservedConcurrentExecutions=0)
    deadline = time.monotonic() + _COME_BACK_SECONDS
    while True:
        # Again and again: the controller may just have been about to.
        for uuid in system.mappings:
            if functions.get_event_source_mapping(UUID=uuid)["State"] == "Enabled":
                functions.update_event_source_mapping(UUID=uuid, Enabled=False)
        if time.monotonic() > deadline or not depths(client, system).in_flight:
            return
        time.sleep(0.5)
