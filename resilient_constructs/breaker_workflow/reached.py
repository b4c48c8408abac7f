"""How work reaches a workflow, and who may do what with it."""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import Annotations, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_stepfunctions as sfn

from resilient_constructs import queues
from resilient_constructs.resilient_function.granting import let_read_claims
from resilient_constructs.stores import QueueStore

from .granting import ANSWERS
from .measured import MeasuredWorkflow
from .schedule_times import check_schedule
from .schedules import Schedules
from .work import Work

__all__ = ["ReachedWorkflow"]


class ReachedWorkflow(MeasuredWorkflow):
    """A workflow seen from whoever sends it work."""

    state_machine: sfn.StateMachine
    """The state machine."""
    _schedules: Schedules
    claims: s3.IBucket
    """The bucket for inputs that are too large for Step Functions; one per stack unless given."""
    _answering = 0

    def messages(self) -> QueueStore:
        """This workflow's queue as a place for an API route to store what it accepts."""
        return QueueStore(queue=self.queue)

    def on_schedule(
        self,
        construct_id: str,
        expression: str,
        *,
        work_input: object = None,
        timezone: str | None = None,
        within: Duration | None = None,
    ) -> scheduler.CfnSchedule:
        """Start work by the clock. It waits in the queue like all other work.

        :param construct_id: the schedule's construct ID
        :param expression: ``rate(5 minutes)``, ``cron(0 6 * * ? *)`` or ``at(2026-12-24T18:00:00)``
        :param work_input: the work's input, JSON. Default: ``{"scheduled_at": …}``
        :param timezone: in which the expression is meant, ``Europe/Berlin``. Default: UTC
        :param within: how much later it may come, whole minutes, so that schedules spread. Default: at once
        :raises ValueError: for an expression or a time zone that EventBridge Scheduler does not know, and for
            parts of a minute; all faults at once

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
        """
        minutes = check_schedule(construct_id, expression, timezone, within)
        return self._schedules.add(
            construct_id, expression, work_input=work_input, timezone=timezone, minutes=minutes
        )

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` send work to the queue, and use its customer key for it; nothing else."""
        granted = self.queue.grant(grantee, "sqs:SendMessage")
        key = queues.facts_of(self.queue).key
        if key is None:
            return granted
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
        return granted.combine(key.grant(grantee, "kms:Decrypt", "kms:GenerateDataKey"))

    def grant_start_execution(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` start executions itself, past the queue and its pace.

        The breaker, the retries and the dead letters are the state machine's and hold all the same.
        """
        return self.state_machine.grant_start_execution(grantee)

    def grant_redrive(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` run executions again, as ``resilient redrive`` does: find, read, redrive, start."""
        machine = self.state_machine.grant(
            grantee, "states:DescribeStateMachine", "states:ListExecutions", "states:StartExecution"
        )
        return machine.combine(
            self.state_machine.grant_execution(
                grantee, "states:DescribeExecution", "states:GetExecutionHistory", "states:RedriveExecution"
            )
        )

    def grant_read_claims(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let ``grantee`` read inputs that were too large for Step Functions, with their bucket's key.

        A function of ours that is this workflow's work has it already.
        """
        return let_read_claims(grantee, self.claims)

    def grant_task_response(self, role: iam.IRole) -> iam.Grant:
        """Let ``role`` tell by a task's token that it lives, and how it ended.

        A function or a task of which this workflow waits for the token has it already.
        """
        # A policy of its own: a function stands after its role's policies, the state machine after the
        # function, so a policy among those that names the state machine would be a circle.
        self._answering += 1
        policy = iam.Policy(self, f"TaskResponsePolicy{self._answering}", roles=[role])
        return iam.Grant.add_to_principal(
            grantee=policy,
            actions=list(ANSWERS),
            resource_arns=[self.state_machine.state_machine_arn],
        )

    def _warn_of(self, works: Iterable[Work]) -> None:
        """Say what is legal of the works and nobody sees to."""
        for work in works:
            for slug, text in work.warnings:
                Annotations.of(self).add_warning_v2(f"resilient:BreakerWorkflow/{slug}", text)
