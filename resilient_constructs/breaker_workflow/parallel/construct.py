"""Queue → starter → state machine over many items; failures → dead letters, results → manifest."""

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
from resilient_constructs.breaker_workflow.choices import check_queues, plan_of
from resilient_constructs.breaker_workflow.claims import Claims
from resilient_constructs.breaker_workflow.ended import keep_what_ended
from resilient_constructs.breaker_workflow.granting import document_of, send_statements
from resilient_constructs.breaker_workflow.kinds import check_kinds
from resilient_constructs.breaker_workflow.pace import choose_pace
from resilient_constructs.breaker_workflow.reached import ReachedWorkflow
from resilient_constructs.breaker_workflow.retry import Parking, Retry
from resilient_constructs.breaker_workflow.schedules import Schedules
from resilient_constructs.breaker_workflow.signals import Emitted
from resilient_constructs.breaker_workflow.starter import feed, make_starter
from resilient_constructs.breaker_workflow.waiting import make_waiting
from resilient_constructs.breaker_workflow.work import Work
from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall
from resilient_constructs.places import settle, unique_name
from resilient_constructs.tokens import pseudo

from .choices import as_folder, as_item, plan_of_batch
from .deciding import decide
from .granting import own_statements, results_statements
from .items import Items
from .limits import READER_PAGE
from .machine import definition
from .watching import save_queries, watch_batches

__all__ = ["ParallelWork"]

_PREFIX = 100
"""Characters of what tells the results of one construct from those of others."""


class ParallelWork(ReachedWorkflow):
    """A batch of many items, so many at once as the downstream bears, and none of them dropped.

    Each item is worked on like the work of a ``BreakerWorkflow``: it asks the breaker, calls, tries again,
    and waits in its place while the circuit is open. Each ends in exactly one of two places: as succeeded in
    the batch's manifest, or in the dead-letter queue with its index, error and cause. Only when all have
    ended the tolerated share decides whether the batch succeeded. A dead letter that is moved to the work
    queue is that one item again.

    :param work: what is called for each item; ``Work.function(…)``, ``Work.http(…)`` …
    :param items: where the items come from. Default: the batch's input, an array or its ``items``, inline
    :param downstream: what lies behind the call: how many items are under way, and the breaker. Default:
        neither
    :param retries: when an item is tried again. Default: any error five times, after up to 2, 4, 8, 16 and 32
        seconds; of Express items twice, or as often as fits into their five minutes
    :param rejects: names of errors that say no to this one item. Default: ``Reject``, and what the kind of
        work says
    :param throttles: names of errors that ask for fewer calls: tried again, counted against nobody. Default:
        what the kind of work says
    :param fallback: what is done, or given back as it is, for an item that was given up; then it succeeded.
        Default: it is dead-lettered
    :param tolerated_percent: the batch fails when more of its items fail. Default: when any does
    :param tolerated_count: the batch fails, too, when more of its items fail. Default: only the share counts
    :param group: how many items are handed to one call, as ``[{"index", "item"}, …]``, and fail together; of
        distributed items. Default: each item is a call of its own
    :param express_items: distributed items are Express executions: cheaper for short calls, but one may run
        twice and none may wait for a circuit. All attempts and the dead letter have to fit into five minutes.
        Default: Standard ones
    :param max_concurrency: how many items one batch has under way. Default: by Little's law all that keep the
        downstream busy, less up to a tenth for items that are sent back, shared out among
        ``batches_at_once``; without a downstream 40
    :param batches_at_once: how many batches run while later ones wait in their order. Default: with a
        downstream one, so that its concurrency holds; without one nobody counts
    :param wait_for: an item that waits for the circuit longer than this is given up; with a breaker only.
        Default: 14 days, or what ``timeout`` leaves after all attempts
    :param timeout: how long a batch may take, waiting for its turn and the circuit included. Default: with a
        breaker a week longer than ``wait_for``, else 14 days
    :param starts_per_second: how many batches, and items that are sent back, may start a second at most.
        Default: one, or a tenth of what the downstream takes
    :param queue: a standard queue of yours for batches. Default: one is made
    :param dead_letter_queue: a standard queue of yours for items that were given up. Default: one is made
    :param results: a bucket of yours, of this account and region, for manifests and results. Default: the
        stack's for large inputs, which keeps them for 120 days
    :param results_prefix: below which they go; a slash is put at its end. Default: ``results/`` and a name
        that no other construct of the app has
    :param claims: a bucket of yours for what is too large for a message. Default: the stack's
    :param role: a role of yours for the state machine; it still gets what it needs. Default: a new one
    :param encryption_key: a customer key for the queues made here. Default: keys of SQS (SSE-SQS)
    :param log_group: a log group of yours for executions. Default: one is made that keeps a month
    :param log_level: what of an execution is logged; never its data. Default: errors
    :param alarm_when_older_than: the age of the oldest batch that waits to be started, that wakes someone.
        Default: an hour
    :param on_call: whom the alarms tell. Default: they tell nobody
    :raises ValueError: when values are impossible; all faults at once

    https://docs.aws.amazon.com/step-functions/latest/dg/state-map.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        work: Work,
        items: Items | None = None,
        downstream: Downstream | None = None,
        retries: Sequence[Retry] | None = None,
        rejects: Sequence[str] = (),
        throttles: Sequence[str] = (),
        fallback: Work | object | None = None,
        tolerated_percent: float = 0,
        tolerated_count: int | None = None,
        group: int | None = None,
        express_items: bool = False,
        max_concurrency: int | None = None,
        batches_at_once: int | None = None,
        wait_for: Duration | None = None,
        timeout: Duration | None = None,
        starts_per_second: float | None = None,
        queue: sqs.IQueue | None = None,
        dead_letter_queue: sqs.IQueue | None = None,
        results: s3.IBucket | None = None,
        results_prefix: str | None = None,
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
        source = items if isinstance(items, Items) else Items.given()
        faults = Faults(f"ParallelWork {construct_id!r}")
        check_kinds(faults, work=work, downstream=downstream, retries=retries)
        check_queues(faults, queue=queue, dead_letter_queue=dead_letter_queue)
        if items is not None and source is not items:
            allowed = "Items.given(), Items.json(…) …; the items themselves come with each batch"
            faults.add("items", items, allowed, READER_PAGE)
        chosen, formed, warning = decide(
            faults,
            work=work,
            fallback=fallback,
            items=source,
            downstream=downstream,
            retries=retries,
            rejects=rejects,
            throttles=throttles,
            tolerated_percent=tolerated_percent,
            tolerated_count=tolerated_count,
            group=group,
            express_items=express_items,
            max_concurrency=max_concurrency,
            batches_at_once=batches_at_once,
            wait_for=wait_for,
            timeout=timeout,
            starts_per_second=starts_per_second,
            alarm_when_older_than=alarm_when_older_than,
        )
        pace = choose_pace(
            faults,
            downstream=None,
            starts_per_second=formed.starts_per_second,
            max_concurrency=None,
            parks=False,
        )
        faults.raise_any()
        if warning is not None:
            Annotations.of(self).add_warning_v2(f"resilient:ParallelWork/{warning.slug}", warning.text)

        self.timeout_seconds = chosen.timeout
        """How long a batch may take, in seconds."""
        self.is_distributed = source.source.is_distributed
        """Whether each item is an execution of its own."""
        self.max_concurrency = formed.concurrency
        """How many items of one batch are under way at most."""
        self.batches_at_once = formed.batches
        """How many batches run at once; None where nobody counts them."""
        waiting = make_waiting(
            self,
            work=queue,
            parked=None,
            dead_letters=dead_letter_queue,
            parks=False,
            visibility_timeout=6 * pace.timeout,
            encryption_key=encryption_key,
        )
        self.queue = self.work_queue = waiting.work
        self.parked_queue = None
        self.dead_letter_queue: sqs.IQueue = waiting.dead_letters
        """Where items go that were given up, and batches that could not be begun."""
        self.claims: s3.IBucket = claims or Claims.of(self)
        """The bucket for what is too large for a message; one per stack unless given."""
        self.results: s3.IBucket = results or self.claims
        """Where manifests and results go."""
        self.results_prefix = as_folder(
            # not the ID alone: another construct of it, elsewhere in the stack, shares the bucket
            f"results/{unique_name(self, max_length=_PREFIX)}" if results_prefix is None else results_prefix
        )
        """Below which they go: ``<prefix><execution's name>/…/manifest.json``."""

        item = plan_of(
            chosen,
            work=work,
            fallback=fallback,
            rejects=rejects,
            throttles=throttles,
            parking=Parking.WAIT,
            express=False,
            downstream=downstream,
            parked_queue_url=None,
            dead_letter_queue_url=self.dead_letter_queue.queue_url,
            partition=pseudo().partition,
            comment="",
        )
        plan = plan_of_batch(
            as_item(item, express=express_items),
            items=source,
            formed=formed,
            bucket=self.results.bucket_name,
            prefix=self.results_prefix,
            timeout=chosen.timeout,
            tolerated_percent=tolerated_percent,
            tolerated_count=tolerated_count,
            group=group,
            comment=f"resilient-constructs ParallelWork {construct_id}",
        )
        text = json.dumps(definition(plan), separators=(",", ":"))
        works = [work, *([fallback] if isinstance(fallback, Work) else [])]
        statements = [
            *send_statements(waiting.sent_arns, waiting.keys),
            *results_statements(self.results, self.results_prefix, is_distributed=self.is_distributed),
            *source.statements,
            *(statement for each in works for statement in each.statements),
        ]
        circuits = None if downstream is None else downstream.circuits
        self.role: iam.IRole = role or iam.Role(
            self,
            "Role",
            assumed_by=_states_service(),
            inline_policies={"Work": document_of(statements)},
            managed_policies=[circuits.use_policy] if circuits is not None else None,
        )
        """What the state machine may do."""
        if role is not None:
            iam.Policy(self, "WorkPolicy", document=document_of(statements), roles=[role])
            if circuits is not None:
                circuits.grant_use(role)
        self._finish(
            construct_id,
            text,
            label=plan.label if self.is_distributed else None,
            works=works,
            log_group=log_group,
            log_level=log_level,
        )
        arn = self.state_machine.state_machine_arn
        self.ended: events.CfnRule = keep_what_ended(
            self,
            machine_arn=arn,
            dead_letter_queue=self.dead_letter_queue,
            dead_letter_queue_arn=waiting.dead_letters_arn,
        )
        """The rule that keeps batches which ran out of time or were stopped."""
        self.starter = make_starter(
            self,
            "Starter",
            machine_arn=arn,
            claims=self.claims,
            queue_arns=waiting.fed_arns,
            dead_letter_queue=self.dead_letter_queue,
            keys=waiting.keys,
            pace=pace,
            downstream=None,
            service=construct_id,
        )
        """The function that starts batches."""
        starter_name = self.starter.function.function_name
        self.event_source_mapping: lambda_.CfnEventSourceMapping = feed(
            self,
            "WorkMapping",
            queue_arn=waiting.work_arn,
            starter_name=starter_name,
            concurrency=pace.concurrency,
            batch_size=pace.batch_size,
            downstream=downstream,
        )
        """What takes batches from the queue; paused while the circuit is open."""
        if downstream is not None and formed.calls is not None:
            downstream.register(self, formed.calls)
        self._schedules = Schedules(
            self,
            queue_arn=waiting.work_arn,
            dead_letter_queue_arn=waiting.dead_letters_arn,
            keys=waiting.keys,
        )
        self._emitted = Emitted(
            machine_arn=arn,
            work_queue_name=waiting.work_name,
            parked_queue_name=None,
            dead_letter_queue_name=waiting.dead_letters.queue_name,
            function={"FunctionName": starter_name},
        )
        self.alarms: Mapping[str, cloudwatch.CfnAlarm] = watch_batches(
            self,
            construct_id,
            self._emitted,
            timeout=chosen.timeout,
            alarm_age=chosen.alarm_age,
            starter=self.starter,
            is_distributed=self.is_distributed,
            on_call=on_call,
        )
        """The alarms by signal: ``WorkGivenUp``, ``ExecutionsFailed``, ``WorkWaits`` …"""

    def grant_read_results(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` read the manifests and results of this work alone."""
        return self.results.grant_read(grantee, f"{self.results_prefix}*")

    def _finish(
        self,
        title: str,
        text: str,
        *,
        label: str | None,
        works: Sequence[Work],
        log_group: logs.ILogGroup | None,
        log_level: sfn.LogLevel | None,
    ) -> None:
        """The state machine, its log, and what its role may do with itself."""
        name = f"/aws/vendedlogs/states/{unique_name(self, max_length=100)}-{queues.stack_uuid()}"
        # That beginning keeps the account's few resource policies for logs from filling up.
        # https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
        self.log_group: logs.ILogGroup = log_group or logs.LogGroup(
            self, "LogGroup", log_group_name=name, retention=logs.RetentionDays.ONE_MONTH
        )
        """Where executions are logged, without their data."""
        self.state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            definition_body=sfn.DefinitionBody.from_string(text),
            role=self.role,
            state_machine_type=sfn.StateMachineType.STANDARD,
            logs=sfn.LogOptions(
                destination=self.log_group,
                level=log_level or sfn.LogLevel.ERROR,
                include_execution_data=False,
            ),
            tracing_enabled=True,
        )
        """The state machine."""
        statements = own_statements(
            self.state_machine.state_machine_arn,
            self.state_machine.state_machine_name,
            label=label,
            takes_turns=self.batches_at_once is not None,
            on_machine=[each.on_machine for each in works],
        )
        if statements:
            # beside the role's own policy, which stands before the state machine and cannot name it
            iam.Policy(self, "OwnPolicy", document=document_of(statements), roles=[self.role])
        for each in works:
            if each.answers is not None:
                self.grant_task_response(each.answers)
        self._warn_of(works)
        save_queries(self, title, name if log_group is None else self.log_group.log_group_name)


@cache
def _states_service() -> iam.ServicePrincipal:
    return iam.ServicePrincipal("states.amazonaws.com")
