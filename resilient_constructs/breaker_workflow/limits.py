"""What Step Functions allows of a workflow, and the defaults of ``BreakerWorkflow``."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "ALARM_AGE",
    "ATTEMPTS",
    "BACKOFF_RATE",
    "BASICS_PAGE",
    "CALLBACK_PAGE",
    "CLAIMS_PAGE",
    "CLAIM_DAYS",
    "ECS_PAGE",
    "ERRORS_PAGE",
    "EXPRESS_TIMEOUT",
    "FORBIDDEN_HEADERS",
    "HISTORY_EVENTS",
    "HTTP_METHODS",
    "HTTP_PAGE",
    "HTTP_TIMEOUT",
    "IAM_PAGE",
    "INTERVAL",
    "KEEP_PARKED",
    "KEYS_PAGE",
    "LONGEST_INTERVAL",
    "MAX_CONCURRENCY",
    "MOST_ATTEMPTS",
    "NESTED_PAGE",
    "POLLING_PAGE",
    "QUEUE_PAGE",
    "QUEUE_VISIBILITY_UNSET",
    "SCHEDULE_PAGE",
    "SDK_PAGE",
    "STARTS_PER_SECOND",
    "TASK_PAGE",
    "TIMEOUT",
]

_QUOTAS = "https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"
BASICS_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html"
CALLBACK_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html"
CLAIMS_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html"
ECS_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.html"
ERRORS_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"
HTTP_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html"
IAM_PAGE = (
    "https://docs.aws.amazon.com/service-authorization/latest/reference"
    "/reference_policies_actions-resources-contextkeys.html"
)
KEYS_PAGE = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html"
NESTED_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html"
QUEUE_PAGE = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-types.html"
POLLING_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"
SCHEDULE_PAGE = "https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html"
SDK_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html"
TASK_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html"

# Long enough for a parked day; an execution that waits costs nothing, one that is forgotten costs attention.
TIMEOUT = Limit(prop="timeout", low=1, high=31_536_000, unit="seconds", page=_QUOTAS, default=86_400)
EXPRESS_TIMEOUT = Limit(
    prop="timeout", low=1, high=300, unit="seconds of an Express workflow", page=_QUOTAS, default=300
)
HTTP_TIMEOUT = Limit(
    prop="work.timeout", low=1, high=60, unit="seconds of an HTTP task", page=_QUOTAS, default=60
)

HISTORY_EVENTS = 25_000
"""A Standard execution fails when its history has as many events. The same quota page."""
# An attempt that fails writes some 30 events, and up to three more for each retry of the platform's errors.
# A hundred apiece leave room for parking, claiming and giving up.
MOST_ATTEMPTS = HISTORY_EVENTS // 100
"""How many attempts all retry rules together may have."""
ATTEMPTS = Limit(prop="attempts", low=0, high=MOST_ATTEMPTS, unit="further attempts", page=_QUOTAS, default=5)
# A Wait state's longest: https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html
_WAIT_PAGE = "https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html"
INTERVAL = Limit(
    prop="interval", low=0, high=99_999_999, unit="seconds", page=_WAIT_PAGE, default=2, whole=False
)
LONGEST_INTERVAL = Limit(
    prop="longest", low=0, high=99_999_999, unit="seconds", page=_WAIT_PAGE, default=60, whole=False
)
BACKOFF_RATE = Limit(
    prop="rate", low=1, high=100, unit="times longer each time", page=ERRORS_PAGE, default=2, whole=False
)

# StartExecution is let through 150 times a second for a whole account outside of the three largest regions
# (300 in those), 6,000 times for Express; new accounts begin lower and are raised with use. A hundred leaves
# some of that to others.
STARTS_PER_SECOND = Limit(
    prop="starts_per_second",
    low=0.001,
    high=6000,
    unit="starts a second",
    page=_QUOTAS,
    default=100,
    whole=False,
)
MAX_CONCURRENCY = Limit(prop="max_concurrency", low=1, high=1_000_000, unit="executions", page=_QUOTAS)
# SQS keeps nothing longer than 14 days.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
_KEPT_PAGE = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html"
)
KEEP_PARKED = Limit(
    prop="keep_parked_for", low=60, high=1_209_600, unit="seconds", page=_KEPT_PAGE, default=1_209_600
)
ALARM_AGE = Limit(
    prop="alarm_when_older_than", low=60, high=1_209_600, unit="seconds", page=_KEPT_PAGE, default=3600
)

# What SQS takes when a queue's visibility timeout is not set.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
QUEUE_VISIBILITY_UNSET = 30

CLAIM_DAYS = 120
"""How long large inputs are kept: 14 days in a queue, an execution's own time, and 90 days in which Step
Functions still shows it and an operator may want to start it again. The quota page."""

HTTP_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
"""What an HTTP task can say. ``HTTP_PAGE``."""
FORBIDDEN_HEADERS = frozenset(
    {
        "a-im",
        "accept-charset",
        "accept-datetime",
        "accept-encoding",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-md5",
        "date",
        "expect",
        "forwarded",
        "from",
        "host",
        "http2-settings",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authorization",
        "referer",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "warning",
    }
)
"""Headers with which an HTTP task fails for good (``States.Runtime``, which nothing catches), as do those
that begin with ``x-forwarded-``, ``x-amz-`` and ``x-amzn-``. ``HTTP_PAGE``."""
