"""When a stream's consumer should wake someone, and why."""

from __future__ import annotations

import math

from resilient_constructs.monitoring import Comparison, Math, MissingData, Severity, Signal
from resilient_constructs.tokens import is_token

from .emitted import Emitted
from .limits import ALARM_HOURS, HOUR, POISON_HOURS, RESOLVING_AGE, SHARD_BYTES, SHARD_RECORDS

__all__ = ["given_up_signals", "poison_signals", "reading_signals", "stream_signals"]

_FIVE_MINUTES = 300
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_WarmUpConfiguration.html
_LONGEST_WARM_UP = 2880


def reading_signals(emitted: Emitted, *, alarm_age: float, retention: float) -> tuple[Signal, ...]:
    """When records come closer to being dropped unread.

    Two of them, as the age is told by what is read: while the mapping is disabled there is none.

    :param alarm_age: seconds after which someone is woken
    :param retention: seconds for which the stream keeps a record
    """
    return (
        Signal(
            name="RecordAge",
            title="Records wait too long, and expire one day",
            because=f"The oldest record read is {alarm_age / HOUR:.3g} h old, and the stream drops it at"
            f" {retention / HOUR:.3g} h. Work arrives faster than it is done, or a shard does not move: see"
            " the circuit, the FAILED and HELD records, and what each shard's invocations do.",
            metric=emitted.iterator_age,
            threshold=alarm_age * 1000,
            # While nothing is read nothing is told, and what is unread does not grow younger.
            missing=MissingData.IGNORE,
            severity=Severity.PAGE,
        ),
        _not_read(emitted, alarm_age, retention),
        Signal(
            name="StuckShard",
            title="A shard does not move although its records are handed out",
            because="The age of its records grows at more than half of the clock's rate, for a quarter of an"
            " hour, and the function is invoked all the time. Read its HELD and NOT_KEPT records: they name"
            " the record at which the shard goes on, and why.",
            metric=Math(
                # a healthy stream's age goes up and down by seconds
                expression=f"IF(invoked > 0 AND DIFF(age) > {_FIVE_MINUTES * 1000 // 2}, 1, 0)",
                metrics={"age": emitted.iterator_age, "invoked": emitted.lambda_("Invocations")},
                label="age grows while records are handed out",
                period=_FIVE_MINUTES,
            ),
            threshold=1,
            periods=3,
            severity=Severity.PAGE,
        ),
        Signal(
            name="BisectRounds",
            title="Most records are handed out again and again",
            because="Batches fail, are halved and tried again. One error in all FAILED records means an"
            " outage of the downstream; invocations without any record of their end mean that processes die.",
            metric=Math(
                expression="100 * failed / handed_out",
                metrics={
                    "handed_out": emitted.mapping("InvokedEventCount"),
                    "failed": emitted.mapping("FailedInvokeEventCount"),
                },
                label="records handed out again, %",
            ),
            threshold=50,
            periods=5,
            severity=Severity.TICKET,
        ),
    )


def _not_read(emitted: Emitted, alarm_age: float, retention: float) -> Signal:
    # A mapping that polls says so, also where there is nothing; one that is disabled is silent.
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics
    period = HOUR if alarm_age >= 2 * HOUR else _FIVE_MINUTES
    periods = min(max(1, int(alarm_age // period)), ALARM_HOURS)
    return Signal(
        name="NotRead",
        title="Nothing has been read from the stream for hours",
        because=f"For {periods * period / HOUR:.3g} h the event source mapping has not polled; after"
        f" {retention / HOUR:.3g} h the stream drops what came in. A circuit is open, or the mapping was"
        " disabled: `resilient breaker status`. Lengthen the stream's retention while the downstream is"
        " mended. Of a consumer just deployed: the mapping has never polled; see its state.",
        metric=emitted.mapping("PolledEventCount", "records read", period=period),
        threshold=0,
        comparison=Comparison.BELOW,
        periods=periods,
        missing=MissingData.BREACHING,
        # Before a new mapping's first poll the whole window is missing, and that would breach at once.
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-warm-up.html
        warm_up=min(periods * period // 60, _LONGEST_WARM_UP),
        severity=Severity.PAGE,
    )


def poison_signals(emitted: Emitted, *, has_runtime: bool, per_batch: bool) -> tuple[Signal, ...]:
    """When poison is found, and when it could not be kept.

    :param has_runtime: whether the function has our runtime, and so tells what it keeps
    :param per_batch: whether the handler gets lists: what is completed is then counted in lists, and poison
        in records, so no rate can be told
    """
    signals = [
        Signal(
            name="PoisonWaiting",
            title="Poison records wait to be looked at",
            because="Each is kept whole for 14 days, with its error: `resilient poison list` shows them. Mend"
            " the cause, then `resilient poison replay`; or `discard` with a reason. Goes off as well when"
            " one was taken out within the minute.",
            metric=Math(
                expression="MAX([waiting, sent])",
                metrics=emitted.poison_waiting,
                label="poison records",
            ),
            threshold=1,
            severity=Severity.PAGE,
        ),
        Signal(
            name="PoisonExpiring",
            title="There has been poison for seven days without a break",
            because="SQS deletes a record after 14 days, and it is in no other place. It tells no age of what"
            " was looked at three times, so this counts the hours in which the queue was not empty. Replay"
            " what is there, discard it with a reason, or save it: `resilient poison show`.",
            metric=emitted.poison_there,
            threshold=1,
            periods=POISON_HOURS,
            severity=Severity.PAGE,
        ),
    ]
    if has_runtime and not per_batch:
        signals.append(
            Signal(
                name="PoisonRate",
                title="One record of twenty or more is poison",
                because="That is no bad record but a bug, or a producer that has changed what it sends. The"
                " POISONED records have the error of each. Force the circuit open, or disable the mapping, if"
                " records should rather wait than be stored.",
                metric=Math(
                    expression="100 * poisoned / (poisoned + FILL(completed, 0))",
                    metrics={
                        "poisoned": emitted.runtime("Poisoned"),
                        "completed": emitted.runtime("Completed"),
                    },
                    label="poison, %",
                ),
                threshold=5,
                periods=5,
                datapoints=3,
                severity=Severity.PAGE,
            )
        )
    if has_runtime:
        signals.append(
            Signal(
                name="NotKept",
                title="The poison store does not take records, and a shard waits",
                because="Nothing is lost, but nothing behind such a record is done. The NOT_KEPT records say"
                " what AWS answered: a missing permission, a key that may not be used, a queue, bucket or"
                " table that is gone.",
                metric=emitted.runtime("NotKept", "not kept, the shard waits"),
                threshold=1,
                severity=Severity.PAGE,
            )
        )
    return tuple(signals)


def given_up_signals(emitted: Emitted) -> tuple[Signal, ...]:
    """When Lambda gives records up, and when they cannot be fetched."""
    return (
        Signal(
            name="DiscardedRecords",
            title="Lambda gave records up",
            because="Why, the likeliest first: the process died each time, or did not end in time (the"
            " platform's reports tell of memory, a timeout, a crash of native code); the function raised; an"
            " outage outlasted the retries. The resolver fetches the records into the poison store, as"
            " GIVEN_UP; or as AGED, where they had reached max_record_age.",
            metric=emitted.mapping("OnFailureDestinationDeliveredEventCount", "given up by Lambda"),
            threshold=1,
            severity=Severity.TICKET,
        ),
        Signal(
            name="DroppedRecords",
            title="Lambda gave records up and could not tell where they are",
            because="Its on-failure destination did not take the message: a missing permission, or a deleted"
            " queue. They are in the stream still, from the last COMPLETED record of each shard on; mend the"
            " queue, and read them there before they expire.",
            metric=emitted.mapping("DroppedEventCount", "dropped"),
            threshold=1,
            severity=Severity.PAGE,
        ),
        Signal(
            name="RecordsExpired",
            title="Records were lost: the stream had dropped them",
            because="Lambda gave them up, and they were gone before the resolver could read them. The EXPIRED"
            " records have shard and sequence numbers, and the poison store has an entry for each. Lengthen"
            " the retention, and lower max_record_age.",
            metric=emitted.expired,
            threshold=1,
            severity=Severity.PAGE,
        ),
        Signal(
            name="ResolvingLate",
            title="Records that Lambda gave up are not fetched",
            because="The resolver fails or cannot keep up, and the stream drops them one day. Read its log:"
            " permissions on the stream, its key, the poison queue, the bucket; or throttled reads.",
            metric=emitted.discarded_age,
            threshold=RESOLVING_AGE,
            severity=Severity.PAGE,
        ),
        Signal(
            name="NotResolved",
            title="The resolver gave up on records that Lambda gave up",
            because="They are still in the stream, until they expire, and nowhere else. Mend what its log"
            " says, then move the messages of its dead-letter queue back to their source.",
            metric=emitted.unresolved,
            threshold=1,
            severity=Severity.PAGE,
        ),
    )


def stream_signals(emitted: Emitted, *, shards: float | None) -> tuple[Signal, ...]:
    """When a Kinesis stream holds its readers or writers back.

    :param shards: how many there are; None on demand, where a hot shard cannot be told from a full stream
    """
    if emitted.stream_name is None:
        return ()
    signals = [
        Signal(
            name="ReadThrottled",
            title="Reads of the stream are throttled",
            because="Other readers share the shards' five reads and two megabytes a second. Records come"
            " late, and so may the resolver. Give this consumer enhanced_fan_out, or the stream more shards.",
            metric=emitted.stream("ReadProvisionedThroughputExceeded", label="reads throttled"),
            threshold=1,
            periods=5,
            datapoints=3,
            severity=Severity.TICKET,
        ),
        Signal(
            name="WriteThrottled",
            title="Writes to the stream are throttled",
            because="Producers that do not try again lose records before they are stored. One partition key"
            " may have more than its shard takes; else add shards, or go on demand.",
            metric=emitted.stream("WriteProvisionedThroughputExceeded", label="writes throttled"),
            threshold=1,
            periods=5,
            datapoints=3,
            severity=Severity.TICKET,
        ),
    ]
    if shards is not None and not is_token(shards):
        signals.append(_hot_shard(emitted, shards))
    return tuple(signals)


def _hot_shard(emitted: Emitted, shards: float) -> Signal:
    return Signal(
        name="HotShard",
        title="One shard is full while the stream is half empty",
        because="Writes are throttled although the stream as a whole has less than half of what its"
        f" {shards:g} shards take. A few partition keys have most of the records: choose a key that spreads"
        " them, or split the shard. With shard_metrics the dashboard shows which.",
        metric=Math(
            expression=f"IF(throttled > 0 AND bytes < {math.floor(shards * SHARD_BYTES * 60 / 2)}"
            f" AND records < {math.floor(shards * SHARD_RECORDS * 60 / 2)}, 1, 0)",
            metrics={
                "throttled": emitted.stream("WriteProvisionedThroughputExceeded"),
                "bytes": emitted.stream("IncomingBytes"),
                "records": emitted.stream("IncomingRecords"),
            },
            label="throttled while half empty",
        ),
        threshold=1,
        periods=5,
        datapoints=3,
        severity=Severity.TICKET,
    )
