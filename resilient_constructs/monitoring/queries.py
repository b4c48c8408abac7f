"""The questions that are asked of the runtime's records at night, as Logs Insights queries.

They read what the runtime writes to stdout: ``status``, ``correlation_id``, ``message_id``, ``service``,
``request_id``, ``attempt``, ``duration_ms``, ``error``, ``reason``.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from __future__ import annotations

from .signal import SavedQuery

__all__ = [
    "CORRELATION_ID",
    "DEADLINES",
    "LEAKS",
    "NEVER_COMPLETED",
    "POISON",
    "SAVED",
    "SAVED_OF_WORK",
    "STORY",
    "WENT_WRONG",
]

CORRELATION_ID = "correlation-id-to-follow"

STORY = SavedQuery(
    name="The story of one correlation id",
    query=f"""fields @timestamp, service, status, attempt, duration_ms, reason, error, message_id, @message
| filter correlation_id = "{CORRELATION_ID}"
| sort @timestamp asc
| limit 1000""",
)

# One attempt is one request of one service for one correlation id. What began within the last
# function timeout may still be at work. HELD is an end only where it counts: a message can be held unbegun.
NEVER_COMPLETED = SavedQuery(
    name="Started but never completed",
    query="""filter status in ["STARTED", "COMPLETED", "FAILED", "REJECTED"] or Held = 1
| fields strcontains(status, "STARTED") as is_start
| fields 1 - is_start as is_end
| stats sum(is_start) as started, sum(is_end) as ended, max(@timestamp) as last_seen
    by correlation_id, service, request_id
| filter started > ended
| sort last_seen desc
| limit 1000""",
)

# The record as a whole is asked for: which figures and stacks stand in it depends on what happened.
LEAKS = SavedQuery(
    name="What leaks, and what was done about it",
    query="""filter status in ["LEAK", "CLEANED", "RECYCLED", "EXITED", "REPLACED"]
| fields @timestamp, service, status, request_id, @message
| sort @timestamp desc
| limit 1000""",
)

DEADLINES = SavedQuery(
    name="Interrupted before the timeout",
    query="""filter status = "DEADLINE"
| fields @timestamp, service, correlation_id, request_id, @message
| sort @timestamp desc
| limit 1000""",
)

WENT_WRONG = SavedQuery(
    name="What went wrong lately",
    query="""fields @timestamp, service, status, attempt, reason, error, correlation_id
| filter status in ["FAILED", "REJECTED", "DEADLINE", "CIRCUIT"]
    or status in ["LEAK", "STALE", "UNCONFIGURED", "NOT_REMEMBERED"]
    or status in ["EVICTED", "NOT_ARCHIVED", "EVICTION_NOT_TOLD"]
    or status in ["POISONED", "NOT_KEPT", "EXPIRED"]
| sort @timestamp desc
| limit 100""",
)

POISON = SavedQuery(
    name="Which records are poison, and why",
    query="""filter status in ["POISONED", "PARKED", "NOT_KEPT", "RESOLVED", "EXPIRED"]
| fields @timestamp, service, status, shard, sequence_number, reason, error, correlation_id, @message
| sort @timestamp desc
| limit 1000""",
)

SAVED = {"StoryQuery": STORY, "NeverCompletedQuery": NEVER_COMPLETED}
"""What each stack saves over all of its log groups, by construct ID."""

SAVED_OF_WORK = {"DeadlinesQuery": DEADLINES, "LeaksQuery": LEAKS}
"""What each stack saves over the logs of its functions, which alone write such records."""
