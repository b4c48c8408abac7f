"""All that a state machine is made of, as plain values: what to call, when to try again, where to park.

Texts may be CDK tokens; they pass through. In ``arguments`` and ``output`` a string ``{% … %}`` is a JSONata
expression, as everywhere in Step Functions.
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from resilient_runtime.breaker.policy import BreakerPolicy

__all__ = [
    "Constant",
    "Kind",
    "MachinePlan",
    "Parking",
    "PlatformRetry",
    "RetryRule",
    "WorkTask",
]

Kind = Literal["STANDARD", "EXPRESS"]
Parking = Literal["QUEUE", "WAIT"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformRetry:
    """A ``Retry`` of Step Functions itself: only for errors that say nothing about whoever is called.

    The delay is jittered in full, always.
    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html

    :param errors: names of errors, ``Lambda.ServiceException``
    :param attempts: how many times again
    :param interval_seconds: before the first, whole seconds
    :param longest_seconds: where the growth of the delay ends, whole seconds
    :param backoff_rate: how many times longer each time
    """

    errors: tuple[str, ...]
    attempts: int = 6
    interval_seconds: int = 2
    longest_seconds: int = 60
    backoff_rate: float = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryRule:
    """When the work is called again after an error of its own. The first rule that has the error decides.

    Before the n-th time again it waits from 0 up to ``interval_seconds × backoff_rate ** (n - 1)``, at most
    ``longest_seconds``: full jitter.
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    :param errors: names of errors as Step Functions has them (for a function: its exception's class), or
        ``States.Timeout``, ``States.TaskFailed`` (any but that) and ``States.ALL``
    :param attempts: how many times again, each rule by itself, however often the work was parked in between
    """

    errors: tuple[str, ...]
    attempts: int = 3
    interval_seconds: float = 2
    backoff_rate: float = 2
    longest_seconds: float = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkTask:
    """One Task state: the work, or what is done in its stead.

    The work's input is the variable ``$work``: ``arguments={"FunctionName": arn, "Payload": "{% $work %}"}``;
    ``$job.key`` is the name that this work began with, an item's own in a batch, however often it is parked
    or sent back.
    A fallback has ``$failure`` too: ``{"error", "cause", "attempts"}``.

    :param resource: ``arn:aws:states:::lambda:invoke``, an activity, any that a Task may have
    :param arguments: the Task's ``Arguments``
    :param output: what the execution gives back, of ``$states.result``. Default: all of it
    :param timeout_seconds: after which the call has failed with ``States.Timeout``
    :param heartbeat_seconds: longest silence of work that tells that it lives. Default: it does not
    :param platform_retries: errors of the platform that are tried again and counted against nobody
    :param credentials: the Task's ``Credentials``. Default: the state machine's own role
    :param meaning: for errors whose names alone do not tell: a JSONata expression without ``{% %}`` over
        ``$name`` and ``$why``, the error and its whole cause, that gives ``'no'`` for what no further call
        would change (as ``rejects``), ``'fewer'`` for what asks for fewer calls (as ``throttles``), or
        ``''``. Default: the names tell
    :param error_of_result: a JSONata expression without ``{% %}`` over ``$states.result``, for services that
        answer 200 and mean an error: the error's name, or ``''`` or nothing where all is well. Default: an
        answer is a success. It costs one more transition per call
    """

    resource: str
    arguments: object
    timeout_seconds: int
    output: object | None = None
    heartbeat_seconds: int | None = None
    platform_retries: tuple[PlatformRetry, ...] = ()
    credentials: Mapping[str, Any] | None = None
    error_of_result: str | None = None
    meaning: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """A fallback that is simply a value, of JSON; strings ``{% … %}`` in it are expressions."""

    value: object


@dataclass(frozen=True, kw_only=True, slots=True)
class MachinePlan:
    """What ``definition`` makes a state machine of.

    :param work: the call
    :param dead_letter_queue_url: where work goes that was given up
    :param downstream: the circuit's name in the table. Default: there is no breaker
    :param table: the circuits' table, name or ARN; with a downstream
    :param policy: when the circuit opens; with a downstream. The runtime's of the same downstream
    :param retries: when the work is called again; no rule: never
    :param rejects: errors that say no to this one work: dead-letter at once, counted against nobody, as
        ``Reject`` always is
    :param throttles: errors that ask for fewer calls: tried again by the rules, and counted against nobody
        unless the policy has ``throttling_counts``
    :param parking: what happens to work while the circuit is open. ``QUEUE``: it goes to the parked queue and
        the execution ends well with ``{"outcome": "PARKED", …}``; ``WAIT``: it waits there (STANDARD only)
    :param parked_queue_url: with ``QUEUE``
    :param keep_parked_seconds: work that is parked again when it is older than this is given up. Default: 14
        days, as long as a queue keeps anything
    :param most_failed_probes: a work whose call failed so often as a probe is given up. Not counted by the
        retry rules: it was known that the downstream is not well, but who fails each time may be the cause
    :param fallback: what is done in the work's stead when it was given up; its result is the execution's, and
        nothing goes to the dead-letter queue unless it fails too. Default: none
    :param timeout_seconds: the execution's, waiting and retrying included. Express: at most 5 minutes
    :param kind: ``STANDARD`` or ``EXPRESS``
    :param partition: ``aws``, ``aws-cn``, ``aws-us-gov`` or a token
    """

    work: WorkTask
    dead_letter_queue_url: str
    timeout_seconds: int
    downstream: str | None = None
    table: str | None = None
    policy: BreakerPolicy | None = None
    retries: tuple[RetryRule, ...] = ()
    rejects: tuple[str, ...] = ()
    throttles: tuple[str, ...] = ("States.Http.StatusCode.429",)
    parking: Parking = "QUEUE"
    parked_queue_url: str | None = None
    keep_parked_seconds: int = 1_209_600
    most_failed_probes: int = 100
    fallback: WorkTask | Constant | None = None
    kind: Kind = "STANDARD"
    partition: str = "aws"
    comment: str = field(default="")
