"""S3 buckets with this project's defaults, for what nobody may lose: encrypted, TLS only, kept."""

from __future__ import annotations

from functools import cache
from weakref import WeakKeyDictionary

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

__all__ = ["is_key_known", "let_get", "let_put", "make_bucket"]

# How long it keeps what was written over or deleted by mistake.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
_NONCURRENT_DAYS = 30


def make_bucket(scope: Construct, construct_id: str, encryption_key: kms.IKey | None) -> s3.Bucket:
    """Make a bucket: encrypted, TLS only, closed to the public, versioned, and kept when its stack goes.

    What lies in it stays until someone takes it out, for nobody has looked at it yet; only versions that were
    written over or deleted end after a while.
    """
    encryption = s3.BucketEncryption.S3_MANAGED if encryption_key is None else s3.BucketEncryption.KMS
    bucket = s3.Bucket(
        scope,
        construct_id,
        encryption=encryption,
        encryption_key=encryption_key,
        # else each object is a call of KMS of its own, and they come by the thousand
        bucket_key_enabled=None if encryption_key is None else True,
        block_public_access=_closed(),
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        versioned=True,
        lifecycle_rules=[_ends_what_was_replaced()],
        removal_policy=RemovalPolicy.RETAIN,
    )
    _keys[bucket] = encryption_key
    return bucket


def let_put(role: iam.IGrantable, bucket: s3.IBucket, prefix: str) -> None:
    """Allow putting objects under a prefix, and the use of the bucket's customer key for it."""
    objects = bucket.arn_for_objects(f"{prefix}*")
    iam.Grant.add_to_principal(grantee=role, actions=["s3:PutObject"], resource_arns=[objects])
    key = _key_of(bucket)
    if key is not None:
        # All that an upload in one piece needs.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
        key.grant(role, "kms:GenerateDataKey")


def let_get(grantee: iam.IGrantable, bucket: s3.IBucket, prefix: str) -> iam.Grant:
    """Allow getting objects under a prefix, and the use of the bucket's customer key for it.

    Who may not list the bucket is told of an object that is gone that access is denied, and would try again.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    objects = bucket.arn_for_objects(f"{prefix}*")
    got = iam.Grant.add_to_principal(grantee=grantee, actions=["s3:GetObject"], resource_arns=[objects])
    listed = iam.Grant.add_to_principal(
        grantee=grantee, actions=["s3:ListBucket"], resource_arns=[bucket.bucket_arn]
    )
    granted = got.combine(listed)
    key = _key_of(bucket)
    return granted if key is None else granted.combine(key.grant(grantee, "kms:Decrypt"))


def is_key_known(bucket: s3.IBucket) -> bool:
    """Whether it is known from here with which key the bucket encrypts; of an imported one it seldom is."""
    return isinstance(bucket, s3.Bucket) or _key_of(bucket) is not None


# Remembered for buckets made here, read from any other: asking is a round trip to Node.
_keys: WeakKeyDictionary[s3.IBucket, kms.IKey | None] = WeakKeyDictionary()


def _key_of(bucket: s3.IBucket) -> kms.IKey | None:
    if bucket not in _keys:
        _keys[bucket] = bucket.encryption_key
    return _keys[bucket]


@cache
def _closed() -> s3.BlockPublicAccess:
    return s3.BlockPublicAccess.BLOCK_ALL


@cache
def _ends_what_was_replaced() -> s3.LifecycleRule:
    return s3.LifecycleRule(noncurrent_version_expiration=Duration.days(_NONCURRENT_DAYS))
