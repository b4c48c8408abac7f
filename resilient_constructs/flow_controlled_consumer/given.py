"""What a consumer was handed instead of making it: whether it fits, and what is then ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from aws_cdk import Tokenization
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs

from resilient_constructs import queues
from resilient_constructs.limits import Faults
from resilient_constructs.resilient_function.consuming import check_unused
from resilient_constructs.tokens import is_token

from .consuming import read_redrive, read_visibility
from .limits import DEAD_LETTER_PAGE, QUEUE_PAGE

__all__ = ["GivenQueues", "read_queues", "receives_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenQueues:
    """What is known of a consumer's queues before any is made.

    :param fifo: whether they keep an order
    :param encryption_key: the customer key that encrypts them, if any
    :param dead_letter_queue: None where one is to be made, or a given queue has none
    :param visibility: of a given queue, seconds that a received message stays hidden, where that can be read
    :param receives: of a given queue, the receives after which a message is given up
    """

    fifo: bool
    encryption_key: kms.IKey | None
    dead_letter_queue: sqs.IQueue | None
    visibility: float | None = None
    receives: float | None = None


def read_queues(
    faults: Faults,
    *,
    handler: object,
    queue: sqs.IQueue | None,
    dead_letter_queue: sqs.IQueue | None,
    fifo: bool,
    encryption_key: kms.IKey | None,
    only_own: Mapping[str, object],
) -> GivenQueues:
    """Read what was given, and note what does not fit.

    :param only_own: settings that a given queue would not get
    """
    if queue is None:
        if dead_letter_queue is not None:
            _check_kind(faults, fifo=fifo, dead_letters_fifo=queues.facts_of(dead_letter_queue).fifo)
        return GivenQueues(fifo=fifo, encryption_key=encryption_key, dead_letter_queue=dead_letter_queue)
    ignored = {**only_own, "fifo": fifo or None, "encryption_key": encryption_key}
    check_unused(faults, ignored, "set it on the given queue itself", QUEUE_PAGE)
    redrive = read_redrive(queue)
    dead_letter_queue = dead_letter_queue or (None if redrive is None else redrive.queue)
    _check_dead_letters(faults, handler, dead_letter_queue)
    return GivenQueues(
        fifo=queue.fifo,
        encryption_key=queues.facts_of(queue).key,
        dead_letter_queue=dead_letter_queue,
        visibility=read_visibility(queue),
        receives=None if redrive is None else redrive.max_receive_count,
    )


def receives_of(given: GivenQueues, own: float | None) -> int | None:
    """After how many receives a message is given up, as the function is told it; None where nobody knows.

    :param own: that of a queue which is made here
    """
    receives = given.receives if own is None else own
    if receives is None:
        return None
    # Only CloudFormation knows a token's number, and it writes that into a text only.
    return cast(int, Tokenization.stringify_number(receives)) if is_token(receives) else int(receives)


def _check_dead_letters(faults: Faults, handler: object, dead_letter_queue: object) -> None:
    """Note a handler that would have nowhere to put what it rejects."""
    if handler is not None and dead_letter_queue is None:
        faults.add("dead_letter_queue", None, "that of the given queue, for what is rejected", QUEUE_PAGE)


def _check_kind(faults: Faults, *, fifo: bool, dead_letters_fifo: bool) -> None:
    """Note a dead-letter queue of the other kind than its source, which SQS refuses at deployment."""
    if fifo != dead_letters_fifo:
        kinds = {True: "a FIFO queue", False: "a standard queue"}
        allowed = f"{kinds[fifo]} like its source"
        faults.add("dead_letter_queue", kinds[dead_letters_fifo], allowed, DEAD_LETTER_PAGE)
