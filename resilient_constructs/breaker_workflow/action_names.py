"""What AWS's services are called: by Step Functions, by IAM, and in the names of their errors.

Three spellings that cannot be made from each other: ``cloudwatchlogs`` is ``logs`` to IAM, and its errors
begin with ``CloudWatchLogs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Service", "iam_action", "service_named"]


class Service(NamedTuple):
    """A service's other names.

    :param iam: what its actions begin with in a policy; None where it is not known here
    :param family: what the names of its errors begin with
    """

    iam: str | None
    family: str


# By the name in the state's resource: IAM's, and the errors'.
# https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
_OTHERWISE: Mapping[str, tuple[str | None, str]] = {
    # IAM knows its methods only: apigateway:GET
    "apigateway": (None, "ApiGateway"),
    "bedrock": ("bedrock", "Bedrock"),
    "bedrockagent": ("bedrock", "BedrockAgent"),
    "bedrockagentruntime": ("bedrock", "BedrockAgentRuntime"),
    "bedrockruntime": ("bedrock", "BedrockRuntime"),
    "cloudformation": ("cloudformation", "CloudFormation"),
    "cloudfront": ("cloudfront", "CloudFront"),
    "cloudtrail": ("cloudtrail", "CloudTrail"),
    "cloudwatch": ("cloudwatch", "CloudWatch"),
    "cloudwatchlogs": ("logs", "CloudWatchLogs"),
    "codebuild": ("codebuild", "CodeBuild"),
    "codepipeline": ("codepipeline", "CodePipeline"),
    "cognitoidentity": ("cognito-identity", "CognitoIdentity"),
    "cognitoidentityprovider": ("cognito-idp", "CognitoIdentityProvider"),
    "databrew": ("databrew", "DataBrew"),
    "datasync": ("datasync", "DataSync"),
    "dynamodb": ("dynamodb", "DynamoDb"),
    "efs": ("elasticfilesystem", "Efs"),
    "elasticache": ("elasticache", "ElastiCache"),
    "elasticloadbalancingv2": ("elasticloadbalancing", "ElasticLoadBalancingV2"),
    "emr": ("elasticmapreduce", "Emr"),
    "eventbridge": ("events", "EventBridge"),
    "fsx": ("fsx", "FSx"),
    "guardduty": ("guardduty", "GuardDuty"),
    "iotdataplane": ("iot", "IotDataPlane"),
    "kinesisanalyticsv2": ("kinesisanalytics", "KinesisAnalyticsV2"),
    "lakeformation": ("lakeformation", "LakeFormation"),
    "lexruntimev2": ("lex", "LexRuntimeV2"),
    "mwaa": ("airflow", "Mwaa"),
    "opensearch": ("es", "OpenSearch"),
    "personalizeruntime": ("personalize", "PersonalizeRuntime"),
    "quicksight": ("quicksight", "QuickSight"),
    "rdsdata": ("rds-data", "RdsData"),
    "redshiftdata": ("redshift-data", "RedshiftData"),
    "sagemaker": ("sagemaker", "SageMaker"),
    "sagemakerruntime": ("sagemaker", "SageMakerRuntime"),
    "secretsmanager": ("secretsmanager", "SecretsManager"),
    "securityhub": ("securityhub", "SecurityHub"),
    "servicediscovery": ("servicediscovery", "ServiceDiscovery"),
    "sesv2": ("ses", "SesV2"),
    "sfn": ("states", "Sfn"),
    "transcribe": ("transcribe", "Transcribe"),
    "xray": ("xray", "XRay"),
}
# The same to IAM, and capitalised in errors.
_PLAIN = frozenset(
    {
        "acm",
        "athena",
        "batch",
        "comprehend",
        "ec2",
        "ecr",
        "ecs",
        "eks",
        "firehose",
        "forecast",
        "glue",
        "iam",
        "iot",
        "kendra",
        "kinesis",
        "kms",
        "lambda",
        "organizations",
        "personalize",
        "pipes",
        "polly",
        "rds",
        "redshift",
        "rekognition",
        "route53",
        "s3",
        "scheduler",
        "ses",
        "sns",
        "sqs",
        "ssm",
        "sts",
        "textract",
        "transfer",
        "translate",
    }
)
# Actions that IAM knows by the name of another one; empty for those that take more than one, or depend on
# what is in them.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-prereq.html
_ACTIONS: Mapping[str, str] = {
    "bedrockruntime:converse": "bedrock:InvokeModel",
    "bedrockruntime:startAsyncInvoke": "bedrock:InvokeModel",
    "dynamodb:batchExecuteStatement": "",
    "dynamodb:executeStatement": "",
    "dynamodb:executeTransaction": "",
    "dynamodb:transactGetItems": "dynamodb:GetItem",
    "dynamodb:transactWriteItems": "",
    "kms:reEncrypt": "",
    "lambda:invoke": "lambda:InvokeFunction",
    "s3:completeMultipartUpload": "s3:PutObject",
    "s3:copyObject": "",
    "s3:createMultipartUpload": "s3:PutObject",
    "s3:createBucket": "s3:CreateBucket",
    "s3:deleteBucket": "s3:DeleteBucket",
    "s3:deleteObjects": "s3:DeleteObject",
    "s3:getBucketLocation": "s3:GetBucketLocation",
    "s3:getObjectAttributes": "",
    "s3:getObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:headBucket": "s3:ListBucket",
    "s3:headObject": "s3:GetObject",
    "s3:listBuckets": "s3:ListAllMyBuckets",
    "s3:listMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:listObjects": "s3:ListBucket",
    "s3:listObjectsV2": "s3:ListBucket",
    "s3:listObjectVersions": "s3:ListBucketVersions",
    "s3:listParts": "s3:ListMultipartUploadParts",
    "s3:putObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
    "s3:selectObjectContent": "s3:GetObject",
    "s3:uploadPart": "s3:PutObject",
    "s3:uploadPartCopy": "",
    "sesv2:sendBulkEmail": "",
    "sqs:changeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:deleteMessageBatch": "sqs:DeleteMessage",
    "sqs:sendMessageBatch": "sqs:SendMessage",
    "sns:publishBatch": "sns:Publish",
}


def service_named(name: str) -> Service:
    """What is known of a service.

    :param name: as Step Functions has it, in lower case
    """
    if name in _OTHERWISE:
        return Service(*_OTHERWISE[name])
    return Service(name if name in _PLAIN else None, name.capitalize())


def iam_action(service: str, action: str) -> str | None:
    """What a role must be allowed to call this; None where that is not known here, or takes more than one.

    A guess would be found out only by the first execution, as a refusal.
    """
    known = _ACTIONS.get(f"{service}:{action}")
    if known is not None:
        return known or None
    prefix = service_named(service).iam
    if service == "s3" and "Bucket" in action:
        return None  # of a bucket's settings IAM has names of its own: s3:GetEncryptionConfiguration
    return None if prefix is None else f"{prefix}:{action[:1].upper()}{action[1:]}"
