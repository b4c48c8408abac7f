"""What CloudWatch and SNS allow, each with the page that says so."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "ALARM_DESCRIPTION_LENGTH",
    "ALARM_PAGE",
    "DASHBOARD_WIDGETS",
    "EVALUATION_SECONDS",
    "GRID_COLUMNS",
    "SUBSCRIBE_PAGE",
]

SUBSCRIBE_PAGE = "https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html"
ALARM_PAGE = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"
_BODY_PAGE = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"
_LIMITS_PAGE = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html"

GRID_COLUMNS = Limit(prop="x + width", low=1, high=24, unit="columns", page=_BODY_PAGE)
DASHBOARD_WIDGETS = Limit(prop="widgets", low=0, high=500, unit="widgets", page=_LIMITS_PAGE)
ALARM_DESCRIPTION_LENGTH = Limit(prop="because", low=0, high=1024, unit="characters", page=ALARM_PAGE)
EVALUATION_SECONDS = Limit(prop="periods × period", low=10, high=604_800, unit="seconds", page=ALARM_PAGE)
