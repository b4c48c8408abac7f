"""The bucket for inputs that are too large for Step Functions, one per stack."""

from __future__ import annotations

from functools import cache

from aws_cdk import Annotations, Duration
from aws_cdk import aws_s3 as s3
from constructs import Construct

from resilient_constructs.buckets import is_key_known
from resilient_constructs.places import identity_of, settle, stack_of

from .limits import CLAIM_DAYS, KEYS_PAGE

__all__ = ["Claims", "warn_of_unknown_key"]

_CONSTRUCT_ID = "ResilientClaims"


class Claims:
    """Large inputs of all workflows of a stack: each lies under the digest of its content.

    One bucket for all workflows: none can read another's inputs without knowing their digest.
    https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#avoid-exec-failures
    """

    # By the stack's identity, as with the runtime layer.
    _made: dict[str, s3.Bucket] = {}  # noqa: RUF012  the one registry of the process, on purpose

    @classmethod
    def of(cls, scope: Construct) -> s3.Bucket:
        """The bucket of the stack that ``scope`` is in, made when it is first asked for.

        It is kept when the stack goes: what is in it is work.
        """
        stack = stack_of(scope)
        identity = identity_of(stack)
        bucket = cls._made.get(identity)
        if bucket is None:
            bucket = cls._made[identity] = s3.Bucket(
                stack,
                _CONSTRUCT_ID,
                block_public_access=_block_public(),
                encryption=s3.BucketEncryption.S3_MANAGED,
                enforce_ssl=True,
                lifecycle_rules=[
                    s3.LifecycleRule(
                        expiration=_days(CLAIM_DAYS),
                        abort_incomplete_multipart_upload_after=_days(1),
                        enabled=True,
                    )
                ],
            )
            settle(bucket, stack, _CONSTRUCT_ID)
        return bucket


def warn_of_unknown_key(scope: Construct, bucket: s3.IBucket) -> None:
    """Say once of a given bucket that nobody here knows whether it needs the use of a key."""
    if not is_key_known(bucket):
        Annotations.of(scope).add_warning_v2(
            "resilient:BreakerWorkflow/claims",
            "claims is imported, and whether a customer key encrypts it is not known here. If one does, large"
            " inputs are never started: import it by Bucket.from_bucket_attributes with encryption_key, or"
            " allow kms:GenerateDataKey to the starter's role and kms:Decrypt to whoever reads large inputs"
            f" ({KEYS_PAGE})",
        )


@cache
def _block_public() -> s3.BlockPublicAccess:
    return s3.BlockPublicAccess.BLOCK_ALL


@cache
def _days(days: int) -> Duration:
    return Duration.days(days)
