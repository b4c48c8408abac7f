"""An alarm's notification, and the topic's policy.

AWS: CloudWatch publishes as ``cloudwatch.amazonaws.com`` with the alarm as ``aws:SourceArn``; a topic whose
policy does not allow that gets nothing.
ministack 1.5.33: notifies whatever the policy says.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import cloudwatch, sns

from . import recording

SERVICE = "cloudwatch.amazonaws.com"
_ACTIONS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}


def close() -> None:
    """Put it in place."""
    stock = cloudwatch._dispatch_alarm_actions

    def notify(alarm: dict[str, Any], old_state: str, new_state: str, reason: str) -> None:
        field = _ACTIONS.get(new_state, "")
        topics = [topic for topic in alarm.get(field) or [] if _may_publish(topic, alarm["AlarmArn"])]
        stock({**alarm, field: topics}, old_state, new_state, reason)

    cloudwatch._dispatch_alarm_actions = notify


def _may_publish(topic: str, alarm: str) -> bool:
    allowed = bool(sns.topic_policy_allows(topic, SERVICE, alarm, get_account_id()))
    recording.record_service(SERVICE, "sns:Publish", topic, source=alarm, allowed=allowed)
    return allowed
