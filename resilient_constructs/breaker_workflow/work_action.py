"""Any action of an AWS service as a workflow's work, and what its errors mean.

Errors that the SDK has a class for are called ``Family.NameException``. All others come as
``Family.FamilyException``, such as ``DynamoDb.DynamoDbException`` for a missing permission, and only the
cause tells what happened: "User: … is not authorized to perform: … (Service: DynamoDb, Status Code: 400, …)".
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aws_cdk import Duration

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import pseudo

from .action_names import iam_action, service_named
from .limits import IAM_PAGE, SDK_PAGE
from .machine import PlatformRetry, WorkTask
from .task_time import whole_seconds

if TYPE_CHECKING:
    from .work import Work

__all__ = ["MEANING", "action"]

_MINUTE = 60
# Names that AWS's services have for "fewer, please", and for "not this". Those that one service has not do
# no harm. Step Functions adds Exception to those that have no such end.
_THROTTLING = (
    "BandwidthLimitExceededException",
    "EC2ThrottledException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceededException",
    "RequestThrottledException",
    # the SDK's own trouble: nobody was asked
    "SdkClientException",
    "SlowDownException",
    "ThrottledException",
    "ThrottlingException",
    "TooManyRequestsException",
)
_REFUSING = (
    "AccessDeniedException",
    "AuthorizationErrorException",
    "BadRequestException",
    "ForbiddenException",
    "InvalidInputException",
    "InvalidParameterException",
    "InvalidParameterValueException",
    "InvalidRequestException",
    "NotAuthorizedException",
    "SerializationException",
    "UnauthorizedException",
    "UnauthorizedOperationException",
    "ValidationErrorException",
    "ValidationException",
)
# What the causes of errors without a class say, in lower case. The services' messages, as the SDK does not
# add their codes: S3's SlowDown is "Please reduce your request rate."
_SAYS_NO = ("is not authorized to perform", "access denied")
_SAYS_FEWER = (
    "rate exceeded",
    "reduce your request rate",
    "request limit exceeded",
    "slow down",
    "slowdown",
    "status code: 429",
    "throttl",
    "throughput exceeds",
    "too many requests",
)
# Of the 4xx, those that pass: Step Functions' own credentials that ran out, a request that came too slowly.
_SAYS_LATER = ("expired", "status code: 408", "timed out", "timeout")


def _said(texts: Sequence[str]) -> str:
    return f"$count($filter({json.dumps(texts)}, function($text) {{ $contains($said, $text) }})) > 0"


MEANING = f"""(
    $short := $substringAfter($name, '.');
    $said := $lowercase($why);
    $short in {json.dumps(_REFUSING)} ? 'no'
    : $short in {json.dumps(_THROTTLING)} ? 'fewer'
    : $short != $substringBefore($name, '.') & 'Exception' ? ''
    : {_said(_SAYS_NO)} ? 'no'
    : {_said(_SAYS_FEWER)} ? 'fewer'
    : $contains($said, 'status code: 4') and $not({_said(_SAYS_LATER)}) ? 'no'
    : ''
)"""
"""See ``WorkTask.meaning``."""


def action(
    kind: type[Work],
    service: str,
    name: str,
    arguments: Mapping[str, object],
    *,
    resources: Sequence[str],
    iam_actions: Sequence[str] | None,
    errors_of: str | None,
    output: object | None,
    error_of_result: str | None,
    timeout: Duration | None,
) -> Work:
    """See ``Work.action``."""
    limit, complaints = whole_seconds("work.timeout", timeout, _MINUTE)
    family = errors_of or service_named(service).family
    usual = iam_action(service, name)
    allowed = list(iam_actions or ([] if usual is None else [usual]))

    def complain(faults: Faults) -> None:
        is_service, is_action = bool(service) and service == service.lower(), name[:1].islower()
        if not is_service:
            faults.add("work.service", service, "the service's name in lower case: dynamodb", SDK_PAGE)
        if not is_action:
            faults.add("work.action", name, "the action in camelCase: analyzeDocument", SDK_PAGE)
        for key in arguments:
            if not key[:1].isupper():
                faults.add("work.arguments", key, "parameters in PascalCase: FunctionName", SDK_PAGE)
        for prop, listed in (("work.resources", resources), ("work.iam_actions", iam_actions)):
            if isinstance(listed, str):
                faults.add(prop, listed, f"a list: [{listed!r}]", IAM_PAGE)
        if not resources:
            faults.add("work.resources", [], "ARNs, or ['*'] where the service knows none", SDK_PAGE)
        if is_service and is_action and not allowed:
            wanted = f"what IAM calls {service}:{name}, which is not known here: ['bedrock:InvokeModel']"
            faults.add("work.iam_actions", iam_actions, wanted, IAM_PAGE)

    return kind(
        task=WorkTask(
            resource=f"arn:{pseudo().partition}:states:::aws-sdk:{service}:{name}",
            arguments=dict(arguments),
            output=output,
            timeout_seconds=limit,
            error_of_result=error_of_result,
            meaning=MEANING,
            platform_retries=(PlatformRetry(errors=(f"{family}.SdkClientException",)),),
        ),
        statements=({"Effect": "Allow", "Action": allowed, "Resource": list(resources)},),
        complaints=(*complaints, complain),
    )
