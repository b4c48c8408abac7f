"""What the dashboard shows of a stream's consumer."""

from __future__ import annotations

from resilient_constructs.monitoring import Lane, LogGroup, Math, Panel, Section
from resilient_constructs.monitoring.queries import POISON
from resilient_constructs.resilient_function.health_signals import FULL
from resilient_constructs.resilient_function.signals import function_panels

from .emitted import Emitted

__all__ = ["stream_section"]


def stream_section(
    title: str,
    emitted: Emitted,
    *,
    alarm_age: float,
    max_concurrency: float | None,
    shard_metrics: bool,
    timeout: float | None,
    log_groups: tuple[LogGroup, ...],
    full: float | None,
) -> Section:
    """What the dashboard shows: how late the reading is, what was tried again, what was kept, and the stream.

    :param alarm_age: seconds, drawn as a line
    :param max_concurrency: drawn as a line; None when nobody knows it
    :param shard_metrics: whether each shard tells of itself
    :param timeout: the function's timeout in seconds, if known
    :param log_groups: those of functions with our runtime, for the saved queries
    :param full: percent of Lambda's limits from which an environment counts as full; None without our runtime
    """
    panels = [
        Panel(
            title="How old records are when they are read (ms)",
            left=(emitted.iterator_age,),
            threshold=alarm_age * 1000,
        ),
        Panel(
            title="Records: read, handed out, handed out again",
            left=(
                emitted.mapping("PolledEventCount", "read"),
                emitted.mapping("FilteredOutEventCount", "passed by a filter"),
                emitted.mapping("InvokedEventCount", "handed out"),
                emitted.mapping("FailedInvokeEventCount", "handed out again"),
            ),
            right=(emitted.lambda_("Errors", label="batches halved"),),
        ),
        Panel(
            title="Poison",
            left=(
                *emitted.poison_waiting.values(),
                *(
                    ()
                    if full is None
                    else (
                        emitted.runtime("Parked", "parked behind it"),
                        emitted.runtime("NotKept", "not kept"),
                    )
                ),
            ),
            right=(emitted.poison_age,),
        ),
        Panel(
            title="Given up by Lambda",
            left=(
                emitted.mapping("OnFailureDestinationDeliveredEventCount", "given up"),
                emitted.mapping("DroppedEventCount", "dropped"),
                emitted.resolved,
                emitted.expired,
                emitted.unresolved,
            ),
            right=(emitted.discarded_age,),
        ),
    ]
    panels += _stream_panels(emitted, shard_metrics=shard_metrics)
    if full is not None:
        panels += function_panels(
            function_name=emitted.function["FunctionName"],
            timeout_seconds=timeout or 0,
            concurrency_limit=max_concurrency,
            full=full or FULL,
        )
    return Section(
        title=title,
        lane=Lane.WORK,
        panels=tuple(panels),
        log_groups=log_groups,
        queries={"PoisonQuery": POISON},
    )


def _stream_panels(emitted: Emitted, *, shard_metrics: bool) -> list[Panel]:
    if emitted.stream_name is None:
        return []
    panels = [
        Panel(
            title="The stream: records in, and what was throttled",
            left=(emitted.stream("IncomingRecords", label="records in"),),
            right=(
                emitted.stream("ReadProvisionedThroughputExceeded", label="reads throttled"),
                emitted.stream("WriteProvisionedThroughputExceeded", label="writes throttled"),
            ),
        )
    ]
    if shard_metrics:
        panels += [
            Panel(title="Each shard: bytes in", left=(_each_shard(emitted, "IncomingBytes", "Sum"),)),
            Panel(
                title="Each shard: lag (ms)",
                left=(_each_shard(emitted, "IteratorAgeMilliseconds", "Maximum"),),
            ),
        ]
    return panels


def _each_shard(emitted: Emitted, name: str, statistic: str) -> Math:
    """One line per shard, whichever there are: shards come and go.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
    """
    return Math(
        expression=f'SEARCH(\'{{AWS/Kinesis,ShardId,StreamName}} MetricName="{name}"'
        f" StreamName=\"{emitted.stream_name}\"', '{statistic}', 60)",
        metrics={},
        label="",
    )
