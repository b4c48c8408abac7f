"""Queue → starter → state machine around one call; failures → retries → dead letters; outage → parked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache

from aws_cdk import Annotations, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from resilient_constructs import queues
from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall
from resilient_constructs.places import settle, unique_name
from resilient_constructs.tokens import pseudo

from .choices import check_parking, check_queues, check_visibility, choose, plan_of, warn_of
from .claims import Claims
from .ended import keep_what_ended
from .granting import document_of, machine_statements, send_statements
from .kinds import check_kinds
from .machine import definition
from .pace import choose_pace
from .reached import ReachedWorkflow
from .retry import Parking, Retry
from .schedules import Schedules
from .signals import Emitted
from .starter import feed, make_starter
from .waiting import make_waiting
from .watching import watch
from .work import Work

__all__ = ["BreakerWorkflow"]


class BreakerWorkflow(ReachedWorkflow):
    """A state machine around one call: it asks the breaker, calls, tries again, and drops nothing.

    Work waits in a queue and is started at the pace that the downstream bears, each under a name of its own,
    so that a message which comes twice is one execution. While the circuit is open, work is not failed but
    parked, and resumed when it closes. Work that is given up goes to the dead-letter queue with its input,
    error, cause and execution. The breaker is that of the downstream's other callers: one circuit for
    functions and workflows alike.

    :param work: what is called; ``Work.function(…)``, ``Work.http(…)`` …
    :param downstream: what lies behind the call: its rate, its breaker. Default: neither
    :param retries: when the call is made again; ``[]`` for never. Default: any error five times, after up to
        2, 4, 8, 16 and 32 seconds; Express: twice
    :param rejects: names of errors that say no to this one work: dead-letter at once, counted against nobody.
        Default: ``Reject``, and what the kind of work says
    :param throttles: names of errors that ask for fewer calls: tried again, counted against nobody. Default:
        what the kind of work says
    :param fallback: what is done, or given back as it is, when the work was given up; then nothing goes to
        the dead-letter queue. Default: the work is dead-lettered, and its execution fails
    :param parking: what becomes of work while the circuit is open. Default: it waits in a queue
    :param keep_parked_for: work older than this is given up instead of parked again. Default: 14 days
    :param timeout: how long an execution may take, waiting included. Default: a day, or twice what all
        attempts may take; with ``Parking.WAIT``, ``keep_parked_for`` and that; Express: five minutes
    :param express: an Express workflow: cheaper for short calls, but it may run twice, keeps no history and
        cannot be redriven. Default: a Standard one
    :param max_concurrency: how many of the downstream's calls are this workflow's part. Default: by Little's
        law all that keep it busy; the callers share the rate by these parts
    :param starts_per_second: how many executions may start a second at most. Default: what the downstream
        takes; without one, 100, as an account's quota is 150 or 300
    :param queue: a standard queue of yours for the work. Default: one is made
    :param parked_queue: a standard queue of yours for parked work. Default: one is made where it is needed
    :param dead_letter_queue: a standard queue of yours for what was given up. Default: one is made
    :param claims: a bucket of yours for inputs over 224 KB; objects below ``work/`` should outlive every
        execution and its redrive. Default: the stack's, which keeps them for 120 days
    :param role: a role of yours for the state machine; it still gets what it needs. Default: a new one
    :param encryption_key: a customer key for the queues made here. Default: keys of SQS (SSE-SQS)
    :param log_group: a log group of yours for executions. Default: one is made that keeps a month
    :param log_level: what of an execution is logged; never its data. Default: errors; of Express workflows,
        which have no other history, everything
    :param alarm_when_older_than: the age of the oldest work, waiting or parked, that wakes someone. Default:
        an hour
    :param on_call: whom the alarms tell. Default: they tell nobody
    :raises ValueError: when values are impossible; all faults at once

    https://docs.aws.amazon.com/step-functions/latest/dg/welcome.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        work: Work,
        downstream: Downstream | None = None,
        retries: Sequence[Retry] | None = None,
        rejects: Sequence[str] = (),
        throttles: Sequence[str] = (),
        fallback: Work | object | None = None,
        parking: Parking | None = None,
        keep_parked_for: Duration | None = None,
        timeout: Duration | None = None,
        express: bool = False,
        max_concurrency: int | None = None,
        starts_per_second: float | None = None,
        queue: sqs.IQueue | None = None,
        parked_queue: sqs.IQueue | None = None,
        dead_letter_queue: sqs.IQueue | None = None,
        claims: s3.IBucket | None = None,
        role: iam.IRole | None = None,
        encryption_key: kms.IKey | None = None,
        log_group: logs.ILogGroup | None = None,
        log_level: sfn.LogLevel | None = None,
        alarm_when_older_than: Duration | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        faults = Faults(f"BreakerWorkflow {construct_id!r}")
        check_kinds(faults, work=work, downstream=downstream, retries=retries)
        guarded = downstream is not None and downstream.circuits is not None
        check_parking(
            faults,
            guarded=guarded,
            parking=parking,
            parked_queue=parked_queue,
            keep_parked_for=keep_parked_for,
        )
        parking = Parking.QUEUE if parking is None else parking
        parks = guarded and parking == Parking.QUEUE
        check_queues(faults, queue=queue, parked_queue=parked_queue, dead_letter_queue=dead_letter_queue)
        chosen = choose(
            faults,
            work=work,
            fallback=fallback,
            retries=retries,
            rejects=rejects,
            throttles=throttles,
            parking=parking,
            express=express,
            timeout=timeout,
            keep_parked_for=keep_parked_for,
            alarm_when_older_than=alarm_when_older_than,
        )
        pace = choose_pace(
            faults,
            downstream=downstream,
            starts_per_second=starts_per_second,
            max_concurrency=max_concurrency,
            parks=parks,
        )
        check_visibility(faults, pace.timeout, queue=queue, parked_queue=parked_queue)
        faults.raise_any()

        self.timeout_seconds = chosen.timeout
        """How long an execution may take, in seconds."""
        self.starts_per_second = pace.starts_per_second
        """How many executions may start a second, while no other caller shares the rate."""
        waiting = make_waiting(
            self,
            work=queue,
            parked=parked_queue,
            dead_letters=dead_letter_queue,
            parks=parks,
            visibility_timeout=6 * pace.timeout,
            encryption_key=encryption_key,
        )
        self.queue = self.work_queue = waiting.work
        self.parked_queue = waiting.parked
        self.dead_letter_queue: sqs.IQueue = waiting.dead_letters
        """Where work goes that was given up, or could not be started."""
        self.claims: s3.IBucket = claims or Claims.of(self)
        """The bucket for inputs that are too large for Step Functions; one per stack unless given."""

        text = json.dumps(
            definition(
                plan_of(
                    chosen,
                    work=work,
                    fallback=fallback,
                    rejects=rejects,
                    throttles=throttles,
                    parking=parking,
                    express=express,
                    downstream=downstream,
                    parked_queue_url=None if waiting.parked is None else waiting.parked.queue_url,
                    dead_letter_queue_url=self.dead_letter_queue.queue_url,
                    partition=pseudo().partition,
                    comment=f"resilient-constructs BreakerWorkflow {construct_id}",
                )
            ),
            separators=(",", ":"),
        )
        works = [work, *([fallback] if isinstance(fallback, Work) else [])]
        statements = [
            *send_statements(waiting.sent_arns, waiting.keys),
            *(statement for each in works for statement in each.statements),
        ]
        policies = [downstream.circuits.use_policy] if downstream and downstream.circuits else None
        self.role: iam.IRole = role or iam.Role(
            self,
            "Role",
            assumed_by=_states_service(),
            inline_policies={"Work": document_of(statements)},
            managed_policies=policies,
        )
        """What the state machine may do."""
        if role is not None:
            iam.Policy(self, "WorkPolicy", document=document_of(statements), roles=[role])
            if downstream is not None and downstream.circuits is not None:
                downstream.circuits.grant_use(role)
        log_name = f"/aws/vendedlogs/states/{unique_name(self, max_length=100)}-{queues.stack_uuid()}"
        # That beginning keeps the account's few resource policies for logs from filling up.
        # https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
        self.log_group: logs.ILogGroup = log_group or logs.LogGroup(
            self, "LogGroup", log_group_name=log_name, retention=logs.RetentionDays.ONE_MONTH
        )
        """Where executions are logged, without their data."""
        self.state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            definition_body=sfn.DefinitionBody.from_string(text),
            role=self.role,
            state_machine_type=sfn.StateMachineType.EXPRESS if express else sfn.StateMachineType.STANDARD,
            logs=sfn.LogOptions(
                destination=self.log_group,
                level=log_level or (sfn.LogLevel.ALL if express else sfn.LogLevel.ERROR),
                include_execution_data=False,
            ),
            tracing_enabled=True,
        )
        """The state machine."""
        arn = self.state_machine.state_machine_arn
        on_machine = machine_statements([each.on_machine for each in works], arn)
        if on_machine:
            # beside the role's own policy, which stands before the state machine and cannot name it
            iam.Policy(self, "EndpointPolicy", document=document_of(on_machine), roles=[self.role])
        for each in works:
            if each.reader is not None:
                self.grant_read_claims(each.reader)
            if each.answers is not None:
                self.grant_task_response(each.answers)
        self._warn_of(works)
        self.ended: events.CfnRule | None = None
        """The rule that keeps what ended without giving itself up; None for Express workflows."""
        if not express:
            self.ended = keep_what_ended(
                self,
                machine_arn=arn,
                dead_letter_queue=self.dead_letter_queue,
                dead_letter_queue_arn=waiting.dead_letters_arn,
            )
        self.starter = make_starter(
            self,
            "Starter",
            machine_arn=arn,
            claims=self.claims,
            queue_arns=waiting.fed_arns,
            dead_letter_queue=self.dead_letter_queue,
            keys=waiting.keys,
            pace=pace,
            downstream=downstream,
            service=construct_id,
        )
        """The function that starts executions."""
        starter_name = self.starter.function.function_name
        self.event_source_mapping = feed(
            self,
            "WorkMapping",
            queue_arn=waiting.work_arn,
            starter_name=starter_name,
            concurrency=pace.concurrency,
            batch_size=pace.batch_size,
            downstream=downstream,
        )
        """What takes new work from the queue."""
        self.parked_mapping: lambda_.CfnEventSourceMapping | None = None
        """What takes parked work from its queue; None where there is none."""
        if waiting.parked_arn is not None:
            self.parked_mapping = feed(
                self,
                "ParkedMapping",
                queue_arn=waiting.parked_arn,
                starter_name=starter_name,
                concurrency=pace.parked_concurrency,
                batch_size=1,
                downstream=downstream,
            )
        if downstream is not None and pace.calls is not None:
            downstream.register(self, pace.calls, is_paced=True)
        for warning in warn_of(chosen, pace, downstream):
            Annotations.of(self).add_warning_v2(f"resilient:BreakerWorkflow/{warning.slug}", warning.text)
        self._schedules = Schedules(
            self,
            queue_arn=waiting.work_arn,
            dead_letter_queue_arn=waiting.dead_letters_arn,
            keys=waiting.keys,
        )
        self._emitted = Emitted(
            machine_arn=arn,
            work_queue_name=waiting.work_name,
            parked_queue_name=waiting.parked_name,
            dead_letter_queue_name=waiting.dead_letters.queue_name,
            function={"FunctionName": starter_name},
        )
        self.alarms: Mapping[str, cloudwatch.CfnAlarm] = watch(
            self,
            construct_id,
            self._emitted,
            timeout=chosen.timeout,
            alarm_age=chosen.alarm_age,
            starter=self.starter,
            log_group_name=log_name if log_group is None else log_group.log_group_name,
            express=express,
            on_call=on_call,
        )
        """The alarms by signal: ``WorkGivenUp``, ``ExecutionsTimedOut``, ``WorkWaits`` …"""


@cache
def _states_service() -> iam.ServicePrincipal:
    return iam.ServicePrincipal("states.amazonaws.com")
