"""AWS services as a workflow's work: any action, an ECS task, another workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aws_cdk import Duration, Fn
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_stepfunctions as sfn

from resilient_constructs.limits import Faults
from resilient_constructs.queues import arn_prefix
from resilient_constructs.tokens import pseudo

from .limits import ECS_PAGE, SDK_PAGE
from .machine import PlatformRetry, WorkTask
from .task_time import whole_seconds

if TYPE_CHECKING:
    from .work import Work

__all__ = ["NAME_OF_CHILD", "action", "ecs_task", "workflow"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
# Names that AWS's services have for "fewer, please", and for "not this". Those that one service has not do
# no harm.
_THROTTLING = (
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceededException",
    "ProvisionedThroughputExceededException",
)
_REFUSING = (
    "AccessDeniedException",
    "InvalidParameterException",
    "InvalidParameterValueException",
    "InvalidRequestException",
    "ValidationException",
)
# Waiting for a job is done by a rule of EventBridge that Step Functions manages.
_MANAGED_RULE = ("events:DescribeRule", "events:PutRule", "events:PutTargets")


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
    family = errors_of or service.capitalize()

    def complain(faults: Faults) -> None:
        if not service or service != service.lower():
            faults.add("work.service", service, "the service's name in lower case: dynamodb", SDK_PAGE)
        if not name or not name[0].islower():
            faults.add("work.action", name, "the action in camelCase: analyzeDocument", SDK_PAGE)
        for key in arguments:
            if not key[:1].isupper():
                faults.add("work.arguments", key, "parameters in PascalCase: FunctionName", SDK_PAGE)
        if not resources:
            faults.add("work.resources", [], "ARNs, or ['*'] where the service knows none", SDK_PAGE)

    return kind(
        task=WorkTask(
            resource=f"arn:{pseudo().partition}:states:::aws-sdk:{service}:{name}",
            arguments=dict(arguments),
            output=output,
            timeout_seconds=limit,
            error_of_result=error_of_result,
            platform_retries=(PlatformRetry(errors=(f"{family}.SdkClientException",)),),
        ),
        statements=(
            {
                "Effect": "Allow",
                "Action": list(iam_actions or [f"{service}:{name[:1].upper()}{name[1:]}"]),
                "Resource": list(resources),
            },
        ),
        rejects=tuple(f"{family}.{error}" for error in _REFUSING),
        throttles=tuple(f"{family}.{error}" for error in _THROTTLING),
        complaints=(*complaints, complain),
    )


def ecs_task(
    kind: type[Work],
    task_definition: ecs.TaskDefinition,
    *,
    cluster: ecs.ICluster,
    container: str,
    subnets: Sequence[ec2.ISubnet],
    security_groups: Sequence[ec2.ISecurityGroup],
    environment: Mapping[str, str] | None,
    timeout: Duration | None,
    heartbeat: Duration | None,
) -> Work:
    """See ``Work.ecs_task``."""
    limit, complaints = whole_seconds("work.timeout", timeout, _HOUR)
    silence, more = (None, ()) if heartbeat is None else whole_seconds("work.heartbeat", heartbeat, 1)
    told = {"WORK": "{% $string($work) %}", **(environment or {})}
    if heartbeat is not None:
        told["TASK_TOKEN"] = "{% $states.context.Task.Token %}"  # noqa: S105  the expression that has it
    network: dict[str, Any] = {
        "Subnets": [subnet.subnet_id for subnet in subnets],
        "AssignPublicIp": "DISABLED",
    }
    if security_groups:
        network["SecurityGroups"] = [group.security_group_id for group in security_groups]

    def complain(faults: Faults) -> None:
        if not subnets:
            faults.add("work.subnets", [], "at least one subnet", ECS_PAGE)

    where = {"ArnEquals": {"ecs:cluster": cluster.cluster_arn}}
    # https://docs.aws.amazon.com/step-functions/latest/dg/ecs-iam.html
    watching: tuple[Mapping[str, Any], ...] = (
        # which task, only ECS knows; Step Functions stops those alone that it started
        {
            "Effect": "Allow",
            "Action": ["ecs:DescribeTasks", "ecs:StopTask"],
            "Resource": "*",
            "Condition": where,
        },
        _waits_by("StepFunctionsGetEventsForECSTaskRule"),
    )
    roles = [task_definition.task_role.role_arn, task_definition.obtain_execution_role().role_arn]
    return kind(
        task=WorkTask(
            resource=f"arn:{pseudo().partition}:states:::ecs:runTask"
            + (".sync" if heartbeat is None else ".waitForTaskToken"),
            arguments={
                "Cluster": cluster.cluster_arn,
                "TaskDefinition": task_definition.task_definition_arn,
                "LaunchType": "FARGATE",
                "NetworkConfiguration": {"AwsvpcConfiguration": network},
                "Overrides": {
                    "ContainerOverrides": [
                        {
                            "Name": container,
                            "Environment": [{"Name": key, "Value": value} for key, value in told.items()],
                        }
                    ]
                },
            },
            timeout_seconds=limit,
            heartbeat_seconds=silence,
            # no capacity, throttled, or ECS itself: the task has not begun
            platform_retries=(
                PlatformRetry(
                    errors=("ECS.AmazonECSException", "ECS.ServerException", "ECS.SdkClientException"),
                    attempts=8,
                    interval_seconds=5,
                    longest_seconds=120,
                ),
            ),
        ),
        statements=(
            {
                "Effect": "Allow",
                "Action": "ecs:RunTask",
                "Resource": task_definition.task_definition_arn,
                "Condition": where,
            },
            {
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": roles,
                "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            },
            *(watching if heartbeat is None else ()),
        ),
        # what does not fit into an override among them: it would otherwise look like an outage of ECS
        rejects=(
            "ECS.AccessDeniedException",
            "ECS.ClusterNotFoundException",
            "ECS.InvalidParameterException",
        ),
        standard_only="it waits for an ECS task",
        answers=None if heartbeat is None else task_definition.task_role,
        complaints=(*complaints, *more, complain),
    )


# Letters that an execution's name may have, and room for what follows within 80 of them. The same for every
# retry of one start, so that a start whose answer got lost finds its own execution. Items of an inline batch
# are of one execution, and many of them begin in the same millisecond.
NAME_OF_CHILD = (
    "{% $substring($states.context.Execution.Name, 0, 50)"
    " & ($exists($job.item.index) ? '-' & $string($job.item.index) : '')"
    " & '-' & $string($toMillis($states.context.State.EnteredTime)) %}"
)


def workflow(
    kind: type[Work], state_machine: sfn.IStateMachine, *, work_input: object, timeout: Duration | None
) -> Work:
    """See ``Work.workflow``."""
    limit, complaints = whole_seconds("work.timeout", timeout, _DAY)
    arn = state_machine.state_machine_arn
    name = Fn.select(6, Fn.split(":", arn))
    return kind(
        task=WorkTask(
            resource=f"arn:{pseudo().partition}:states:::states:startExecution.sync:2",
            arguments={"StateMachineArn": arn, "Name": NAME_OF_CHILD, "Input": work_input},
            output="{% $states.result.Output %}",
            timeout_seconds=limit,
            platform_retries=(
                PlatformRetry(
                    errors=(
                        "StepFunctions.ThrottlingException",
                        "StepFunctions.ExecutionLimitExceededException",
                        "StepFunctions.SdkClientException",
                    ),
                    attempts=8,
                    interval_seconds=2,
                    longest_seconds=120,
                ),
            ),
        ),
        statements=(
            {"Effect": "Allow", "Action": "states:StartExecution", "Resource": arn},
            {
                "Effect": "Allow",
                "Action": ["states:DescribeExecution", "states:StopExecution"],
                "Resource": f"{arn_prefix('states')}execution:{name}:*",
            },
            _waits_by("StepFunctionsGetEventsForStepFunctionsExecutionRule"),
        ),
        standard_only="it waits for another workflow",
        complaints=complaints,
    )


def _waits_by(rule: str) -> Mapping[str, Any]:
    return {
        "Effect": "Allow",
        "Action": list(_MANAGED_RULE),
        "Resource": f"{arn_prefix('events')}rule/{rule}",
    }
