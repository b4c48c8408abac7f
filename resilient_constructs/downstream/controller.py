"""Table's stream, wake-up queue and schedule → function → event source mappings of one stack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct
from resilient_runtime.controller.settings import ControllerSettings, FeedSettings, circuits_text, feeds_text

from resilient_constructs import queues
from resilient_constructs.lazies import lazy_text, lazy_value
from resilient_constructs.monitoring import OnCall, monitor
from resilient_constructs.places import settle
from resilient_constructs.runtime_layer import RuntimeLayer
from resilient_constructs.tokens import pseudo

from .signals import RECONCILE_SECONDS, controller_signals

__all__ = ["CircuitController"]

_CODE = "from resilient_runtime.controller.entry import handler  # noqa: F401\n"
_TIMEOUT = 30
_MEMORY = 256
_RECEIVES = 10
_STREAM_RETRIES = 10
_STREAM_AGE = 3600
"""Seconds. Older news than that is none: the reconciler has long acted on it."""


class CircuitController(Construct):
    """Pauses what feeds the consumers of a stack while their downstream's circuit is open.

    It disables their event source mappings, enables them at a concurrency of two when the circuit's recovery
    time is over, and gives them back what was configured when the circuit is closed. A mapping of a stream
    has endless retries meanwhile, so that probes which fail use up none. Every two minutes it repairs what
    differs. It may read the circuits and change exactly these mappings.

    A mapping that is disabled by hand is enabled again: to pause consumers by hand, force the circuit open
    (``resilient breaker open NAME --reason …``).

    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        table: dynamodb.ITable,
        table_name: str,
        on_call: OnCall | None,
    ) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        self._feeds: list[FeedSettings] = []
        self._told: list[str] = []
        name = queues.name_queue(self, fifo=False)
        self.dead_letter_queue = queues.make_dead_letter_queue(
            self, "DeadLetterQueue", source=name, fifo=False, encryption_key=None
        )
        """What it gave up; nothing needs to be sent again, as the reconciler looks at everything anyway."""
        self.queue = queues.make_queue(
            self,
            "WakeQueue",
            name=name,
            fifo=False,
            visibility_timeout=6 * _TIMEOUT,
            dead_letter_queue=self.dead_letter_queue,
            max_receive_count=_RECEIVES,
            encryption_key=None,
        )
        """Messages to itself, kept back until something is due."""
        self.log_group = logs.LogGroup(self, "LogGroup", retention=logs.RetentionDays.ONE_MONTH)
        """Every change of state, with its reason and who did it."""
        self.role = iam.Role(self, "Role", assumed_by=_lambda_service())
        """What it may do."""
        self.log_group.grant_write(self.role)
        settings = ControllerSettings(
            table=table_name, wake_queue_url=self.queue.queue_url, period=RECONCILE_SECONDS
        )
        self.function = lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_inline(_CODE),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            layers=[RuntimeLayer.of(self)],
            timeout=Duration.seconds(_TIMEOUT),
            memory_size=_MEMORY,
            environment={
                **settings.to_env(),
                "RESILIENT_FEEDS": lazy_text(lambda: feeds_text(tuple(self._feeds))),
                "RESILIENT_CIRCUITS": lazy_text(lambda: circuits_text(tuple(self._told))),
            },
            description="Pauses consumers while their downstream's circuit is open",
            role=self.role,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=lambda_.Tracing.ACTIVE,
        )
        """The function."""
        self._grant(table)
        self._subscribe(table)
        self.alarms: Mapping[str, cloudwatch.CfnAlarm] = monitor(
            self,
            signals=controller_signals(
                self.function.function_name, dead_letter_queue_name=self.dead_letter_queue.queue_name
            ),
            section=None,
            on_call=on_call,
        )
        """The alarms by signal."""

    def feed(self, mapping_id: str, downstreams: Sequence[str], concurrency: str, retries: str = "") -> None:
        """Look after one event source mapping.

        :param mapping_id: its UUID
        :param downstreams: the names of the circuits it depends on
        :param concurrency: its maximum concurrency while all is well; empty for a mapping of a stream
        :param retries: of a stream's, how often it tries a batch again while all is well; empty leaves that
        """
        if not self._feeds:
            iam.CfnPolicy(
                self,
                "MappingsPolicy",
                policy_name="mappings",
                policy_document=lazy_value(self._mappings_policy),
                roles=[self.role.role_name],
            )
        self._feeds.append(FeedSettings(mapping_id, tuple(downstreams), concurrency, retries))

    def tell(self, downstream: str) -> None:
        """Tell of each change of a circuit, as an event on the account's bus and as a metric."""
        if not self._told:
            bus = self._arn("events", "event-bus/default")
            self.role.add_to_principal_policy(
                iam.PolicyStatement(actions=["events:PutEvents"], resources=[bus])
            )
        self._told.append(downstream)

    def _grant(self, table: dynamodb.ITable) -> None:
        table.grant(self.role, "dynamodb:GetItem")
        table.grant_stream_read(self.role)
        self.queue.grant(
            self.role, "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"
        )
        self.dead_letter_queue.grant(self.role, "sqs:SendMessage")

    def _subscribe(self, table: dynamodb.ITable) -> None:
        changed = {"dynamodb": {"NewImage": {"transition": {"S": [{"exists": True}]}}}}
        lambda_.CfnEventSourceMapping(
            self,
            "Stream",
            event_source_arn=str(table.table_stream_arn),
            function_name=self.function.function_name,
            starting_position="TRIM_HORIZON",
            batch_size=10,
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=_STREAM_RETRIES,
            maximum_record_age_in_seconds=_STREAM_AGE,
            destination_config={"onFailure": {"destination": self.dead_letter_queue.queue_arn}},
            filter_criteria={"filters": [{"pattern": json.dumps(changed)}]},
            function_response_types=["ReportBatchItemFailures"],
            metrics_config={"metrics": ["EventCount"]},
        )
        lambda_.CfnEventSourceMapping(
            self,
            "Wakes",
            event_source_arn=self.queue.queue_arn,
            function_name=self.function.function_name,
            batch_size=1,
            scaling_config={"maximumConcurrency": 2},
            function_response_types=["ReportBatchItemFailures"],
            metrics_config={"metrics": ["EventCount"]},
        )
        events.Rule(
            self,
            "Reconciler",
            schedule=events.Schedule.rate(Duration.seconds(RECONCILE_SECONDS)),
            targets=[
                targets.LambdaFunction(
                    self.function,
                    # The next run comes before a second attempt would be worth its while.
                    retry_attempts=0,
                    dead_letter_queue=self.dead_letter_queue,
                )
            ],
        )

    def _mappings_policy(self) -> dict[str, Any]:
        arns = [self._arn("lambda", f"event-source-mapping:{feed.mapping}") for feed in self._feeds]
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_lambda.html
        statement = {
            "Effect": "Allow",
            "Action": ["lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"],
            "Resource": arns,
        }
        return {"Version": "2012-10-17", "Statement": [statement]}

    @staticmethod
    def _arn(service: str, resource: str) -> str:
        words = pseudo()
        return f"arn:{words.partition}:{service}:{words.region}:{words.account}:{resource}"


@cache
def _lambda_service() -> iam.ServicePrincipal:
    return iam.ServicePrincipal("lambda.amazonaws.com")
