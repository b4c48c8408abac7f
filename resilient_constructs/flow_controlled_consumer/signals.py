"""When a consumer should wake someone, and why."""

from __future__ import annotations

from resilient_constructs.monitoring import Math, Severity, Signal

from .emitted import Emitted

__all__ = ["consumer_signals"]


def consumer_signals(
    emitted: Emitted, *, max_concurrency: str, alarm_age: float, fifo: bool
) -> tuple[Signal, ...]:
    """When a consumer should wake someone.

    :param max_concurrency: as it stands in a metric-math expression, a token written out
    :param alarm_age: seconds that the oldest message may wait
    :param fifo: whether one message can hold up its whole group
    """
    blocked = " In a FIFO queue one failing message holds up all of its group." if fifo else ""
    signals = [
        Signal(
            name="OldestMessageAge",
            title="Messages wait too long",
            because="Work arrives faster than it is done, or nothing is done at all. See whether the function"
            f" fails, is throttled or runs at its concurrency while the downstream is slow.{blocked}",
            metric=emitted.oldest_message_age,
            threshold=alarm_age,
            # one slow minute is no trend; five of them are
            periods=5,
            severity=Severity.PAGE,
        ),
        Signal(
            name="FailingMessages",
            title="Most messages fail and go back to the queue",
            because="Each return spends one of a message's receives; when they are spent it is dead-lettered."
            " The function's Errors metric stays at zero, because only single messages of its batches fail."
            " Read the FAILED records of the function's log: one error everywhere is an outage, not poison.",
            metric=Math(
                expression="100 * failed / invoked",
                metrics={
                    "invoked": emitted.mapping("InvokedEventCount"),
                    "failed": emitted.mapping("FailedInvokeEventCount"),
                },
                label="messages that fail, %",
            ),
            threshold=50,
            periods=5,
            severity=Severity.TICKET,
        ),
        Signal(
            name="ConcurrencySaturated",
            title="All slots are busy and the backlog still grows",
            because=f"The consumer runs at its {max_concurrency} at once. If the downstream has room, raise"
            " its rate or connections in Downstream; if not, this is its limit and the backlog must wait.",
            metric=Math(
                # a backlog that drains at full concurrency is flow control at work, so growth is required
                expression=f"IF(running >= {max_concurrency} AND DIFF(waiting) > 0, 1, 0)",
                metrics={"running": emitted.concurrency, "waiting": emitted.waiting},
                label="saturated while the backlog grows",
            ),
            threshold=1,
            periods=15,
            datapoints=10,
            severity=Severity.TICKET,
        ),
    ]
    if emitted.dead_letter_queue_name is not None:
        signals.append(_dead_letters(emitted))
    return tuple(signals)


def _dead_letters(emitted: Emitted) -> Signal:
    # Three metrics, because each one alone is blind: a message that SQS moves here is not counted as sent,
    # one that is taken out within the minute is never counted as visible, one that nobody takes is never
    # received. MAX over the list ignores those without data.
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    return Signal(
        name="DeadLetters",
        title="Messages gave up",
        because="They failed too often or the handler rejected them. Read the reason in the message's"
        " attributes and the FAILED or REJECTED records before redriving. Goes off as well when"
        " one is sent to or received from the dead-letter queue, so that none is missed that was drained at"
        " once.",
        metric=Math(
            expression="MAX([waiting, sent, received])",
            metrics=emitted.dead_letters,
            label="dead letters",
        ),
        threshold=1,
        severity=Severity.PAGE,
    )
