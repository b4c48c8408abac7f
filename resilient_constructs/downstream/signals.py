"""What a downstream's circuit and its controller emit, what may wake someone, and why."""

from __future__ import annotations

from resilient_runtime.settings import METRICS_NAMESPACE

from resilient_constructs.monitoring import Lane, Metric, MissingData, Panel, Section, Severity, Signal

__all__ = ["circuit_section", "circuit_signals", "controller_signals", "downstream_section"]

RECONCILE_SECONDS = 120
"""How often each circuit's state is told, and drift of mappings repaired."""

_OPEN = 2


def circuit_state(table_name: str, downstream: str) -> Metric:
    """The circuit's state as a number: 0 closed, 1 half open, 2 open, 3 forced open, -1 disabled."""
    return Metric(
        namespace=METRICS_NAMESPACE,
        name="CircuitState",
        dimensions={"Circuits": table_name, "Downstream": downstream},
        statistic="Maximum",
        period=RECONCILE_SECONDS,
        label="2 open, 1 half open, 0 closed",
    )


def circuit_signals(table_name: str, downstream: str) -> tuple[Signal, ...]:
    """When a circuit should wake someone: not for one opening that heals by itself."""
    return (
        Signal(
            name="CircuitOpen",
            title=f"{downstream} is down and its consumers are paused",
            because="Nothing is lost: messages wait in their queues, and probes go on by themselves. See the"
            " reason with `resilient breaker status`, ask whoever runs the downstream, and watch the age of"
            " the oldest message.",
            metric=circuit_state(table_name, downstream),
            threshold=_OPEN,
            periods=2,
            # It is told at every change and every two minutes; a gap in between says nothing.
            missing=MissingData.IGNORE,
            severity=Severity.PAGE,
        ),
    )


def circuit_section(table_name: str, downstream: str) -> Section:
    """What the dashboard shows of a circuit: a lane of its states."""
    return Section(
        title=f"{downstream}: circuit",
        lane=Lane.DOWNSTREAM,
        panels=(Panel(title="Circuit", left=(circuit_state(table_name, downstream),), threshold=_OPEN),),
    )


def controller_signals(function_name: str, *, dead_letter_queue_name: str) -> tuple[Signal, ...]:
    """When the controller should wake someone: consumers may be paused without need, or the reverse."""
    return (
        Signal(
            name="ControllerFailing",
            title="Event source mappings may not follow their circuits",
            because="The circuit controller fails: a consumer may stay paused after an outage, or be fed"
            " during one. Read its log; until it works, switch the mappings by hand.",
            metric=Metric(namespace="AWS/Lambda", name="Errors", dimensions={"FunctionName": function_name}),
            threshold=1,
            periods=10,
            datapoints=3,
            severity=Severity.PAGE,
        ),
        Signal(
            name="ControllerGaveUp",
            title="The circuit controller gave up on something",
            because="A change of a circuit may not have been told as an event, or was acted on late. The"
            " mappings are looked at every two minutes anyway. Read the message and the controller's log, and"
            " delete it.",
            metric=Metric(
                namespace="AWS/SQS",
                name="ApproximateNumberOfMessagesVisible",
                dimensions={"QueueName": dead_letter_queue_name},
                statistic="Maximum",
            ),
            threshold=1,
            severity=Severity.TICKET,
        ),
    )


def downstream_section(title: str, *, downstream: str, function_name: str) -> Section:
    """What the dashboard shows of a downstream as one consumer sees it: calls, failures, time taken.

    :param downstream: the downstream's name, under which the runtime counts
    """

    def called(name: str, statistic: str, label: str) -> Metric:
        return Metric(
            namespace=METRICS_NAMESPACE,
            name=name,
            dimensions={"FunctionName": function_name, "Downstream": downstream},
            statistic=statistic,
            label=label,
        )

    return Section(
        title=title,
        lane=Lane.DOWNSTREAM,
        panels=(
            Panel(
                title="Calls and failures",
                left=(
                    called("DownstreamDuration", "SampleCount", "calls"),
                    called("DownstreamFailed", "Sum", "failed"),
                ),
            ),
            Panel(
                title="How long a call takes (ms)",
                left=(
                    called("DownstreamDuration", "p50", "median"),
                    called("DownstreamDuration", "p99", "99 of 100"),
                ),
            ),
        ),
    )
