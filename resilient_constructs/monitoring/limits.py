"""What CloudWatch and SNS allow, each with the page that says so."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "ALARM_DESCRIPTION",
    "ALARM_METRICS",
    "ALARM_PAGE",
    "ALARM_SHORT_WINDOW",
    "ALARM_WARM_UP",
    "ALARM_WINDOW",
    "DASHBOARD_WIDGETS",
    "GRID_COLUMNS",
    "QUERY_LOG_GROUPS",
    "SUBSCRIBE_PAGE",
    "WIDGET_ALARMS",
]

_API = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference"
SUBSCRIBE_PAGE = "https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html"
ALARM_PAGE = f"{_API}/API_PutMetricAlarm.html"
_BODY_PAGE = f"{_API}/CloudWatch-Dashboard-Body-Structure.html"
_QUOTAS_PAGE = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html"
_MATH_PAGE = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-limits.html"
_QUERY_PAGE = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html"

ALARM_DESCRIPTION = Limit(prop="description", low=0, high=1024, unit="characters", page=ALARM_PAGE)
ALARM_METRICS = Limit(prop="metric.metrics", low=1, high=10, unit="metrics", page=_MATH_PAGE)
# "must be 604,800 seconds or less" with periods of an hour and longer, a day below that
ALARM_WINDOW = Limit(prop="periods × period", low=10, high=604_800, unit="seconds", page=ALARM_PAGE)
ALARM_WARM_UP = Limit(
    prop="warm_up", low=1, high=2880, unit="minutes", page=f"{_API}/API_WarmUpConfiguration.html"
)
ALARM_SHORT_WINDOW = Limit(prop="periods × period", low=10, high=86_400, unit="seconds", page=ALARM_PAGE)

GRID_COLUMNS = Limit(prop="x + width", low=1, high=24, unit="columns", page=_BODY_PAGE)
DASHBOARD_WIDGETS = Limit(prop="widgets", low=0, high=500, unit="widgets", page=_QUOTAS_PAGE)
WIDGET_ALARMS = Limit(prop="alarms", low=1, high=100, unit="alarms", page=_BODY_PAGE)
QUERY_LOG_GROUPS = Limit(prop="log_groups", low=1, high=50, unit="log groups", page=_QUERY_PAGE)
