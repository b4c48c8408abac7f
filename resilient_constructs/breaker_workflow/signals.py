"""What a workflow emits, what may wake someone, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from resilient_constructs.monitoring import (
    Lane,
    LogGroup,
    Math,
    Metric,
    Panel,
    SavedQuery,
    Section,
    Severity,
    Signal,
)
from resilient_constructs.resilient_function.health_signals import FULL
from resilient_constructs.resilient_function.signals import function_panels, function_signals

__all__ = ["QUERIES", "Emitted", "starter_signals", "workflow_section", "workflow_signals"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Emitted:
    """The names that the metrics of one workflow go by.

    :param machine_arn: the state machine
    :param work_queue_name: where work waits to be started
    :param parked_queue_name: where work waits for the circuit; None without parking in a queue
    :param dead_letter_queue_name: where work is given up to
    :param function: the CloudWatch dimensions of the starter
    """

    machine_arn: str
    work_queue_name: str
    parked_queue_name: str | None
    dead_letter_queue_name: str
    function: Mapping[str, str]

    def machine(self, name: str, statistic: str = "Sum", label: str | None = None) -> Metric:
        """A metric of the state machine.

        https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
        """
        return Metric(
            namespace="AWS/States",
            name=name,
            dimensions={"StateMachineArn": self.machine_arn},
            statistic=statistic,
            label=label,
        )

    @property
    def waiting(self) -> Metric:
        """Work that waits to be started."""
        return _visible(self.work_queue_name, "waiting to start")

    @property
    def oldest_work_age(self) -> Metric:
        """Seconds since the oldest waiting work was sent."""
        return _age(self.work_queue_name, "age of the oldest, s")

    @property
    def parked(self) -> Metric | None:
        """Work that waits for the circuit."""
        return None if self.parked_queue_name is None else _visible(self.parked_queue_name, "parked")

    @property
    def oldest_parked_age(self) -> Metric | None:
        """Seconds since the oldest parked work was parked last."""
        return None if self.parked_queue_name is None else _age(self.parked_queue_name, "parked longest, s")

    @property
    def dead_letters(self) -> Mapping[str, Metric]:
        """What tells of dead letters: those waiting, those sent and those already taken out again."""
        name = self.dead_letter_queue_name
        return {
            "waiting": _visible(name, "dead letters waiting"),
            "sent": _sqs(name, "NumberOfMessagesSent", "Sum", "given up"),
            "received": _sqs(name, "NumberOfMessagesReceived", "Sum", "taken out"),
        }

    @property
    def open(self) -> Math:
        """Executions begun and not ended since the graph's beginning: how many more or fewer are open."""
        ends = ("ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted")
        names = ("succeeded", "failed", "timedout", "aborted")
        return Math(
            expression="RUNNING_SUM(started - " + " - ".join(f"FILL({name}, 0)" for name in names) + ")",
            metrics={
                "started": self.machine("ExecutionsStarted"),
                **{name: self.machine(metric) for name, metric in zip(names, ends, strict=True)},
            },
            label="open, since the graph's beginning",
        )


_FAILED = (
    "Work that is given up fails its execution, so there should be as many dead letters. If there are fewer,"
    " Step Functions could not send them: "
)
_TIMED_OUT = "They took longer than the workflow's timeout, which should leave room for every attempt. "


def workflow_signals(
    emitted: Emitted, *, timeout: float, alarm_age: float, express: bool = False
) -> tuple[Signal, ...]:
    """When a workflow should wake someone.

    :param timeout: seconds that an execution may take
    :param alarm_age: seconds that the oldest work may wait
    :param express: whether nothing is kept of an execution: no input, no history, no event of its end
    """
    signals = [
        # Three metrics, as in any dead-letter queue of ours: each alone is blind to some letter.
        Signal(
            name="WorkGivenUp",
            title="Work was given up",
            because="It was refused, or failed as often as its rules allow. Each dead letter says error,"
            " cause and execution. Mend the cause, then move the messages to the work queue: each starts"
            " anew.",
            metric=Math(
                expression="MAX([waiting, sent, received])",
                metrics=emitted.dead_letters,
                label="dead letters",
            ),
            threshold=1,
            severity=Severity.PAGE,
        ),
        Signal(
            name="ExecutionsFailed",
            title="Executions failed",
            because=_FAILED
            + (
                "an Express execution keeps no input, so that work is lost, unless whoever sent it can send"
                " it again. The log says when, and why."
                if express
                else "its executions still have the input, and `resilient redrive EXECUTION` runs them again."
            ),
            metric=emitted.machine("ExecutionsFailed"),
            threshold=1,
            severity=Severity.PAGE if express else Severity.TICKET,
        ),
        Signal(
            name="ExecutionsTimedOut",
            title="Executions ran out of time",
            because=_TIMED_OUT
            + (
                "No event tells of an Express execution's end and none keeps its input, so that work is lost,"
                " unless whoever sent it can send it again. See in the log what they waited for."
                if express
                else "Their input goes to the dead letters by an event of Step Functions. See in an"
                " execution's history what it waited for."
            ),
            metric=emitted.machine("ExecutionsTimedOut"),
            threshold=1,
            severity=Severity.PAGE,
        ),
        Signal(
            name="ExecutionsThrottled",
            title="State transitions are throttled",
            because="The account's quota of transitions a second is used up, which new accounts have little"
            " of. Executions go on, slower. Start fewer a second, or ask for a higher quota.",
            metric=emitted.machine("ExecutionThrottled"),
            threshold=1,
            periods=5,
            datapoints=3,
            severity=Severity.TICKET,
        ),
        Signal(
            name="ExecutionsSlow",
            title="Executions come close to their timeout",
            because=f"One in a hundred takes more than four fifths of {timeout:,.0f} s. See in their"
            " histories whether the call is slow, or retries and waiting take the time.",
            metric=emitted.machine("ExecutionTime", "p99"),
            threshold=0.8 * timeout * 1000,
            periods=3,
            severity=Severity.TICKET,
        ),
        Signal(
            name="WorkWaits",
            title="Work waits long to be started",
            because="More arrives than the workflow may start, its downstream's circuit is open, or the"
            " starter fails. Look at these in this order.",
            metric=emitted.oldest_work_age,
            threshold=alarm_age,
            periods=5,
            severity=Severity.PAGE,
        ),
    ]
    if emitted.oldest_parked_age is not None:
        signals.append(
            Signal(
                name="ParkedWorkWaits",
                title="Work is parked for long",
                because="The circuit is open, or opens again whenever parked work is tried. Nothing is lost"
                " for 14 days. `resilient breaker status` says why; if the circuit is closed, see whether"
                " the parked queue's event source mapping is enabled.",
                metric=emitted.oldest_parked_age,
                threshold=alarm_age,
                periods=5,
                severity=Severity.TICKET,
            )
        )
    return tuple(signals)


def starter_signals(function: Mapping[str, str], *, timeout: float) -> tuple[Signal, ...]:
    """When the starter should wake someone."""
    wanted = {"Errors", "Throttles", "Unfinished", "ContainerHealth"}
    name = function["FunctionName"]
    made = function_signals(function_name=name, timeout_seconds=timeout, may_refuse=True)
    return tuple(
        replace(signal, metric=replace(signal.metric, dimensions=function))
        if isinstance(signal.metric, Metric)
        else signal
        for signal in made
        if signal.name in wanted
    )


def workflow_section(
    title: str, emitted: Emitted, *, timeout: float, starter_timeout: float, starter_log: LogGroup
) -> Section:
    """What the dashboard shows of a workflow: what waits, what runs, how it ends, how long it takes."""
    waiting = [one for one in (emitted.waiting, emitted.parked) if one is not None]
    ages = [one for one in (emitted.oldest_work_age, emitted.oldest_parked_age) if one is not None]
    starter = function_panels(
        function_name=emitted.function["FunctionName"], timeout_seconds=starter_timeout, full=FULL
    )
    return Section(
        title=title,
        lane=Lane.WORK,
        panels=(
            Panel(title="Waiting and parked", left=tuple(waiting), right=tuple(ages)),
            Panel(
                title="Executions",
                left=(
                    emitted.machine("ExecutionsStarted", label="started"),
                    emitted.machine("ExecutionsSucceeded", label="succeeded"),
                    emitted.machine("ExecutionsFailed", label="failed"),
                    emitted.machine("ExecutionsTimedOut", label="timed out"),
                ),
                right=(emitted.machine("ExecutionThrottled", label="transitions throttled"),),
            ),
            Panel(title="Open executions", left=(emitted.open,), right=(_open_in_account(),)),
            Panel(
                title="How long an execution takes (ms)",
                left=(
                    emitted.machine("ExecutionTime", "p50", "median"),
                    emitted.machine("ExecutionTime", "p99", "99 of 100"),
                    emitted.machine("ExecutionTime", "Maximum", "longest"),
                ),
                threshold=0.8 * timeout * 1000,
            ),
            Panel(title="Dead letters", left=tuple(emitted.dead_letters.values()), threshold=1),
            *starter,
        ),
        log_groups=(starter_log,),
    )


def _open_in_account() -> Metric:
    # Without dimensions: of all workflows together, and none is shown below 10,000.
    return Metric(
        namespace="AWS/States",
        name="OpenExecutionCount",
        dimensions={},
        statistic="Maximum",
        label="open in the account, all workflows",
    )


def _visible(queue_name: str, label: str) -> Metric:
    return _sqs(queue_name, "ApproximateNumberOfMessagesVisible", "Maximum", label)


def _age(queue_name: str, label: str) -> Metric:
    return _sqs(queue_name, "ApproximateAgeOfOldestMessage", "Maximum", label)


def _sqs(queue_name: str, name: str, statistic: str, label: str) -> Metric:
    return Metric(
        namespace="AWS/SQS",
        name=name,
        dimensions={"QueueName": queue_name},
        statistic=statistic,
        label=label,
    )


# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
QUERIES: Mapping[str, SavedQuery] = {
    "WhatFailed": SavedQuery(
        name="executions that failed, and why",
        query="""fields @timestamp, execution_arn, type, details.name, details.error, details.cause
| filter type in ["ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted", "FailStateEntered"]
| sort @timestamp desc
| limit 1000""",
    ),
    "OneExecution": SavedQuery(
        name="what one execution did",
        query="""fields @timestamp, id, type, details.name, details.error, details.cause
| filter execution_arn = "execution-arn-to-follow"
| sort id asc
| limit 1000""",
    ),
    "WhichErrors": SavedQuery(
        name="which errors the work raises, and how often",
        query="""filter type in ["TaskFailed", "TaskTimedOut", "LambdaFunctionFailed"]
| stats count(*) as times, max(@timestamp) as last_seen by details.resourceType, details.error
| sort times desc
| limit 100""",
    ),
}
"""What is asked of the executions' log, by construct ID."""
