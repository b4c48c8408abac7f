"""What a consumer was handed instead of making it: whether it fits, and what is then ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from aws_cdk import Tokenization
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs

from resilient_constructs import queues
from resilient_constructs.downstream import Circuits, Downstream
from resilient_constructs.downstream.limits import SCALING_PAGE
from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token

from .consuming import read_redrive, read_visibility
from .limits import CONFIGURE_PAGE, DEAD_LETTER_PAGE, QUEUE_PAGE

__all__ = ["GivenQueues", "check_circuits", "check_source", "circuits_of", "read_queues", "receives_of"]


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
    _check_unused(faults, ignored, "set it on the given queue itself", QUEUE_PAGE)
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


def check_source(
    faults: Faults, *, handler: object, function: object, only_handlers: Mapping[str, object]
) -> None:
    """Note when there is no code to call, or two, or settings that a given function would not get."""
    if (handler is None) == (function is None):
        both = "both" if handler is not None else "neither"
        faults.add("handler, function", both, "exactly one of the two", CONFIGURE_PAGE)
    elif function is not None:
        _check_unused(faults, only_handlers, "set it on the given function itself", CONFIGURE_PAGE)


def _check_unused(faults: Faults, settings: Mapping[str, object], remedy: str, page: str) -> None:
    """Note every setting that was given and would be ignored in silence."""
    for prop, value in settings.items():
        if value is not None:
            faults.add(prop, value if isinstance(value, int | float | str) else "given", remedy, page)


def circuits_of(downstreams: Sequence[Downstream]) -> Circuits | None:
    """Where the circuits of these downstreams are shared; None where none has a breaker."""
    return next((each.circuits for each in downstreams if each.circuits is not None), None)


def check_circuits(faults: Faults, downstreams: Sequence[Downstream]) -> None:
    """Note breakers whose circuits live in several tables: a function knows one."""
    guarded = [each for each in downstreams if each.circuits is not None]
    if len({id(each.circuits) for each in guarded}) > 1:
        names = ", ".join(each.node.path for each in guarded)
        faults.add("downstream", names, "downstreams with a breaker of one stack", SCALING_PAGE)


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
