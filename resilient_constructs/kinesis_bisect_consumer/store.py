"""The poison store of a consumer: a queue, a bucket for what a message cannot hold, the keys that wait."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct
from resilient_runtime.settings import StreamSettings

from resilient_constructs import queues
from resilient_constructs.buckets import let_put, make_bucket
from resilient_constructs.limits import Faults
from resilient_constructs.places import unique_name
from resilient_constructs.resilient_function.granting import grant_sending

from .choices import OnPoison
from .limits import KINESIS_PAGE
from .sharing import claim, claim_made, claimed_by

__all__ = ["PoisonStore", "check_store", "make_store"]

# The names of resilient_runtime/stores/parked_keys.py.
_PARTITION_KEY = "name"
# S3 keys have 1,024 bytes; kind, shard and sequence number take about 100.
_PREFIX = 128


def check_store(
    faults: Faults,
    scope: Construct,
    *,
    on_poison: str,
    poison_queue: sqs.IQueue | None,
    parked_keys: dynamodb.ITable | None,
) -> None:
    """Note a store that could not keep what it is given, or that nobody would use."""
    modes = [mode.value for mode in OnPoison]
    if on_poison not in modes:
        faults.add("on_poison", on_poison, " or ".join(map(repr, modes)), KINESIS_PAGE)
    elif parked_keys is not None and on_poison != OnPoison.PARK:
        faults.add("parked_keys", "given", "only with on_poison='park'", KINESIS_PAGE)
    if poison_queue is not None and queues.facts_of(poison_queue).fifo:
        allowed = "a standard queue: what is read from it to be looked at would block its message group"
        faults.add("poison_queue", "a FIFO queue", allowed, KINESIS_PAGE)
    for prop, given in (("poison_queue", poison_queue), ("parked_keys", parked_keys)):
        other = None if given is None else claimed_by(scope, given)
        if other is not None:
            faults.add(prop, f"that of {other} as well", _ALONE[prop], KINESIS_PAGE)


_ALONE = {
    "poison_queue": (
        "a queue for each consumer: a record that both keep is one entry there, so replaying it to one's"
        " handler deletes it for the other"
    ),
    "parked_keys": (
        "a table for each consumer: a partition key that one parks would stop the other's records, and a"
        " replay of one frees it for both, out of order"
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PoisonStore:
    """Where poison is kept.

    :param parked_keys: which keys wait; None where none does
    :param prefix: what the keys in the bucket begin with; several consumers may share one
    :param settings: what functions are told of it
    """

    queue: sqs.IQueue
    bucket: s3.IBucket
    parked_keys: dynamodb.ITable | None
    prefix: str
    settings: StreamSettings

    def let_keep(self, grantee: iam.IGrantable) -> None:
        """Let a function keep records: what the runtime calls, and nothing that reads or deletes one."""
        grant_sending(self.queue, grantee)
        let_put(grantee, self.bucket, self.prefix)

    def let_park(self, grantee: iam.IGrantable) -> None:
        """Let a function read which keys wait, and add to them."""
        if self.parked_keys is not None:
            self.parked_keys.grant(grantee, "dynamodb:GetItem", "dynamodb:Scan", "dynamodb:UpdateItem")
            _use_key_of(self.parked_keys, grantee)

    def let_replay(self, grantee: iam.IGrantable) -> None:
        """Let someone look at what is kept, take it out, and free keys: ``resilient poison``."""
        self.queue.grant(
            grantee,
            "sqs:ReceiveMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:GetQueueUrl",
        )
        queue_key = queues.facts_of(self.queue).key
        if queue_key is not None:
            queue_key.grant(grantee, "kms:Decrypt")
        iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["s3:GetObject", "s3:DeleteObject"],
            resource_arns=[self.bucket.arn_for_objects(f"{self.prefix}*")],
        )
        # Who may not list the bucket is told of an object that is gone that access is denied. No condition on
        # the prefix: a request for an object has none, so it would never hold.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        iam.Grant.add_to_principal(
            grantee=grantee, actions=["s3:ListBucket"], resource_arns=[self.bucket.bucket_arn]
        )
        if self.bucket.encryption_key is not None:
            self.bucket.encryption_key.grant(grantee, "kms:Decrypt")
        if self.parked_keys is not None:
            self.parked_keys.grant(grantee, "dynamodb:DeleteItem", "dynamodb:Scan", "dynamodb:UpdateItem")
            _use_key_of(self.parked_keys, grantee)


def make_store(
    scope: Construct,
    *,
    on_poison: str,
    queue: sqs.IQueue | None,
    bucket: s3.IBucket | None,
    parked_keys: dynamodb.ITable | None,
    encryption_key: kms.IKey | None,
) -> PoisonStore:
    """Make what was not given."""
    if parked_keys is not None:
        claim(scope, parked_keys)
    elif on_poison == OnPoison.PARK:
        parked_keys = _make_table(scope)
        claim_made(scope, parked_keys)
    if queue is not None:
        claim(scope, queue)
    else:
        # "PoisonQueue" stands in the name that CloudFormation gives it: `resilient poison` looks for that
        queue = queues.make_undelivered_queue(scope, "PoisonQueue", encryption_key=encryption_key)
        claim_made(scope, queue)
    bucket = bucket or make_bucket(scope, "PoisonBucket", encryption_key)
    prefix = f"{unique_name(scope, max_length=_PREFIX)}/"
    return PoisonStore(
        queue=queue,
        bucket=bucket,
        parked_keys=parked_keys,
        prefix=prefix,
        settings=StreamSettings(
            poison_queue_url=queue.queue_url,
            poison_bucket=bucket.bucket_name,
            parked_table=None if parked_keys is None else parked_keys.table_name,
            poison_prefix=prefix,
        ),
    )


def _make_table(scope: Construct) -> dynamodb.Table:
    """Paid per request, restorable to any second of 35 days, without a time to live: keys wait for ever."""
    return dynamodb.Table(
        scope,
        "ParkedKeys",
        partition_key=dynamodb.Attribute(name=_PARTITION_KEY, type=dynamodb.AttributeType.STRING),
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        encryption=dynamodb.TableEncryption.AWS_MANAGED,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        # It goes with the queue that holds the records of these keys.
        removal_policy=RemovalPolicy.DESTROY,
    )


def _use_key_of(table: dynamodb.ITable, grantee: iam.IGrantable) -> None:
    if table.encryption_key is not None:
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
        table.encryption_key.grant_encrypt_decrypt(grantee)
