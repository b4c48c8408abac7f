"""Limits and defaults of a bus and its subscriptions, each with its AWS page."""

from __future__ import annotations

from resilient_constructs.limits import Limit

__all__ = [
    "ARCHIVE_PAGE",
    "ENCRYPTED_QUEUE_PAGE",
    "FIFO_PAGE",
    "PATTERN_PAGE",
    "RETENTION",
    "RETRY_AGE",
    "RETRY_ATTEMPTS",
]

ARCHIVE_PAGE = "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_CreateArchive.html"
PATTERN_PAGE = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html"
FIFO_PAGE = "https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_SqsParameters.html"
ENCRYPTED_QUEUE_PAGE = (
    "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html"
    "#compatibility-with-aws-services"
)
_RETRY_PAGE = "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html"

# 0 would keep events for ever; an archive without an end is a cost without one.
RETENTION = Limit(prop="archive_for", low=1, high=None, unit="days", page=ARCHIVE_PAGE, default=30)
RETRY_AGE = Limit(prop="retry_for", low=60, high=86_400, unit="seconds", page=_RETRY_PAGE, default=86_400)
RETRY_ATTEMPTS = Limit(prop="retry_attempts", low=0, high=185, unit="retries", page=_RETRY_PAGE, default=185)
