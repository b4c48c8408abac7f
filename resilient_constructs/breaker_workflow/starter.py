"""What takes work from its queues and starts an execution for each: function, mappings, grants."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from resilient_constructs.buckets import let_put
from resilient_constructs.downstream import Downstream, pause_source
from resilient_constructs.resilient_function import Handler, ResilientFunction
from resilient_constructs.resilient_function.granting import CLAIMS_PREFIX

from .claims import warn_of_unknown_key
from .pace import Pace

__all__ = ["allow", "feed", "make_starter"]

_ENTRY = "resilient_runtime.starting.start"
# The pollers' three, and ours: a message that waits for its turn says when it comes back.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-lambda-function-trigger.html
_POLL = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
)


def make_starter(
    scope: Construct,
    construct_id: str,
    *,
    machine_arn: str,
    claims: s3.IBucket,
    queue_arns: Sequence[str],
    dead_letter_queue: sqs.IQueue,
    keys: Sequence[kms.IKey],
    pace: Pace,
    downstream: Downstream | None,
    service: str,
) -> ResilientFunction:
    """The function that starts executions, at the workflow's pace, each work once.

    :param claims: the bucket for inputs that are too large for Step Functions
    :param queue_arns: what it takes work from
    :param keys: the customer keys of these queues
    """
    starter = ResilientFunction(
        scope,
        construct_id,
        handler=Handler.of_runtime(
            _ENTRY,
            told={
                "RESILIENT_STATE_MACHINE_ARN": machine_arn,
                "RESILIENT_CLAIMS_BUCKET": claims.bucket_name,
                "RESILIENT_STARTS_PER_SECOND": pace.share(downstream),
            },
        ),
        mode="messages",
        dead_letter_queue=dead_letter_queue,
        service=service,
        timeout=_seconds(pace.timeout),
        description="Starts an execution for each work in the queue",
        monitored=False,  # its signals are the workflow's
    )
    allow(starter.role, "states:StartExecution", machine_arn)
    let_put(starter.role, claims, CLAIMS_PREFIX)
    warn_of_unknown_key(scope, claims)
    allow(starter.role, _POLL, queue_arns)
    for key in keys:
        key.grant(starter.role, "kms:Decrypt")
    return starter


def feed(
    scope: Construct,
    construct_id: str,
    *,
    queue_arn: str,
    starter_name: str,
    concurrency: int,
    batch_size: int,
    downstream: Downstream | None,
) -> lambda_.CfnEventSourceMapping:
    """Let the starter take work from a queue, but not while the downstream's circuit is open."""
    mapping = lambda_.CfnEventSourceMapping(
        scope,
        construct_id,
        event_source_arn=queue_arn,
        function_name=starter_name,
        batch_size=batch_size,
        function_response_types=["ReportBatchItemFailures"],
        scaling_config={"maximumConcurrency": concurrency},
        metrics_config={"metrics": ["EventCount"]},
    )
    if downstream is not None:
        pause_source(scope, [downstream], mapping.ref, max_concurrency=concurrency)
    return mapping


def allow(grantee: iam.IGrantable, actions: str | Sequence[str], resources: str | Sequence[str]) -> None:
    """Add one statement to the grantee's policy."""
    listed = [actions] if isinstance(actions, str) else list(actions)
    places = [resources] if isinstance(resources, str) else list(resources)
    iam.Grant.add_to_principal(grantee=grantee, actions=listed, resource_arns=places)


@cache
def _seconds(seconds: int) -> Duration:
    return Duration.seconds(seconds)
