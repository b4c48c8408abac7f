"""AWS::CloudWatch::CompositeAlarm.

AWS: CloudFormation makes the alarm; the alarms that its rule names must exist.
ministack 1.5.33: PutCompositeAlarm is there, the resource type is rejected.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudwatch-compositealarm.html
"""

from __future__ import annotations

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch

from .resources import Properties, physical_name, register


def close() -> None:
    """Put it in place."""
    register("AWS::CloudWatch::CompositeAlarm", _create, _delete)


def _create(logical_id: str, properties: Properties, stack: str) -> tuple[str, dict[str, str]]:
    name = properties.get("AlarmName") or physical_name(stack, logical_id, longest=255)
    response = cloudwatch._put_composite_alarm({}, {**properties, "AlarmName": name}, False, True)
    if response[0] >= 400:
        raise ValueError(f"AWS::CloudWatch::CompositeAlarm: {response[2].decode(errors='replace')}")
    return name, {"Arn": f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{name}"}


def _delete(physical_id: str, _properties: Properties) -> None:
    cloudwatch._composite_alarms.pop(physical_id, None)
