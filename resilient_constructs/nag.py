"""What cdk-nag's packs find in our constructs and no sensible default can cure, acknowledged one by one.

The packs contradict one another and know nothing of how a resource is used; what is listed here is each rule
that our defaults break on purpose, with the reason. Findings that are *your* decision (an API without
authorization, no web ACL) are not among them: acknowledge those yourself.

Needs no extra: acknowledgements are part of the CDK, and without a pack they do nothing.
https://github.com/cdklabs/cdk-nag
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Acknowledgment, CfnResource, Stack, Validations
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct, IConstruct

__all__ = ["BY_DESIGN", "Known", "acknowledge"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A finding that is by design.

    :param resource: the CloudFormation type it is found on
    :param rule: the rule's name without its pack's prefix, with cdk-nag's finding ID where it has one
    :param packs: the packs that have the rule, by the prefix of their rule IDs
    :param reason: why the rule does not fit
    :param pattern: for a rule about wildcards, which places it is about: a regular expression that fits the
        whole of what cdk-nag writes of a statement's resource. Default: the rule is about something else
    """

    resource: str
    rule: str
    packs: tuple[str, ...]
    reason: str
    pattern: str | None = None

    def ids(self, wildcards: Sequence[str] = ()) -> tuple[str, ...]:
        """The rule IDs as the packs write them.

        :param wildcards: the resource's own, as cdk-nag writes them
        """
        rules = [self.rule]
        if self.pattern is not None:
            found = dict.fromkeys(one for one in wildcards if re.fullmatch(self.pattern, one))
            rules = [f"{self.rule}[Resource::{one}]" for one in found]
        return tuple(f"{pack}-{rule}" for pack in self.packs for rule in rules)


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
    "Access logs need a second bucket, which would need some of its own. Who reads what lies there is told "
    "by CloudTrail's data events, for the app to switch on; or hand in a bucket that has a log."
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
    *(
        Known(
            resource=kind,
            rule="IAM5",
            packs=(_SOLUTIONS,),
            reason=reason,
            pattern=pattern,
        )
        for kind in ("AWS::IAM::Policy", "AWS::IAM::Role")
        for pattern, reason in (
            (
                r"\*",
                "Some actions know no resources and can only be granted on *: X-Ray's PutTraceSegments and "
                "PutTelemetryRecords, DynamoDB's ListStreams, CloudWatch's log deliveries, Secrets Manager's "
                "BatchGetSecretValue, which reads nothing without GetSecretValue on each secret; or none "
                "that is known before, as with an ECS task, whose statement is bound to its cluster.",
            ),
            (
                r"(<\w+\.Arn>|arn:.+)/work/\*",
                "Inputs that are too large for Step Functions lie below this prefix of a bucket that is for "
                "them alone. Which keys there will be, nobody knows at deployment.",
            ),
            (
                r".+/[^/]+-[0-9a-f]{8}/\*",
                "One object for each message or record, under a prefix that is this consumer's own: the end "
                "of the key is its time and ID, or its place in the stream, and no policy can know these.",
            ),
            (
                r"(<\w+\.Arn>|arn:.+)/results/.+/\*",
                "Manifests and results of one construct's batches lie below this prefix. What the executions "
                "that they are of will be called, nobody knows at deployment.",
            ),
            (
                r"(<\w+\.Arn>|arn:.+:s3:::[^/]+)/\*",
                "The bucket that items come from: each batch says which of its objects it consists of.",
            ),
            (
                r"arn:.+:mapRun:.+:\*",
                "The Map Runs of one state machine, which counts how many of its own items failed.",
            ),
            (
                r"arn:.+:execution:.+:\*",
                "The executions of one state machine, which this role starts and waits for. What they will "
                "be called, nobody knows at deployment.",
            ),
        )
    ),
    Known(
        resource="AWS::S3::Bucket",
        rule="S3BucketVersioningEnabled",
        packs=(_HIPAA, _R4, _R5, _PCI),
        reason="Each object is written once under a name made of its content and never changed, so there are "
        "no versions to keep.",
    ),
    Known(
        resource="AWS::Events::Rule",
        rule="EventBusDLQ",
        packs=(_SERVERLESS,),
        reason="The rule's target is the dead-letter queue itself. What cannot be sent there is still in the "
        "execution, which Step Functions keeps for 90 days, and an alarm tells of it.",
    ),
    Known(
        resource="AWS::StepFunctions::StateMachine",
        rule="SF1",
        packs=(_SOLUTIONS,),
        reason="Step Functions keeps the whole history of a Standard execution for 90 days by itself. The "
        "log holds what went wrong, so that it can be searched; log_level=LogLevel.ALL has the rest.",
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
        reason="The bucket keeps work in the region in which its queue, stream or executions are, and is of "
        "no use without them. Another region is the app's choice: hand in your own bucket.",
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
        reason="What lies in the bucket is taken out when it has been done again, or ends with what it was "
        "the input or the result of; a lock would keep it for a time that nobody has chosen.",
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
            wildcards = _wildcards(resource) if any(row.pattern is not None for row in rows) else ()
            found = {rule: row.reason for row in rows for rule in row.ids(wildcards)}
            if found:
                Validations.of(resource).acknowledge(
                    *(Acknowledgment(id=rule, reason=reason) for rule, reason in found.items())
                )


def _resources(construct: IConstruct) -> Iterator[CfnResource]:
    for child in construct.node.find_all():
        if isinstance(child, CfnResource):
            yield child


def _fits(row: Known, resource: CfnResource) -> bool:
    if resource.cfn_resource_type != row.resource:
        return False
    if isinstance(resource, iam.CfnRole):
        return bool(resource.policies)
    if isinstance(resource, lambda_.CfnFunction):
        return row.rule != "LambdaConcurrency" or resource.reserved_concurrent_executions is None
    if isinstance(resource, lambda_.CfnEventSourceMapping):
        return resource.destination_config is None
    if isinstance(resource, events.CfnRule):
        return any("deadLetterConfig" not in target for target in _resolved(resource, resource.targets))
    if isinstance(resource, sfn.CfnStateMachine):
        return bool(_resolved(resource, resource.logging_configuration).get("level") != "ALL")
    if isinstance(resource, kinesis.CfnStream):
        return "alias/aws/kinesis" not in str(_resolved(resource, resource.stream_encryption))
    if isinstance(resource, s3.CfnBucket):
        if row.rule == "S3BucketVersioningEnabled":
            return resource.versioning_configuration is None
        has_key = "aws:kms" in str(_resolved(resource, resource.bucket_encryption))
        return not (has_key and row.rule == "S3DefaultEncryptionKMS")
    if not isinstance(resource, sqs.CfnQueue):
        return True
    if resource.redrive_policy is not None:
        return False  # only where dead letters end there is none; on any other queue it is a real finding
    # AwsSolutions sees for itself which queue takes another one's dead letters; Serverless does not
    allowed = resource.redrive_allow_policy
    takes_from_queues = isinstance(allowed, Mapping) and allowed.get("redrivePermission") == "byQueue"
    return row.rule != "SQS3" or not takes_from_queues


def _resolved(resource: CfnResource, value: Any) -> Any:
    """A property without tokens in it, with the names that the CDK has for its members."""
    return Stack.of(resource).resolve(value) or {}


def _wildcards(resource: CfnResource) -> list[str]:
    """What stands under ``Resource`` in the statements of a role or policy, as cdk-nag writes it."""
    documents: list[Any] = []
    if isinstance(resource, iam.CfnRole):
        documents = [one["policyDocument"] for one in _resolved(resource, resource.policies)]
    elif isinstance(resource, iam.CfnPolicy):
        documents = [_resolved(resource, resource.policy_document)]
    places = (statement.get("Resource", []) for one in documents for statement in one["Statement"])
    listed = (place for each in places for place in (each if isinstance(each, list) else [each]))
    return [text for text in map(_as_nag_writes, listed) if "*" in text]


def _as_nag_writes(value: Any) -> str:
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        return str(argument[0]).join(_as_nag_writes(part) for part in argument[1])
    if function == "Ref":
        return f"<{argument}>"
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    return json.dumps(value, separators=(",", ":"))
