"""Where it is remembered which messages are done, so that a message that comes twice is handled once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resilient_runtime.settings import IdempotencySettings

from resilient_constructs.limits import Faults, Limit
from resilient_constructs.tokens import is_token, seconds

if TYPE_CHECKING:
    from aws_cdk import Duration
    from aws_cdk import aws_dynamodb as dynamodb
    from aws_cdk import aws_iam as iam
    from constructs import Construct

__all__ = ["Idempotency", "grant_remembering", "make_table"]

_PAGE = "https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/"

_DAY = 86_400
# SQS keeps a message for 14 days at most, and one that is sent back from a dead-letter queue starts anew.
_EXPIRES_AFTER = Limit(prop="expires_after", low=60, high=28 * _DAY, unit="seconds", page=_PAGE, default=_DAY)

# The names that Powertools' persistence layer uses where it is not told otherwise.
_PARTITION_KEY = "id"
_TIME_TO_LIVE = "expiration"


@dataclass(frozen=True, kw_only=True, slots=True)
class Idempotency:
    """Handle a message once, although its queue may deliver it twice.

    Each message costs two writes in DynamoDB, before and after its handler.

    :param table: a table with the partition key ``id`` (a string), no sort key, and the time-to-live
        attribute ``expiration``; several functions can share it. Default: one is made for this function
    :param expires_after: how long a finished message is remembered, 1 minute to 28 days, and longer than its
        queue's visibility timeout. Default: one day

    https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/
    """

    table: dynamodb.ITable | None = None
    expires_after: Duration | None = None

    def check(self, faults: Faults, *, visibility_timeout: float | None = None) -> None:
        """Note what is wrong with it.

        :param visibility_timeout: the queue's, in seconds: a message that was completed, but whose batch was
            lost, comes back only after it
        """
        expiry = self.expires_after_seconds
        if is_token(expiry):
            faults.add("idempotency expires_after", "a token", "a duration known at synth", _PAGE)
            return
        if not _EXPIRES_AFTER.allows(expiry):
            faults.add("idempotency expires_after", expiry, _EXPIRES_AFTER.allowed, _PAGE)
        elif (
            visibility_timeout is not None
            and not is_token(visibility_timeout)
            and expiry <= visibility_timeout
        ):
            allowed = f"more than the queue's visibility timeout, {visibility_timeout:g} seconds"
            faults.add("idempotency expires_after", expiry, allowed, _PAGE)
        key = _partition_key_of(self.table)
        if key is not None and key != _PARTITION_KEY:
            allowed = f"a table whose only key is {_PARTITION_KEY!r}, a string"
            faults.add("idempotency table", f"a table with the key {key}", allowed, _PAGE)

    @property
    def expires_after_seconds(self) -> float:
        """How long a finished message is remembered; a number token where only the deployment knows."""
        return seconds(self.expires_after, default=_EXPIRES_AFTER.default or 0)

    def settings(self, table_name: str) -> IdempotencySettings:
        """What the function is told of it."""
        return IdempotencySettings(table_name=table_name, expires_after=self.expires_after_seconds)


def make_table(scope: Construct) -> dynamodb.Table:
    """The table that remembers: paid per request, encrypted, restorable to any second of 35 days.

    It goes with its stack: what it remembers is of use for a day, to functions that are gone then too.
    """
    from aws_cdk import RemovalPolicy
    from aws_cdk import aws_dynamodb as dynamodb

    return dynamodb.Table(
        scope,
        "Idempotency",
        partition_key=dynamodb.Attribute(name=_PARTITION_KEY, type=dynamodb.AttributeType.STRING),
        time_to_live_attribute=_TIME_TO_LIVE,
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        encryption=dynamodb.TableEncryption.AWS_MANAGED,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        removal_policy=RemovalPolicy.DESTROY,
    )


def grant_remembering(table: dynamodb.ITable, grantee: iam.IGrantable) -> None:
    """Allow the function what its memory needs: to put, update and delete items, and to use the table's key.

    Reading is not among it: DynamoDB returns the item that is there with the refusal of a conditional put.
    """
    table.grant(grantee, "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
    key = table.encryption_key
    if key is not None:
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
        key.grant_encrypt_decrypt(grantee)


def _partition_key_of(table: dynamodb.ITable | None) -> str | None:
    """The keys of a table that this app makes, in words; None where they cannot be known."""
    if table is None:
        return None
    from aws_cdk import aws_dynamodb as dynamodb

    if not isinstance(table, dynamodb.Table):
        return None
    schema = table.schema()
    keys = (schema.partition_key, schema.sort_key)
    return " and ".join(key.name for key in keys if key is not None)
