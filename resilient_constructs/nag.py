"""What cdk-nag's packs find in our constructs and no sensible default can cure, acknowledged one by one.

The packs contradict one another and know nothing of how a resource is used; what is listed here is each rule
that our defaults break on purpose, with the reason. Findings that are *your* decision (an API without
authorization, no web ACL) are not among them: acknowledge those yourself.

Needs no extra: acknowledgements are part of the CDK, and without a pack they do nothing.
https://github.com/cdklabs/cdk-nag
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk import Acknowledgment, CfnResource, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct

__all__ = ["BY_DESIGN", "Known", "acknowledge"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A finding that is by design.

    :param resource: the CloudFormation type it is found on
    :param rule: the rule's name without its pack's prefix, with cdk-nag's finding ID where it has one
    :param packs: the packs that have the rule, by the prefix of their rule IDs
    :param reason: why the rule does not fit
    """

    resource: str
    rule: str
    packs: tuple[str, ...]
    reason: str

    @property
    def ids(self) -> tuple[str, ...]:
        """The rule IDs as the packs write them."""
        return tuple(f"{pack}-{self.rule}" for pack in self.packs)


_SOLUTIONS = "AwsSolutions"
_SERVERLESS = "Serverless"
_HIPAA = "HIPAA.Security"
_R4 = "NIST.800.53.R4"
_R5 = "NIST.800.53.R5"
_PCI = "PCI.DSS.321"

_DEAD_LETTERS_END_HERE = (
    "This queue is the end of the line: it keeps what gave up for 14 days, and an alarm tells someone "
    "within a minute. A dead-letter queue behind a dead-letter queue would only hide it."
)

_WHO_READS = (
    "Access logs need a second bucket, which would need some of its own. Who reads what was given up is told "
    "by CloudTrail's data events, for the app to switch on; or hand in a bucket that has a log."
)
_OPEN_ENDED = (
    "One object for each message or record, under a prefix that is this consumer's own: the end of the key "
    "is its time and ID, or its place in the stream, and no policy can know these."
)

BY_DESIGN: tuple[Known, ...] = (
    Known(
        resource="AWS::Lambda::Function",
        rule="LambdaDLQ",
        packs=(_HIPAA, _R5, _SERVERLESS),
        reason="The rule is about asynchronous invocations. What fails here stays in its queue and goes to "
        "that queue's dead-letter queue; a function made with asynchronous=True has an on-failure "
        "destination.",
    ),
    Known(
        resource="AWS::Lambda::Function",
        rule="LambdaConcurrency",
        packs=(_HIPAA, _R5),
        reason="The event source mapping holds the function down: a queue's by its maximum concurrency, as "
        "reserved concurrency would throttle the poller, which spends receives and dead-letters healthy "
        "messages; a stream's by its shards.",
    ),
    Known(
        resource="AWS::Lambda::Function",
        rule="LambdaInsideVPC",
        packs=(_HIPAA, _R4, _R5, _PCI),
        reason="The function uses AWS services and whatever its handler calls. Which network it belongs "
        "into only the app can know.",
    ),
    Known(
        resource="AWS::Lambda::EventSourceMapping",
        rule="LambdaEventSourceMappingDestination",
        packs=(_SERVERLESS,),
        reason="An on-failure destination exists for streams; a message from a queue goes to the queue's own "
        "dead-letter queue.",
    ),
    Known(
        resource="AWS::IAM::Role",
        rule="IAMNoInlinePolicy",
        packs=(_HIPAA, _R4, _R5, _PCI),
        reason="The policy names this role's own queue, bus and log group and fits no other role, so it "
        "lives and dies with the role.",
    ),
    Known(
        resource="AWS::IAM::Policy",
        rule="IAMNoInlinePolicy",
        packs=(_HIPAA, _R4, _R5, _PCI),
        reason="The policy names this role's own queue, bus and log group and fits no other role, so it "
        "lives and dies with the role.",
    ),
    Known(
        resource="AWS::IAM::Policy",
        rule="IAM5[Resource::*]",
        packs=(_SOLUTIONS,),
        reason="Some actions know no resources and can only be granted on *: X-Ray's PutTraceSegments and "
        "PutTelemetryRecords, DynamoDB's ListStreams, and Secrets Manager's BatchGetSecretValue, which reads "
        "nothing without GetSecretValue on each secret.",
    ),
    Known(
        resource="AWS::DynamoDB::Table",
        rule="DynamoDBInBackupPlan",
        packs=(_HIPAA, _R4, _R5),
        reason="The table remembers for a day which messages are done, for minutes which downstream is down, "
        "or until they are resolved which keys wait, and can be restored to any second of 35 days. A backup "
        "would outlive what it holds.",
    ),
    Known(
        resource="AWS::Logs::LogGroup",
        rule="CloudWatchLogGroupEncrypted",
        packs=(_HIPAA, _R4, _R5, _PCI),
        reason="CloudWatch Logs encrypts at rest without a key of yours too. A customer key costs money and "
        "can be lost, so it is the app's choice: hand in your own log group.",
    ),
    Known(
        resource="AWS::ApiGateway::Stage",
        rule="APIGWCacheEnabledAndEncrypted",
        packs=(_HIPAA, _R4, _R5, _PCI),
        reason="The routes store requests. An answer from a cache would claim that something was stored.",
    ),
    Known(
        resource="AWS::ApiGateway::Stage",
        rule="APIGWSSLEnabled",
        packs=(_HIPAA, _R5, _PCI),
        reason="A client certificate proves API Gateway to an HTTP backend. Behind this API stand SQS and "
        "EventBridge, which know it by its role.",
    ),
    Known(
        resource="AWS::SNS::Topic",
        rule="SNSEncryptedKMS",
        packs=(_HIPAA, _R4, _R5, _PCI),
        reason="Alarm texts carry no data, and CloudWatch cannot publish with the AWS-managed key: the "
        "alarm would be lost in silence. OnCall(encryption_key=...) takes a customer key.",
    ),
    Known(
        resource="AWS::SNS::Subscription",
        rule="SNSRedrivePolicy",
        packs=(_SERVERLESS,),
        reason="What it delivers is the news of an alarm whose state stays in CloudWatch; nothing but the "
        "notification can be missed, and nobody watches a queue of missed notifications.",
    ),
    Known(
        resource="AWS::S3::Bucket",
        rule="S1",
        packs=(_SOLUTIONS,),
        reason=_WHO_READS,
    ),
    Known(
        resource="AWS::S3::Bucket",
        rule="S3BucketLoggingEnabled",
        packs=(_HIPAA, _R4, _R5, _PCI),
        reason=_WHO_READS,
    ),
    Known(
        resource="AWS::S3::Bucket",
        rule="S3BucketReplicationEnabled",
        packs=(_HIPAA, _R4, _R5, _PCI),
        reason="The bucket keeps work that was given up, versioned, in the region in which its queue or "
        "stream was. Another region is the app's choice: hand in your own bucket.",
    ),
    Known(
        resource="AWS::S3::Bucket",
        rule="S3DefaultEncryptionKMS",
        packs=(_HIPAA, _R5, _PCI),
        reason="S3 encrypts every object with its own keys. A customer key costs money and can be lost, so "
        "it is the app's choice: the consumer's encryption_key encrypts the bucket, too.",
    ),
    Known(
        resource="AWS::S3::Bucket",
        rule="S3BucketDefaultLockEnabled",
        packs=(_R4,),
        reason="What lies in the bucket is taken out when it has been done again; a lock would keep it for "
        "a time that nobody has chosen. Versions protect against mistakes.",
    ),
    Known(
        resource="AWS::Kinesis::Stream",
        rule="KDS3",
        packs=(_SOLUTIONS,),
        reason="The rule is about what a customer key costs. It was handed in as the consumer's "
        "encryption_key; without one the stream has AWS's own.",
    ),
    Known(
        resource="AWS::SQS::Queue",
        rule="SQS3",
        packs=(_SOLUTIONS,),
        reason=_DEAD_LETTERS_END_HERE,
    ),
    Known(
        resource="AWS::SQS::Queue",
        rule="SQSRedrivePolicy",
        packs=(_SERVERLESS,),
        reason=_DEAD_LETTERS_END_HERE,
    ),
)
"""Every finding that is by design, one row per resource type and rule."""


def acknowledge(*constructs: Construct) -> None:
    """Acknowledge, below these constructs of ours, what cdk-nag finds and is by design.

    Each acknowledgement stands on the one resource it is about and names the exact rule. Call it after
    everything is wired: what is made later is not covered.

    :param constructs: constructs of this package; resources of your own below them would be covered too. With
        a ``Downstream`` come the table and the controller of its stack's circuits
    """
    for construct in constructs:
        # They stand beside their downstreams, whose circuits they all are.
        circuits = getattr(construct, "circuits", None)
        for resource in (*_resources(construct), *(() if circuits is None else _resources(circuits))):
            rows = [row for row in BY_DESIGN if _fits(row, resource)]
            found = [Acknowledgment(id=rule, reason=row.reason) for row in rows for rule in row.ids]
            found += [Acknowledgment(id=rule, reason=_OPEN_ENDED) for rule in _open_ended(resource)]
            if found:
                Validations.of(resource).acknowledge(*found)


def _resources(construct: IConstruct) -> Iterator[CfnResource]:
    for child in construct.node.find_all():
        if isinstance(child, CfnResource):
            yield child


def _open_ended(resource: CfnResource) -> Iterator[str]:
    """The rule IDs of what a policy allows on all keys under a prefix; the prefix stands in the finding."""
    if not isinstance(resource, iam.CfnPolicy):
        return
    document = Stack.of(resource).resolve(resource.policy_document)
    for statement in document["Statement"]:
        if statement["Action"] == "s3:PutObject":
            yield f"{_SOLUTIONS}-IAM5[Resource::{_flat(statement['Resource'])}]"


def _flat(value: Any) -> str:
    """A CloudFormation value as cdk-nag writes it: references in angle brackets."""
    if isinstance(value, str):
        return value
    ((function, arguments),) = value.items()
    if function == "Fn::Join":
        return str(arguments[0]).join(_flat(one) for one in arguments[1])
    return f"<{'.'.join(arguments) if isinstance(arguments, list) else arguments}>"


def _fits(row: Known, resource: CfnResource) -> bool:
    if resource.cfn_resource_type != row.resource:
        return False
    if isinstance(resource, iam.CfnRole):
        return bool(resource.policies)
    if isinstance(resource, iam.CfnPolicy):
        return not row.rule.startswith("IAM5") or _grants_on_everything(resource)
    if isinstance(resource, lambda_.CfnEventSourceMapping):
        return resource.destination_config is None
    if isinstance(resource, kinesis.CfnStream):
        return "alias/aws/kinesis" not in str(Stack.of(resource).resolve(resource.stream_encryption))
    if isinstance(resource, s3.CfnBucket):
        has_key = "aws:kms" in str(Stack.of(resource).resolve(resource.bucket_encryption))
        return not (has_key and row.rule == "S3DefaultEncryptionKMS")
    if not isinstance(resource, sqs.CfnQueue):
        return True
    if resource.redrive_policy is not None:
        return False  # only where dead letters end there is none; on any other queue it is a real finding
    # AwsSolutions sees for itself which queue takes another one's dead letters; Serverless does not
    allowed = resource.redrive_allow_policy
    takes_from_queues = isinstance(allowed, Mapping) and allowed.get("redrivePermission") == "byQueue"
    return row.rule != "SQS3" or not takes_from_queues


def _grants_on_everything(policy: iam.CfnPolicy) -> bool:
    # its document is lazy as a rule, as grants come later
    document = policy.stack.resolve(policy.policy_document)
    return any(statement["Resource"] == "*" for statement in document["Statement"])
