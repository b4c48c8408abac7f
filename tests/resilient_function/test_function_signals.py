"""What a function emits and what may wake someone."""

from __future__ import annotations

import re

import pytest

from resilient_constructs.monitoring.signal import Math, Metric, Severity, Signal
from resilient_constructs.resilient_function import async_signals, function_section, function_signals

TOKEN = -1.8881545897087529e289


def named(signals: tuple[Signal, ...]) -> dict[str, Signal]:
    """The signals by name."""
    return {signal.name: signal for signal in signals}


def test_which() -> None:
    """Any function has errors, throttles, duration, health, unfinished work; saturation needs a limit."""
    names = set(named(function_signals(function_name="f", timeout_seconds=30)))
    assert names == {"ContainerHealth", "Errors", "Throttles", "Duration", "Unfinished"}
    limited = named(function_signals(function_name="f", timeout_seconds=30, concurrency_limit=10))
    assert set(limited) - names == {"ConcurrencySaturation"}
    assert limited["ConcurrencySaturation"].threshold == 9


def test_tokens() -> None:
    """What is only known at deploy is not computed with."""
    names = set(named(function_signals(function_name="f", timeout_seconds=TOKEN, concurrency_limit=TOKEN)))
    assert names == {"ContainerHealth", "Errors", "Throttles"}


def test_duration() -> None:
    """The duration is judged in milliseconds, at nine tenths of the timeout."""
    signal = named(function_signals(function_name="f", timeout_seconds=30))["Duration"]
    assert signal.threshold == 27_000
    assert isinstance(signal.metric, Metric)
    assert signal.metric.statistic == "Maximum"


def test_container_health() -> None:
    """The fullest of an environment's four figures counts, in three of five minutes."""
    signal = named(function_signals(function_name="f", timeout_seconds=30))["ContainerHealth"]
    assert isinstance(signal.metric, Math)
    assert {one.name for one in signal.metric.metrics.values()} == {
        "DescriptorsUsed",
        "MemoryUsed",
        "TmpUsed",
        "ThreadsUsed",
    }
    assert {one.statistic for one in signal.metric.metrics.values()} == {"Maximum"}
    assert signal.metric.expression == f"MAX([{', '.join(signal.metric.metrics)}])"
    assert (signal.threshold, signal.datapoints, signal.periods) == (80, 3, 5)


def test_panels() -> None:
    """The dashboard shows how full environments are, how often one was recycled, and interruptions."""
    section = function_section(
        title="F", function_name="f", timeout_seconds=30, concurrency_limit=5, log_group="l"
    )
    (panel,) = [one for one in section.panels if one.threshold == 80]
    assert len(panel.left) == 4
    shown = {one.name for panel in section.panels for one in panel.right if isinstance(one, Metric)}
    assert shown == {"Cleaned", "Recycled", "Exited", "Replaced", "DeadlineExceeded"}


@pytest.mark.parametrize("margin", [None, 0, 1, 3])
def test_a_short_margin_leaves_the_duration_alone(margin: float | None) -> None:
    """Up to a tenth of the timeout, the alarm is at nine tenths of it."""
    signals = function_signals(function_name="f", timeout_seconds=30, deadline_margin=margin)
    assert named(signals)["Duration"].threshold == 27_000


def evaluate(expression: str, **counts: float) -> float:
    """The value of our metric math for one period."""
    for name, count in counts.items():
        expression = re.sub(rf"FILL\({name}, 0\)|\b{name}\b", str(count), expression)
    return float(eval(expression, {"__builtins__": {}}))


@pytest.mark.parametrize(
    ("counts", "breaches"),
    [
        ({"started": 100, "completed": 90, "failed": 8, "rejected": 2}, False),
        ({"started": 100, "completed": 98, "failed": 0, "rejected": 0}, False),  # 30 s of 900 s are under way
        ({"started": 100, "completed": 90, "failed": 0, "rejected": 0}, True),
        ({"started": 2, "completed": 0, "failed": 0, "rejected": 0}, True),
        ({"started": 0, "completed": 5, "failed": 0, "rejected": 0}, False),
    ],
)
def test_unfinished(counts: dict[str, float], breaches: bool) -> None:
    """STARTED without an end counts, less what may rightly be under way when a period ends."""
    signal = named(function_signals(function_name="f", timeout_seconds=30))["Unfinished"]
    assert isinstance(signal.metric, Math)
    assert set(signal.metric.metrics) == set(counts)
    assert signal.metric.period == 900
    assert (evaluate(signal.metric.expression, **counts) >= signal.threshold) is breaches


@pytest.mark.parametrize(("held", "breaches"), [(90, False), (50, True)])
def test_a_message_held_by_a_breaker_has_ended(held: float, breaches: bool) -> None:
    """It is subtracted where there is a breaker, and paid for only there."""
    signal = named(function_signals(function_name="f", timeout_seconds=30, may_refuse=True))["Unfinished"]
    assert isinstance(signal.metric, Math)
    counts = {"started": 100, "completed": 10, "failed": 0, "rejected": 0, "held": held}

    assert set(signal.metric.metrics) == set(counts)
    assert (evaluate(signal.metric.expression, **counts) >= signal.threshold) is breaches


@pytest.mark.parametrize("timeout", [1, 29, 61, 900])
def test_unfinished_period(timeout: int) -> None:
    """Whatever the timeout, no more than a fifteenth of a period's work may be under way when it ends."""
    signal = named(function_signals(function_name="f", timeout_seconds=timeout))["Unfinished"]
    assert signal.metric.period % 60 == 0
    assert signal.metric.period >= 15 * timeout
    assert signal.metric.period * signal.periods <= 86_400


def test_asynchronous() -> None:
    """Events that are given up or lost wake someone at once; those that wait long are a ticket."""
    signals = named(async_signals(function_name="f", on_failure_queue_name="q", max_event_age_seconds=3600))
    assert {name for name, signal in signals.items() if signal.severity is Severity.PAGE} == {
        "DroppedEvents",
        "DestinationDeliveryFailures",
        "FailedEvents",
    }
    assert signals["AsyncEventAge"].threshold == 1_800_000


def test_other_destination() -> None:
    """A destination that is not our queue is not watched as one."""
    signals = async_signals(function_name="f", on_failure_queue_name=None, max_event_age_seconds=TOKEN)
    assert set(named(signals)) == {"DroppedEvents", "DestinationDeliveryFailures"}


def test_every_metric_has_dimensions() -> None:
    """No metric of an alarm or a graph is without the function's or the queue's name."""
    section = function_section(
        title="F", function_name="f", timeout_seconds=30, concurrency_limit=5, log_group="l"
    )
    signals = function_signals(function_name="f", timeout_seconds=30, concurrency_limit=5)
    signals += async_signals(function_name="f", on_failure_queue_name="q", max_event_age_seconds=60)
    shown = [metric for panel in section.panels for metric in (*panel.left, *panel.right)]
    for metric in [*(signal.metric for signal in signals), *shown]:
        measured = metric.metrics.values() if isinstance(metric, Math) else [metric]
        assert all(one.dimensions in ({"FunctionName": "f"}, {"QueueName": "q"}) for one in measured)
