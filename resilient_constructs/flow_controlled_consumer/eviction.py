"""Messages that are too old to be done: from which age, where they are kept, and who may put them there."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct
from resilient_runtime.settings import EvictionSettings

from resilient_constructs import queues
from resilient_constructs.buckets import let_put
from resilient_constructs.limits import Faults
from resilient_constructs.places import unique_name
from resilient_constructs.tokens import is_token

from .choices import Chosen, Warned
from .limits import (
    EVICT_AFTER,
    QUEUE_PAGE,
    QUEUE_RETENTION_UNSET,
    TIMESTAMP_PAGE,
)

__all__ = ["check_eviction", "let_archive", "settings_of", "warn_of_eviction"]

_DAY = 86_400
# S3 keys have 1,024 bytes; a day, a time and a message's id take 70.
_PREFIX = 128


def check_eviction(
    faults: Faults,
    *,
    evict_after: float | None,
    archive: object,
    queue: sqs.IQueue | None,
    is_ours: bool,
    window: float,
) -> None:
    """Note an age at which nothing would be evicted or everything, and what would be ignored in silence.

    :param queue: a queue of the user's
    :param is_ours: whether the function has this package's runtime
    """
    if evict_after is None:
        if archive is not None:
            faults.add("archive", "given", "only together with evict_after", TIMESTAMP_PAGE)
        return
    if not is_ours:
        allowed = "None with a given function: only this package's runtime evicts, so give handler"
        faults.add("evict_after", _shown(evict_after), allowed, TIMESTAMP_PAGE)
    if is_token(evict_after):
        # it goes into the environment as a number written out, and a number token would be nonsense there
        faults.add("evict_after", "a token", "a duration known at synth", TIMESTAMP_PAGE)
        return
    if not EVICT_AFTER.allows(evict_after):
        faults.check(EVICT_AFTER, evict_after)
        return
    retention = _retention(queue)
    if retention is not None and evict_after >= retention:
        allowed = (
            f"less than the {retention:,.0f} seconds for which SQS keeps a message: nothing is left to evict"
        )
        faults.add("evict_after", evict_after, allowed, QUEUE_PAGE)
    if not is_token(window) and evict_after <= window:
        allowed = f"more than the batching_window of {window:g} seconds, in which each message grows old"
        faults.add("evict_after", evict_after, allowed, TIMESTAMP_PAGE)


def warn_of_eviction(chosen: Chosen, evict_after: float | None) -> list[Warned]:
    """What is legal and gives a message a single try."""
    visibility = chosen.visibility
    if evict_after is None or visibility is None or is_token(visibility) or evict_after > visibility:
        return []
    return [
        Warned(
            slug="evict-after",
            text=f"evict_after is {evict_after:g} s, but a message whose function died comes back only after"
            f" the visibility timeout of {visibility:g} s, and is then evicted untried. Raise evict_after"
            f" above {visibility:g} s ({TIMESTAMP_PAGE})",
        )
    ]


def settings_of(scope: Construct, archive: s3.IBucket, evict_after: float) -> EvictionSettings:
    """What the function is told: several consumers may share a bucket, so each has a prefix of its own."""
    prefix = f"{unique_name(scope, max_length=_PREFIX)}/"
    return EvictionSettings(after=evict_after, bucket=archive.bucket_name, prefix=prefix)


def let_archive(role: iam.IRole, archive: s3.IBucket, settings: EvictionSettings) -> None:
    """Allow a function to put objects under its own prefix, and to tell of them on the account's bus."""
    let_put(role, archive, settings.prefix)
    bus = f"{queues.arn_prefix('events')}event-bus/default"
    role.add_to_principal_policy(iam.PolicyStatement(actions=["events:PutEvents"], resources=[bus]))


def _retention(queue: sqs.IQueue | None) -> float | None:
    """How long a message is kept, in seconds; None where it cannot be told."""
    if queue is None:
        return queues.RETENTION_DAYS * _DAY
    resource = queue.node.default_child if isinstance(queue, sqs.Queue) else None
    if not isinstance(resource, sqs.CfnQueue):
        return None
    retention = resource.message_retention_period
    if retention is None:
        return QUEUE_RETENTION_UNSET
    return None if is_token(retention) else retention


def _shown(seconds: float) -> float | str:
    return "a token" if is_token(seconds) else seconds
