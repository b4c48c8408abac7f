"""Starts by the clock: EventBridge Scheduler puts work into the queue, where all work waits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from resilient_constructs.tokens import pseudo

from .granting import document_of

__all__ = ["Schedules"]

# Scheduler fills this in, with 2022-03-22T18:59:43Z.
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
_SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
_DEFAULT_INPUT = {"scheduled_at": _SCHEDULED_TIME}
_A_DAY = 86_400
_RETRIES = 185


class Schedules:
    """The schedules of one workflow, and the one role that they send with.

    :param scope: the workflow
    :param queue_arn: where work waits
    :param dead_letter_queue_arn: what could not be sent
    :param keys: the customer keys of both
    """

    def __init__(
        self, scope: Construct, *, queue_arn: str, dead_letter_queue_arn: str, keys: Sequence[kms.IKey]
    ) -> None:
        self._scope = scope
        self._queue_arn = queue_arn
        self._dead_letter_queue_arn = dead_letter_queue_arn
        self._keys = keys
        self._role: iam.Role | None = None

    def add(
        self, construct_id: str, expression: str, *, work_input: object, timezone: str | None, minutes: int
    ) -> scheduler.CfnSchedule:
        """Make one schedule, of what ``check_schedule`` has found right.

        :param minutes: within how many minutes it may come; 0 for at once
        """
        window = {"mode": "OFF"} if not minutes else {"mode": "FLEXIBLE", "maximumWindowInMinutes": minutes}
        return scheduler.CfnSchedule(
            self._scope,
            construct_id,
            schedule_expression=expression,
            schedule_expression_timezone=timezone,
            flexible_time_window=window,
            target={
                "arn": self._queue_arn,
                "roleArn": self._sender().role_arn,
                "input": json.dumps(_named(construct_id, work_input)),
                "retryPolicy": {"maximumEventAgeInSeconds": _A_DAY, "maximumRetryAttempts": _RETRIES},
                "deadLetterConfig": {"arn": self._dead_letter_queue_arn},
            },
        )

    def _sender(self) -> iam.Role:
        if self._role is None:
            queues = [self._queue_arn, self._dead_letter_queue_arn]
            self._role = iam.Role(
                self._scope,
                "ScheduleRole",
                assumed_by=_scheduler_service(),
                inline_policies={
                    "Send": document_of(
                        [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queues}]
                    )
                },
            )
            for key in self._keys:
                key.grant(self._role, "kms:Decrypt", "kms:GenerateDataKey")
        return self._role


def _named(construct_id: str, work_input: object) -> dict[str, object]:
    """The work in an envelope with a name of its own.

    Scheduler delivers at least once, and its second message has an id of its own: by the time that both were
    meant for, they are one work. The starter makes a valid name of it.
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/what-is-scheduler.html
    """
    given = _DEFAULT_INPUT if work_input is None else work_input
    return {"resilient": {"name": f"{construct_id}-{_SCHEDULED_TIME}"}, "input": given}


@cache
def _scheduler_service() -> iam.IPrincipal:
    # Any schedule of the account could otherwise name the role.
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
    return iam.ServicePrincipal(
        "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": pseudo().account}}
    )
