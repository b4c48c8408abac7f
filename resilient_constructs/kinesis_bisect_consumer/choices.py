"""What a consumer was asked for, checked and completed with defaults, before anything is made.

Plain values in, plain values out: everything that can be told wrong at once is told at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from aws_cdk import aws_lambda as lambda_

from resilient_constructs.limits import Faults
from resilient_constructs.resilient_function import ContainerHealth
from resilient_constructs.resilient_function.consuming import Consuming
from resilient_constructs.resilient_function.limits import TIMEOUT
from resilient_constructs.tokens import is_token

from .limits import (
    ALARM_AGE,
    BATCH_SIZE,
    BATCH_WINDOW,
    DESTINATION_PAGE,
    KINESIS_PAGE,
    MAX_RECORD_AGE,
    PARALLELIZATION,
    RETRY_ATTEMPTS,
    TABLE_PAGE,
)

__all__ = [
    "Chosen",
    "Concurrency",
    "OnPoison",
    "Start",
    "choose",
    "choose_concurrency",
    "choose_health",
    "choose_start",
    "warn_of",
]


class OnPoison(StrEnum):
    """What becomes of the records that come after a poison record of their partition key."""

    CONTINUE = "continue"
    """They are done: the stream goes on."""
    PARK = "park"
    """They are kept behind it, in order, until it is replayed or discarded: other keys go on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A consumer's numbers, defaults filled in; durations in seconds.

    :param retention: how long the stream keeps a record
    :param max_record_age: from which age Lambda gives a record to the on-failure destination unread
    :param alarm_age: the age that wakes someone
    """

    batch_size: float
    window: float
    parallelization: float
    retry_attempts: float
    retention: float
    max_record_age: float
    alarm_age: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Where reading begins when the mapping is made.

    :param position: as the mapping wants it
    :param timestamp: seconds since 1970, with ``AT_TIMESTAMP`` only
    """

    position: str
    timestamp: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Concurrency:
    """How many invocations may run at once.

    :param most: None when nobody knows, and nobody asks
    :param reserved: what the function made here must have set aside, so that it is true
    """

    most: float | None
    reserved: float | None


def choose(
    faults: Faults,
    *,
    consuming: Consuming,
    retention: float,
    batch_size: float | None,
    window: float,
    parallelization: float | None,
    retry_attempts: float | None,
    max_record_age: float | None,
    alarm_age: float | None,
) -> Chosen:
    """Fill in what was not given, and note everything that AWS would refuse or that would lose records.

    :param retention: how long the stream keeps a record, or the shortest that it can be
    """
    faults.check(TIMEOUT, consuming.timeout)
    # An eighth is left for the resolver to fetch what got too old before the stream drops it.
    longest = min(retention * 7 // 8, MAX_RECORD_AGE.high or 0) if max_record_age is None else max_record_age
    chosen = Chosen(
        batch_size=(BATCH_SIZE.default or 0) if batch_size is None else batch_size,
        window=window,
        parallelization=(PARALLELIZATION.default or 0) if parallelization is None else parallelization,
        retry_attempts=(RETRY_ATTEMPTS.default or 0) if retry_attempts is None else retry_attempts,
        retention=retention,
        max_record_age=longest,
        alarm_age=_wakes_at(retention, longest) if alarm_age is None else alarm_age,
    )
    faults.check(BATCH_SIZE, chosen.batch_size)
    faults.check(BATCH_WINDOW, chosen.window)
    faults.check(PARALLELIZATION, chosen.parallelization)
    faults.check(RETRY_ATTEMPTS, chosen.retry_attempts)
    faults.check(MAX_RECORD_AGE, chosen.max_record_age)
    faults.check(ALARM_AGE, chosen.alarm_age)
    _check_ages(faults, chosen)
    return chosen


def _wakes_at(retention: float, max_record_age: float) -> float:
    """A third of the retention; where Lambda gives up long before that is over, half of the way there."""
    if is_token(max_record_age):
        return retention // 3
    return min(retention // 3, max_record_age // 2)


def _check_ages(faults: Faults, chosen: Chosen) -> None:
    for limit, age in ((MAX_RECORD_AGE, chosen.max_record_age), (ALARM_AGE, chosen.alarm_age)):
        if is_token(age):
            # compared with the retention, and written into alarms
            faults.add(limit.prop, "a token", "a duration known at synth", limit.page)
            return
    if chosen.max_record_age >= chosen.retention:
        allowed = (
            f"less than the stream's retention of {chosen.retention:,.0f} seconds: what expires is dropped by"
            " the stream without a trace, what is too old for Lambda is kept"
        )
        faults.add(MAX_RECORD_AGE.prop, chosen.max_record_age, allowed, DESTINATION_PAGE)
    if chosen.alarm_age >= chosen.max_record_age:
        allowed = f"less than max_record_age, {chosen.max_record_age:,.0f} seconds, when records are given up"
        faults.add(ALARM_AGE.prop, chosen.alarm_age, allowed, DESTINATION_PAGE)


def choose_start(faults: Faults, given: lambda_.StartingPosition | datetime, *, is_table: bool) -> Start:
    """Where reading begins, as the mapping wants it."""
    if isinstance(given, datetime):
        if given.tzinfo is None:
            faults.add("starting_position", given.isoformat(), "a time with its time zone", KINESIS_PAGE)
        if is_table:
            allowed = "StartingPosition.TRIM_HORIZON or LATEST for a table's stream"
            faults.add("starting_position", given.isoformat(), allowed, TABLE_PAGE)
        return Start(position="AT_TIMESTAMP", timestamp=given.timestamp())
    if given is lambda_.StartingPosition.AT_TIMESTAMP:
        faults.add("starting_position", given.name, "the time itself, as a datetime", KINESIS_PAGE)
    return Start(position=given.name)


def choose_concurrency(
    faults: Faults,
    *,
    consuming: Consuming,
    shards: float | None,
    parallelization: float,
    downstreams: Sequence[int],
    is_ours: bool,
) -> Concurrency:
    """How many invocations may run at once, and what must be reserved for it.

    A stream's mapping has no maximum concurrency: it runs one invocation for each shard and batch at once.
    The function's reserved concurrency bounds it, and costs a stream nothing but time: an invocation that is
    throttled is tried again and is no retry.
    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html

    :param shards: how many there are and will be; None when nobody knows
    :param downstreams: how many calls at once each of them takes
    :param is_ours: whether the function is made here, so that something can be reserved for it
    """
    known = (
        None if shards is None or is_token(shards) or is_token(parallelization) else shards * parallelization
    )
    given = consuming.reserved_concurrency
    reserved = None if given is None or is_token(given) else given
    bounds = [bound for bound in (known, reserved) if bound is not None]
    if not downstreams:
        return Concurrency(most=min(bounds, default=None), reserved=given)
    if is_ours and given is None:
        bearable = min(downstreams)
        if known is None or known > bearable:
            return Concurrency(most=bearable, reserved=bearable)
    if not bounds:
        allowed = (
            "a reserved concurrency on the given function, so that the downstream's callers can be counted"
        )
        faults.add("function", "one of unknown concurrency", allowed, KINESIS_PAGE)
    return Concurrency(most=min(bounds, default=1), reserved=given)


def choose_health(health: ContainerHealth | None, retry_attempts: float) -> ContainerHealth | None:
    """The cure that was asked for, less what would cost a record that is alone in its batch its only try."""
    if is_token(retry_attempts) or retry_attempts > 0:
        return health
    return replace(health or ContainerHealth(), exit=False)


def warn_of(
    *, tells_retention: bool, guarded: bool, calls: bool, retry_attempts: float, timeout: float | None
) -> dict[str, str]:
    """What is legal and still gives up good records, by slug: each with its numbers and the remedy.

    :param tells_retention: whether the stream tells how long it keeps a record
    :param guarded: whether a downstream has a breaker
    :param calls: whether there is a downstream
    """
    warned = {}
    if not tells_retention:
        warned["retention"] = (
            "the given stream was imported and does not tell its retention; 24 hours are taken, the shortest"
            " there is, so records are given up at 21 hours. Say retention=Duration.hours(…)"
            f" ({KINESIS_PAGE})"
        )
    if timeout is None or is_token(timeout) or is_token(retry_attempts):
        return warned
    lasts = (retry_attempts + 1) * timeout
    if calls and not guarded:
        warned["breaker"] = (
            f"no downstream has a breaker, so nothing pauses the stream: an outage of more than {lasts:g} s"
            f" ({retry_attempts:g} retries of invocations of {timeout:g} s) may send good records to the"
            f" poison store. Give the Downstream breaker=BreakerPolicy() ({DESTINATION_PAGE})"
        )
    elif guarded and lasts < 2 * _PAUSED_WITHIN:
        warned["timeout"] = (
            f"timeout is {timeout:g} s and retry_attempts {retry_attempts:g}: in an outage they are used up"
            f" in {lasts:g} s, and it takes about {_PAUSED_WITHIN} s until the breaker is open and the"
            f" mapping paused. Raise timeout to {_PAUSED_WITHIN} s or more ({DESTINATION_PAGE})"
        )
    return warned


_PAUSED_WITHIN = 60
