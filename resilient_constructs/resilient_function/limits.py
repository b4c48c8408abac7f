"""What Lambda allows of a function, and the defaults of ``ResilientFunction``."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "DEADLINE_MARGIN",
    "ENVIRONMENT_SIZE",
    "EPHEMERAL_STORAGE",
    "HEALTH_THRESHOLD",
    "LAYERS",
    "MAX_EVENT_AGE",
    "MEMORY",
    "RESERVED_CONCURRENCY",
    "RESERVED_VARIABLES",
    "RETRY_ATTEMPTS",
    "TIMEOUT",
]

_QUOTAS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
ASYNC_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html"
CONCURRENCY_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"
HANDLER_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html"
KINESIS_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html"
LOGS_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html"
RUNTIMES_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html"
SQS_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html"
OLDEST_PYTHON_MINOR = 11  # resilient_runtime is written for Python 3.11 and later
VARIABLES_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"

TIMEOUT = Limit(prop="timeout", low=1, high=900, unit="seconds", page=_QUOTAS, default=30)
MEMORY = Limit(prop="memory_size", low=128, high=10_240, unit="MB", page=_QUOTAS, default=256)
EPHEMERAL_STORAGE = Limit(
    prop="ephemeral_storage_size",
    low=512,
    high=10_240,
    unit="MB",
    page="https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html",
)
DEADLINE_MARGIN = Limit(
    prop="deadline_margin",
    low=0,
    high=900,
    unit="seconds",
    page="https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html",
    whole=False,
)
# Of the headroom below Lambda's fixed limits. Below a tenth, noise would cure a healthy environment; above
# 0.95 the cure comes too late.
HEALTH_THRESHOLD = Limit(
    prop="health.threshold", low=0.1, high=0.95, unit="of the headroom", page=_QUOTAS, whole=False
)
LAYERS = Limit(prop="layers", low=0, high=4, unit="layers besides the runtime's own", page=_QUOTAS)
ENVIRONMENT_SIZE = Limit(
    prop="environment", low=0, high=4096, unit="bytes, all together", page=VARIABLES_PAGE
)
RESERVED_CONCURRENCY = Limit(
    prop="reserved_concurrency", low=0, high=None, unit="environments", page=CONCURRENCY_PAGE
)
RETRY_ATTEMPTS = Limit(prop="retry_attempts", low=0, high=2, unit="retries", page=ASYNC_PAGE, default=2)
MAX_EVENT_AGE = Limit(
    prop="max_event_age", low=60, high=21_600, unit="seconds", page=ASYNC_PAGE, default=21_600
)

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""Variables that Lambda sets itself and refuses from anyone else."""
