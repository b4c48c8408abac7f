"""Starts an execution for each message of a queue: ``resilient_runtime.starting.start`` in mode ``messages``.

It is a handler like any other, so whatever a message may go through is as for every consumer: batches fail in
parts, a message that no execution can be started with goes to the dead-letter queue with its reason, and one
that has no turn returns. What it is told stands in three variables:

* ``RESILIENT_STATE_MACHINE_ARN``: what is started. Required
* ``RESILIENT_CLAIMS_BUCKET``: where inputs that are too large for an execution are kept. Required
* ``RESILIENT_STARTS_PER_SECOND``: how many this environment may start. Default: it is not paced

An execution that was started for the message before is not started again: SQS delivers at least once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from .call import Call
from .clock import SYSTEM_CLOCK, Clock
from .reject import Reject
from .settings import DownstreamSettings
from .work_envelope import as_text, is_too_large, work_of, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pacing import Pacer
    from .rare_records import RareRecords

__all__ = ["KeepsInputs", "Starter", "StartsExecutions", "starter_from"]

_NAME = "Step Functions"


class StartsExecutions(Protocol):
    """Where executions are started."""

    def start(self, name: str, text: str) -> bool:
        """Start one.

        :returns: whether it was started now; False when there is, or was, one of this name
        :raises Reject: when none can ever be started with this input
        :raises Exception: when it is not known to have started
        """
        ...


class KeepsInputs(Protocol):
    """Where inputs are kept that are too large."""

    def store(self, text: str) -> Mapping[str, Any]:
        """Keep it, and return the claim to it.

        :raises Exception: when it is not known to be kept
        """
        ...


class Starter:
    """Starts the work that a message brings.

    :param executions: where
    :param claims: keeps inputs that are too large; None keeps none, and rejects such messages
    :param pacer: waits for this environment's turns. Default: it is not paced
    :param rate: starts a second of this environment
    :param records: is told of what had been started before
    :param machine: the ARN of what is started, by which the ends of its own executions are known
    """

    def __init__(
        self,
        executions: StartsExecutions,
        claims: KeepsInputs | None,
        *,
        machine: str | None = None,
        pacer: Pacer | None = None,
        rate: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
        records: RareRecords | None = None,
    ) -> None:
        self._executions = executions
        self._machine = machine
        self._claims = claims
        self._pacer = pacer
        # One caller: the rate is this environment's own, the others have theirs.
        self._pace = DownstreamSettings(_NAME, requests_per_second=rate, burst=1.0, max_concurrency=1)
        self._clock = clock
        self._records = records

    def start(self, body: Any, call: Call) -> None:
        """Start it, or find that it was started.

        :raises NoTurn: when this environment has started enough for now; the message returns in a moment
        :raises SlowDown: when AWS starts no more for now; the message returns, and the pace is slower
        :raises Reject: when no execution can be started with this message
        :raises Exception: when it is not known to have started; the message returns
        """
        work = work_of(body, call, machine=self._machine)
        try:
            text = as_text(wrapped(work))
        except ValueError as error:
            raise Reject(f"the message is no JSON that an execution could be given: {error}") from error
        pacer = self._pacer
        if pacer is None:
            self._start(work.name, work.about, work.input, text, call)
            return
        pacer.enter(call, self._pace)
        started = self._clock.ticks()
        failure: BaseException | None = None
        try:
            self._start(work.name, work.about, work.input, text, call)
        except BaseException as error:
            failure = error
            raise
        finally:
            pacer.leave(call, self._pace, self._clock.ticks() - started, failure)

    def _start(self, name: str, about: Mapping[str, Any], given: Any, text: str, call: Call) -> None:
        if is_too_large(text):
            text = self._claimed(about, given)
        if not self._executions.start(name, text) and self._records is not None:
            self._records.record(
                "ALREADY_STARTED", {"execution": name, "correlation_id": call.correlation_id}
            )

    def _claimed(self, about: Mapping[str, Any], given: Any) -> str:
        if self._claims is None:
            raise Reject(
                "the message is larger than an execution's input may be, and no bucket keeps such inputs: "
                "set RESILIENT_CLAIMS_BUCKET, and send it again"
            )
        return as_text({"resilient": {**about, "claim": self._claims.store(as_text(given))}, "input": None})


def starter_from(env: Mapping[str, str], *, emit: Callable[[str], None] | None = None) -> Starter:
    """The starter that the environment variables describe.

    :param emit: takes each record. Default: standard output
    :raises ValueError: when a variable is missing, or holds no rate
    """
    from .application import print_line
    from .pacing import Pacer
    from .rare_records import RareRecords
    from .stores.claims import S3Claims
    from .stores.executions import Executions

    arn, bucket = env.get("RESILIENT_STATE_MACHINE_ARN"), env.get("RESILIENT_CLAIMS_BUCKET")
    rate = env.get("RESILIENT_STARTS_PER_SECOND") or "0"
    faults = [
        f"{name} is not set"
        for name, value in (("RESILIENT_STATE_MACHINE_ARN", arn), ("RESILIENT_CLAIMS_BUCKET", bucket))
        if not value
    ]
    try:
        paced = float(rate)
    except ValueError:
        paced = -1
    if not 0 <= paced < float("inf"):
        faults.append(f"RESILIENT_STARTS_PER_SECOND is {rate!r}; allowed: 0 or more, 0 does not pace")
    if faults:
        raise ValueError(f"{'; '.join(faults)}: deploy the workflow's starter again")
    service = env.get("RESILIENT_SERVICE", "service")
    return Starter(
        Executions(arn or ""),
        S3Claims(bucket or ""),
        machine=arn,
        pacer=Pacer() if paced else None,
        rate=paced or None,
        records=RareRecords(
            service=service,
            function_name=env.get("AWS_LAMBDA_FUNCTION_NAME") or service,
            clock=SYSTEM_CLOCK,
            emit=emit or print_line,
        ),
    )


def __getattr__(name: str) -> Any:
    # Made when the entry point looks for its handler, in the init phase: a starter without its settings then
    # fails the first invocation, loudly, and not message by message.
    if name != "start":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()["start"] = starter_from(os.environ).start
    return value
