"""Batches of PDFs come in lumps; every page is read by an OCR service that takes a few calls a second.

    incoming/*.pdf → Split → pages/… → Analyse → results/… or given-up/… → Collect → manifests/*.json

Each arrow is an object stored in the bucket and the event that S3 sends for it, at least once. So whatever is
stored is worked on, and nothing is sent that was not stored. All pages of all documents wait in one queue, as
the OCR service has one limit for all of them. The functions use an image library that leaks, on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import Acknowledgment, CfnOutput, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct, IConstruct

from resilient_constructs import (
    BreakerPolicy,
    BreakerWorkflow,
    Downstream,
    FanOutBus,
    FlowControlledConsumer,
    Handler,
    OnCall,
    ResilientFunction,
    Retry,
    Work,
)
from resilient_constructs.nag import acknowledge

HANDLERS = Path(__file__).parent / "handlers" / "documents"


class DocumentsStack(Stack):
    """A pipeline for documents of up to 1,000 pages each, whose answer may take hours and must not be lost.

    :param ocr_url: where pictures are posted to be read
    :param ocr_requests_per_second: how many the OCR service takes. Default: 10
    :param ocr_latency: how long it reads on average. Default: 2 seconds
    :param ocr_timeout: how long an answer is waited for. Default: 10 seconds
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        ocr_url: str = "https://ocr.example.com/read",
        ocr_requests_per_second: float = 10,
        ocr_latency: Duration | None = None,
        ocr_timeout: Duration | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        patience = (ocr_timeout or Duration.seconds(10)).to_milliseconds() / 1000
        on_call = OnCall(self, "OnCall", email="ops@example.com")
        bucket = _bucket(self)
        table = _table(self)
        environment = {"DOCUMENTS_BUCKET": bucket.bucket_name}
        # S3 and Step Functions send their events to the account's default bus.
        bus = FanOutBus(
            self,
            "Events",
            event_bus=events.EventBus.from_event_bus_name(self, "DefaultBus", "default"),
            archive=False,
            on_call=on_call,
        )

        split = FlowControlledConsumer(
            self,
            "Split",
            handler=Handler.from_directory(HANDLERS, "split.split"),
            on_call=on_call,
            max_concurrency=5,
            # A thousand pages in a minute or two; whatever is left after five is done by the next attempt.
            timeout=Duration.minutes(5),
            memory_size=512,
            ephemeral_storage_size=2048,
            environment={**environment, "DOCUMENTS_TABLE": table.table_name},
        )
        bus.subscribe("Split", split, **_stored(bucket, "incoming/"))

        ocr = Downstream(
            self,
            "Ocr",
            requests_per_second=ocr_requests_per_second,
            typical_latency=ocr_latency or Duration.seconds(2),
            # What ails our own function says nothing about the service.
            breaker=BreakerPolicy(counted_errors=("OcrFailed",)),
            on_call=on_call,
        )
        reader = ResilientFunction(
            self,
            "Reader",
            handler=Handler.from_directory(HANDLERS, "analyse.analyse"),
            on_call=on_call,
            # The service's time, and half a minute for a page with many pictures.
            timeout=Duration.seconds(math.ceil(patience) + 30),
            memory_size=512,
            # Starts are paced, so this is reached only when the service is slower than it should be. Who is
            # over it is throttled, and tried again without being counted against the service.
            reserved_concurrency=ocr.max_concurrency,
            environment={**environment, "OCR_URL": ocr_url, "OCR_TIMEOUT_SECONDS": str(patience)},
        )
        analyse = BreakerWorkflow(
            self,
            "Analyse",
            work=Work.function(reader),
            downstream=ocr,
            throttles=["OcrBusy"],
            # Hours are fine: a page is tried for an hour on average before somebody has to look at it.
            retries=[
                Retry(errors=["OcrBusy"], attempts=50, longest=Duration.minutes(2)),
                Retry(attempts=20, longest=Duration.minutes(10)),
            ],
            on_call=on_call,
        )
        bus.subscribe("Analyse", analyse, **_stored(bucket, "pages/"))

        collect = FlowControlledConsumer(
            self,
            "Collect",
            handler=Handler.from_directory(HANDLERS, "collect.collect"),
            on_call=on_call,
            environment={**environment, "DOCUMENTS_TABLE": table.table_name},
        )
        bus.subscribe("Collect", collect, **_stored(bucket, "results/", "given-up/"))
        bus.subscribe("CollectFailed", collect, **_without_result(analyse))

        split_puts, reader_puts = ["pages/", "given-up/", "manifests/"], ["results/", "given-up/"]
        _allow(split.function, bucket, get=["incoming/"], put=split_puts, listed=["pages/"])
        _allow(reader.function, bucket, get=["pages/"], put=reader_puts)
        _allow(collect.function, bucket, get=["given-up/"], put=["manifests/"])
        table.grant(split.function, "dynamodb:PutItem")
        table.grant(collect.function, "dynamodb:UpdateItem", "dynamodb:GetItem")

        CfnOutput(self, "Bucket", value=bucket.bucket_name, description="PDFs go below incoming/ in it")
        CfnOutput(self, "Table", value=table.table_name, description="One item per document: what is done")

        # What cdk-nag's six packs find: by design of the constructs, and by decision of this example.
        assert ocr.circuits is not None
        assert isinstance(analyse.claims, s3.Bucket)
        acknowledge(on_call, bus, split, ocr, reader, analyse, analyse.claims, collect)
        _acknowledge_storage(bucket, table)


def _bucket(scope: Construct) -> s3.Bucket:
    bucket = s3.Bucket(
        scope,
        "Documents",
        encryption=s3.BucketEncryption.S3_MANAGED,
        enforce_ssl=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        versioned=True,
        lifecycle_rules=[
            # Longer than a dead letter lives, so that a page that was given up can be tried again.
            s3.LifecycleRule(prefix="pages/", expiration=Duration.days(30)),
            s3.LifecycleRule(noncurrent_version_expiration=Duration.days(30)),
        ],
    )
    # Not event_bridge_enabled=True: that makes a function with leave to reconfigure any bucket.
    _resource(bucket).notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
    )
    return bucket


def _resource(bucket: s3.Bucket) -> s3.CfnBucket:
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)
    return resource


def _table(scope: Construct) -> dynamodb.Table:
    return dynamodb.Table(
        scope,
        "Progress",
        partition_key=dynamodb.Attribute(name="document", type=dynamodb.AttributeType.STRING),
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        encryption=dynamodb.TableEncryption.AWS_MANAGED,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        # The manifests in the bucket outlive it, and the bucket stays.
        removal_policy=RemovalPolicy.DESTROY,
    )


def _stored(bucket: s3.IBucket, *prefixes: str) -> Mapping[str, Any]:
    """The events that S3 sends for new objects below these prefixes; durable, at least once.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
    """
    return {
        "source": ["aws.s3"],
        "detail_type": ["Object Created"],
        "detail": {
            "bucket": {"name": [bucket.bucket_name]},
            "object": {"key": [{"prefix": prefix} for prefix in prefixes]},
        },
    }


def _without_result(analyse: BreakerWorkflow) -> Mapping[str, Any]:
    """The events that Step Functions sends, at best effort, for executions that did not end well.

    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
    """
    return {
        "source": ["aws.states"],
        "detail_type": ["Step Functions Execution Status Change"],
        "detail": {
            "stateMachineArn": [analyse.state_machine.state_machine_arn],
            "status": ["FAILED", "TIMED_OUT", "ABORTED"],
        },
    }


def _allow(
    function: lambda_.IFunction,
    bucket: s3.Bucket,
    *,
    get: list[str],
    put: list[str],
    listed: list[str] | None = None,
) -> None:
    """Let a function read, write and list below these prefixes; ``grant_read_write`` allows far more."""
    for action, prefixes in (("s3:GetObject", get), ("s3:PutObject", put)):
        objects = [bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes]
        function.add_to_role_policy(iam.PolicyStatement(actions=[action], resources=objects))
    _acknowledge_prefixes(function, bucket, [*get, *put])
    if listed:
        function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket.bucket_arn],
                conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in listed]}},
            )
        )


def _acknowledge_storage(bucket: s3.Bucket, table: dynamodb.Table) -> None:
    reasons = {
        "S3BucketLoggingEnabled": "Access logs of a bucket need a second bucket; an account that has to keep "
        "them has one already, and CloudTrail's data events tell the same with the caller's role.",
        "S3BucketReplicationEnabled": "A copy in another region is for whoever sends the documents to "
        "decide: they keep the originals, and everything else here can be made from them again.",
        "S3DefaultEncryptionKMS": "S3 encrypts with keys of its own. A customer key would have to be open "
        "to three functions, and its use would be billed for every page.",
        "S3BucketDefaultLockEnabled": "A lock would keep documents that their owners may ask to have "
        "deleted; versions of an object that is overwritten are kept for a month.",
    }
    packs = {
        "S3BucketLoggingEnabled": ("HIPAA.Security", "NIST.800.53.R4", "NIST.800.53.R5", "PCI.DSS.321"),
        "S3BucketReplicationEnabled": ("HIPAA.Security", "NIST.800.53.R4", "NIST.800.53.R5", "PCI.DSS.321"),
        "S3DefaultEncryptionKMS": ("HIPAA.Security", "NIST.800.53.R5", "PCI.DSS.321"),
        "S3BucketDefaultLockEnabled": ("NIST.800.53.R4",),
    }
    known = [(f"{pack}-{rule}", reasons[rule]) for rule, each in packs.items() for pack in each]
    known.append(("AwsSolutions-S1", reasons["S3BucketLoggingEnabled"]))
    _acknowledge(bucket, dict(known))
    counted = (
        "The table counts pages that are still under way and can be restored to any second of 35 days; what "
        "lasts is in the bucket."
    )
    frameworks = ("HIPAA.Security", "NIST.800.53.R4", "NIST.800.53.R5")
    _acknowledge(table, {f"{pack}-DynamoDBInBackupPlan": counted for pack in frameworks})


def _acknowledge_prefixes(function: lambda_.IFunction, bucket: s3.Bucket, prefixes: list[str]) -> None:
    ours = (
        "Objects cannot be granted but by their prefix: which documents will come is not known, and each "
        "prefix holds one kind of object of this pipeline alone."
    )
    name = Stack.of(bucket).get_logical_id(_resource(bucket))
    ids = {f"AwsSolutions-IAM5[Resource::<{name}.Arn>/{prefix}*]": ours for prefix in prefixes}
    role = function.role
    assert role is not None
    _acknowledge(role.node.find_child("DefaultPolicy"), ids)


def _acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    resource = construct.node.default_child or construct
    Validations.of(resource).acknowledge(
        *(Acknowledgment(id=rule, reason=reason) for rule, reason in reasons.items())
    )
