"""What a consumer tells of messages that are too old to be done, where it evicts any."""

from __future__ import annotations

from resilient_constructs.monitoring import Metric, Panel, Severity, Signal
from resilient_constructs.resilient_function.runtime_metric import runtime_metric

__all__ = ["evicted", "eviction_panel", "eviction_signals"]


def evicted(function_name: str) -> Metric:
    """Messages that were archived because they were too old to be done."""
    return runtime_metric(function_name, "Evicted", label="too old, archived")


def eviction_signals(function_name: str) -> tuple[Signal, ...]:
    """When someone should know that work is given up, and when it cannot even be given up."""
    return (
        Signal(
            name="Evictions",
            title="Messages are too old and are archived instead of done",
            because="Work is being given up on purpose, whole and in the archive. Find out what held it up"
            " (an outage, a backlog), decide whether it is still wanted, and send it again if so.",
            metric=evicted(function_name),
            threshold=1,
            severity=Severity.TICKET,
        ),
        Signal(
            name="NotArchived",
            title="The archive does not take old messages",
            because="They go back to their queue and are tried again, and each try spends one of their"
            " receives. The NOT_ARCHIVED records say what S3 answered: a missing permission, a key that may"
            " not be used, a bucket that is gone.",
            metric=_not_archived(function_name),
            threshold=1,
            severity=Severity.PAGE,
        ),
        Signal(
            name="EvictionNotTold",
            title="Messages were archived without an event",
            because="Whoever listens for Message Evicted does not know of them. The EVICTION_NOT_TOLD records"
            " have the key of each, and what EventBridge answered.",
            metric=_not_told(function_name),
            threshold=1,
            severity=Severity.TICKET,
        ),
    )


def eviction_panel(function_name: str) -> Panel:
    """One graph of all three."""
    return Panel(
        title="Too old to be done",
        left=(evicted(function_name), _not_archived(function_name), _not_told(function_name)),
    )


def _not_archived(function_name: str) -> Metric:
    return runtime_metric(function_name, "NotArchived", label="too old, and not archived")


def _not_told(function_name: str) -> Metric:
    return runtime_metric(function_name, "EvictionNotTold", label="archived, and no event sent")
