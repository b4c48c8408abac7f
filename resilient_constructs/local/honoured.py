"""What the local AWS does as AWS does, and what it does not, by CloudFormation type. Data only.

The probes in ``tests/local`` stand behind it, with ministack 1.5.33 and our extension.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DIFFERENT", "HONOURED", "INERT", "NESTED", "Nested"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nested:
    """A difference that depends on a value, or lies inside a property.

    :param path: the property's dotted path, without list positions
    :param because: what happens locally instead
    :param applies: for which values. Default: all
    """

    path: str
    because: str
    applies: Callable[[Any], bool] = lambda _value: True


def _always(value: Any) -> bool:
    return str(value).lower() == "true"


# What a Task can call and something stands behind. One of the SDK's may or may not be there.
_TASKS = ("lambda", "dynamodb", "sqs", "sns", "events", "states", "s3", "http", "aws-sdk")


def _calls_beyond(definition: Any) -> bool:
    called = re.findall(r":states:::([a-z0-9-]+):", str(definition))
    return any(service not in _TASKS for service in called)


_HERE = f"python{platform.python_version_tuple()[0]}.{platform.python_version_tuple()[1]}"
_NO_TRACES = "no trace is recorded"
_NO_ENCRYPTION = "nothing is encrypted: it lives in this machine's memory"

INERT: frozenset[str] = frozenset(
    {"Description", "Tags", "CompatibleArchitectures", "CompatibleRuntimes", "LicenseInfo"}
)
"""Properties that describe and do nothing, on AWS either."""

HONOURED: Mapping[str, frozenset[str]] = {
    name: frozenset(properties.split())
    for name, properties in {
        "AWS::ApiGateway::Deployment": "RestApiId StageName",
        "AWS::ApiGateway::GatewayResponse": (
            "ResponseParameters ResponseTemplates ResponseType RestApiId StatusCode"
        ),
        "AWS::ApiGateway::Method": (
            "ApiKeyRequired AuthorizationType HttpMethod Integration MethodResponses RequestModels "
            "RequestParameters RequestValidatorId ResourceId RestApiId"
        ),
        "AWS::ApiGateway::Model": "ContentType Name RestApiId Schema",
        "AWS::ApiGateway::RequestValidator": "Name RestApiId ValidateRequestBody ValidateRequestParameters",
        "AWS::ApiGateway::Resource": "ParentId PathPart RestApiId",
        "AWS::ApiGateway::RestApi": "Name",
        "AWS::ApiGateway::Stage": "DeploymentId MethodSettings RestApiId StageName Variables",
        "AWS::ApiGateway::ApiKey": "Enabled Name StageKeys Value",
        "AWS::ApiGateway::UsagePlan": "ApiStages Quota Throttle UsagePlanName",
        "AWS::ApiGateway::UsagePlanKey": "KeyId KeyType UsagePlanId",
        "AWS::CDK::Metadata": "Analytics",
        "AWS::CloudWatch::Alarm": "",
        "AWS::CloudWatch::CompositeAlarm": "",
        "AWS::CloudWatch::Dashboard": "",
        "AWS::DynamoDB::Table": "AttributeDefinitions BillingMode KeySchema StreamSpecification TableName",
        "AWS::Events::Archive": "ArchiveName EventPattern SourceArn",
        "AWS::Events::Connection": "AuthParameters AuthorizationType Name",
        "AWS::Events::EventBus": "Name",
        "AWS::Events::EventBusPolicy": "",
        "AWS::Events::Rule": "EventBusName EventPattern Name ScheduleExpression State Targets",
        "AWS::IAM::ManagedPolicy": "Groups ManagedPolicyName Path PolicyDocument Roles Users",
        "AWS::IAM::Policy": "Groups PolicyDocument PolicyName Roles Users",
        "AWS::IAM::Role": (
            "AssumeRolePolicyDocument ManagedPolicyArns Path PermissionsBoundary Policies RoleName"
        ),
        "AWS::Kinesis::Stream": "Name ShardCount",
        "AWS::KMS::Alias": "AliasName TargetKeyId",
        "AWS::KMS::Key": "Enabled KeyPolicy KeySpec KeyUsage",
        "AWS::Lambda::EventInvokeConfig": "DestinationConfig FunctionName MaximumRetryAttempts Qualifier",
        "AWS::Lambda::EventSourceMapping": (
            "BatchSize Enabled EventSourceArn FilterCriteria FunctionName FunctionResponseTypes "
            "ScalingConfig StartingPosition"
        ),
        "AWS::Lambda::Function": (
            "Code DeadLetterConfig Environment FunctionName Handler Layers LoggingConfig PackageType "
            "ReservedConcurrentExecutions Role Runtime Timeout"
        ),
        "AWS::Lambda::LayerVersion": "Content LayerName",
        "AWS::Lambda::Permission": "Action FunctionName Principal SourceAccount SourceArn",
        "AWS::Logs::LogGroup": "LogGroupName",
        "AWS::Logs::QueryDefinition": "",
        "AWS::S3::Bucket": (
            "BucketName NotificationConfiguration PublicAccessBlockConfiguration VersioningConfiguration"
        ),
        "AWS::StepFunctions::StateMachine": (
            "DefinitionS3Location DefinitionString DefinitionSubstitutions RoleArn StateMachineName "
            "StateMachineType"
        ),
        "AWS::SNS::Subscription": (
            "Endpoint FilterPolicy FilterPolicyScope Protocol RawMessageDelivery TopicArn"
        ),
        "AWS::SNS::Topic": "DisplayName FifoTopic TopicName",
        "AWS::SNS::TopicPolicy": "PolicyDocument Topics",
        "AWS::SQS::Queue": (
            "ContentBasedDeduplication DelaySeconds FifoQueue MaximumMessageSize MessageRetentionPeriod "
            "QueueName ReceiveMessageWaitTimeSeconds RedrivePolicy VisibilityTimeout"
        ),
        "AWS::SQS::QueuePolicy": "PolicyDocument Queues",
    }.items()
}
"""Properties that do locally what they do on AWS."""

DIFFERENT: Mapping[str, Mapping[str | None, str]] = {
    "AWS::ApiGateway::Deployment": {
        None: "methods are served as they are now, also without a new deployment; gateway responses are not"
    },
    "AWS::ApiGateway::RestApi": {
        "EndpointConfiguration": "there is no edge and no region: the API answers on the loopback interface",
        "Policy": "nobody has compared this property with AWS; the emulator may ignore it",
    },
    "AWS::ApiGateway::Stage": {
        "AccessLogSetting": "no access log is written",
        "TracingEnabled": _NO_TRACES,
        "CacheClusterEnabled": "nothing is cached",
        "WebAclArn": "nothing is filtered",
    },
    "AWS::CloudWatch::Alarm": {
        None: "no alarm is evaluated: it stays as it is until SetAlarmState is called"
    },
    "AWS::CloudWatch::CompositeAlarm": {
        None: "no alarm is evaluated: it stays as it is until SetAlarmState is called"
    },
    "AWS::CloudWatch::Dashboard": {
        None: "it is stored; nothing draws it, and most of its metrics do not exist"
    },
    "AWS::DynamoDB::Table": {
        "PointInTimeRecoverySpecification": "there is no backup, and nothing to restore from",
        "SSESpecification": _NO_ENCRYPTION,
        "TimeToLiveSpecification": "no item expires by itself",
        "ProvisionedThroughput": "no throughput limit applies",
    },
    "AWS::Events::Archive": {"RetentionDays": "events are kept until the local AWS stops"},
    "AWS::Events::Connection": {
        "InvocationConnectivityParameters": "the endpoint is called from this machine's network",
        "KmsKeyIdentifier": _NO_ENCRYPTION,
    },
    "AWS::Events::EventBusPolicy": {None: "it is stored and not enforced"},
    "AWS::Events::EventBus": {
        "DeadLetterConfig": "a failure of the bus itself cannot happen",
        "KmsKeyIdentifier": _NO_ENCRYPTION,
        "LogConfig": "the bus writes no log",
    },
    "AWS::KMS::Key": {
        None: "queues and topics do not use it; which principal would, stands in the record of calls"
    },
    "AWS::Lambda::EventInvokeConfig": {
        "MaximumEventAgeInSeconds": "waits between attempts are shorter than a minute"
    },
    "AWS::Lambda::EventSourceMapping": {
        "BisectBatchOnFunctionError": "a stream's batch that fails comes again whole",
        "DestinationConfig": "what a table's stream gives up is sent there, what Kinesis gives up is not",
        "MaximumRecordAgeInSeconds": "a table's stream gives up records that are too old, Kinesis does not",
        "MaximumRetryAttempts": "a stream's batch that fails comes again until it succeeds or is too old",
        "MetricsConfig": "the mapping emits no metrics",
        "ParallelizationFactor": "a stream is read one batch after the other",
        "MaximumBatchingWindowInSeconds": "a batch is what is there, nothing waits for more",
        "ProvisionedPollerConfig": "there are no pollers to provision",
    },
    "AWS::Lambda::Function": {
        "Architectures": f"functions run on this machine: {platform.machine()}",
        "MemorySize": "memory is not limited, and speed does not depend on it",
        "TracingConfig": _NO_TRACES,
        "EphemeralStorage": "temporary files go to this machine's disk, shared and not limited",
        "VpcConfig": "functions run on this machine's network",
        "KmsKeyArn": _NO_ENCRYPTION,
        "SnapStart": "every environment starts from nothing",
        "RecursiveLoop": "loops are not looked for",
    },
    "AWS::Logs::LogGroup": {
        "RetentionInDays": "logs are kept until the local AWS stops",
        "KmsKeyId": _NO_ENCRYPTION,
    },
    "AWS::Logs::QueryDefinition": {None: "it is accepted and kept nowhere; Logs Insights runs no query"},
    "AWS::S3::Bucket": {
        "BucketEncryption": _NO_ENCRYPTION,
        "LifecycleConfiguration": "nothing expires: objects are kept until the local AWS stops",
    },
    "AWS::SNS::Topic": {"KmsMasterKeyId": _NO_ENCRYPTION, "TracingConfig": _NO_TRACES},
    "AWS::StepFunctions::StateMachine": {
        "EncryptionConfiguration": _NO_ENCRYPTION,
        "LoggingConfiguration": "no execution log is written; GetExecutionHistory tells the same",
        "TracingConfiguration": _NO_TRACES,
    },
    "AWS::SQS::Queue": {
        "DeduplicationScope": "no throughput limit applies",
        "FifoThroughputLimit": "no throughput limit applies",
        "KmsMasterKeyId": _NO_ENCRYPTION,
        "KmsDataKeyReusePeriodSeconds": _NO_ENCRYPTION,
        "RedriveAllowPolicy": "it is stored and not enforced",
        "SqsManagedSseEnabled": _NO_ENCRYPTION,
    },
}
"""Properties (None: the whole resource) that do something else locally, and what."""

NESTED: Mapping[str, tuple[Nested, ...]] = {
    "AWS::ApiGateway::GatewayResponse": (
        Nested(
            path="ResponseTemplates.application/json",
            because="which part of a body does not fit its model is not told",
            applies=lambda value: "validationErrorString" in str(value),
        ),
    ),
    "AWS::ApiGateway::Method": (
        Nested(path="Integration.TimeoutInMillis", because="a slow integration is not cut off"),
        Nested(path="Integration.CacheKeyParameters", because="nothing is cached"),
    ),
    "AWS::ApiGateway::Stage": (
        Nested(path="MethodSettings.CachingEnabled", because="nothing is cached", applies=_always),
        Nested(path="MethodSettings.MetricsEnabled", because="an API emits no metrics", applies=_always),
        Nested(
            path="MethodSettings.LoggingLevel",
            because="no execution log is written",
            applies=lambda v: v != "OFF",
        ),
        Nested(
            path="MethodSettings.DataTraceEnabled", because="no execution log is written", applies=_always
        ),
    ),
    "AWS::Events::Rule": (
        Nested(
            path="Targets.RetryPolicy",
            because="a delivery is tried once; a refusal goes to the dead-letter queue",
        ),
        Nested(path="Targets.RoleArn", because="the target is called whatever the role may do"),
        Nested(
            path="Targets.Arn",
            because="an asynchronous function is invoked once: no retry, no destination on failure",
            applies=lambda value: ":lambda:" in str(value),
        ),
    ),
    "AWS::Lambda::Function": (
        Nested(
            path="Runtime",
            because=f"functions run under {_HERE}, with the packages that are installed here within reach",
        ),
        Nested(
            path="LoggingConfig.LogFormat", because="Lambda's own lines are text, START and REPORT included"
        ),
    ),
    "AWS::S3::Bucket": (
        Nested(
            path="NotificationConfiguration.LambdaConfigurations",
            because="nobody has compared it with AWS; events through EventBridge arrive",
        ),
        Nested(
            path="NotificationConfiguration.QueueConfigurations",
            because="nobody has compared it with AWS; events through EventBridge arrive",
        ),
        Nested(
            path="NotificationConfiguration.TopicConfigurations",
            because="nobody has compared it with AWS; events through EventBridge arrive",
        ),
    ),
    "AWS::StepFunctions::StateMachine": (
        Nested(
            path="DefinitionString",
            because="a task of ECS, or of another service that is not emulated, fails when it is reached",
            applies=_calls_beyond,
        ),
        Nested(
            path="DefinitionString",
            because="whether the role may call an action of the SDK is asked for a few services alone",
            applies=lambda value: ":aws-sdk:" in str(value),
        ),
        Nested(
            path="DefinitionString",
            because="functions get no client context: a work's call has its request's id as idempotency_key",
            applies=lambda value: "ClientContext" in str(value),
        ),
    ),
    "AWS::SNS::Subscription": (
        Nested(
            path="Protocol",
            because="nothing is mailed or called",
            applies=lambda value: value in {"email", "email-json", "sms", "http", "https"},
        ),
    ),
}
"""Differences that depend on a value or lie deeper."""
