"""AWS services that a workflow waits for: an ECS task, another workflow."""

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

from .limits import ECS_PAGE
from .machine import PlatformRetry, WorkTask
from .task_time import whole_seconds

if TYPE_CHECKING:
    from .work import Work

__all__ = ["NAME_OF_CHILD", "ecs_task", "workflow"]

_HOUR, _DAY = 3600, 86_400
# Waiting for a job is done by a rule of EventBridge that Step Functions manages.
_MANAGED_RULE = ("events:DescribeRule", "events:PutRule", "events:PutTargets")


def ecs_task(
    kind: type[Work],
    task_definition: ecs.TaskDefinition,
    *,
    cluster: ecs.ICluster,
    container: str,
    subnets: Sequence[ec2.ISubnet],
    security_groups: Sequence[ec2.ISecurityGroup],
    assign_public_ip: bool,
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
        "AssignPublicIp": "ENABLED" if assign_public_ip else "DISABLED",
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
