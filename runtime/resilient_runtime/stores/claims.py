"""S3, as a place for inputs that are too large for an execution, until whoever works on them claims them.

Needs ``s3:PutObject`` for whoever stores, ``s3:GetObject`` for whoever reads. Without ``s3:ListBucket``, S3
says of an object that is gone that access to it is denied.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from resilient_runtime.reject import Reject

from .clients import Once, client
from .refusals import code_of, said_by
from .remedies import remedy_for

__all__ = ["CallsS3", "ClaimNotRead", "NotKept", "S3Claims"]

_KEY = re.compile(r"work/([0-9a-f]{64})\.json").fullmatch


class NotKept(Exception):  # noqa: N818  it reads as what happened
    """An input is not known to be kept."""


class ClaimNotRead(Exception):  # noqa: N818  like NotKept
    """An input could not be read now; that says nothing about what it is for."""


class CallsS3(Protocol):
    """The two calls of botocore's client that are used here."""

    def put_object(self, **arguments: Any) -> Mapping[str, Any]:
        """See API_PutObject."""
        ...

    def get_object(self, **arguments: Any) -> Mapping[str, Any]:
        """See API_GetObject."""
        ...


class S3Claims:
    """Inputs in buckets, each under the digest of its content.

    So the same input is kept once however often it is delivered, and nobody can claim what they do not know:
    whoever may send a message must not choose what this function's role reads.

    :param bucket: where they are stored. Default: nowhere, they are only read
    :param connect: makes the client when the first input is kept or read
    """

    def __init__(
        self,
        bucket: str = "",
        connect: Callable[[], CallsS3] = lambda: client("s3", read_timeout=10, attempts=3),
    ) -> None:
        self._bucket = bucket
        self._client = Once(connect)

    def store(self, text: str) -> Mapping[str, Any]:
        """Keep an input; when this returns, S3 has confirmed it.

        :param text: the input, as JSON
        :returns: the claim: bucket, key, and size in bytes
        :raises NotKept: when it is not known to be kept
        """
        from hashlib import sha256

        content = text.encode()
        key = f"work/{sha256(content).hexdigest()}.json"
        try:
            self._client().put_object(
                Bucket=self._bucket, Key=key, Body=content, ContentType="application/json"
            )
        except Exception as error:
            remedy = (
                f"Deploy the workflow again: the bucket {self._bucket} is not there"
                if code_of(error) == "NoSuchBucket"
                else remedy_for(error, "s3:PutObject")
            )
            raise NotKept(
                f"an input of {len(content):,} bytes could not be kept in {self._bucket}: {said_by(error)}. "
                f"{remedy}. The message returned to its queue, and is tried again"
            ) from error
        return {"bucket": self._bucket, "key": key, "size": len(content)}

    def read(self, claim: Mapping[str, Any]) -> str:
        """An input that was kept.

        :raises Reject: when it is no claim, or what was claimed is not there any more
        :raises ClaimNotRead: when S3 does not give it now
        """
        from hashlib import sha256

        bucket, key = str(claim.get("bucket")), str(claim.get("key"))
        named = _KEY(key)
        if named is None:
            raise Reject(f"{key!r} claims no input: that is work/, the SHA-256 of the content, and .json")
        try:
            content: bytes = self._client().get_object(Bucket=bucket, Key=key)["Body"].read()
        except Exception as error:
            if code_of(error) in ("NoSuchKey", "404"):
                raise Reject(
                    f"the input {key} is not in {bucket} any more: it has expired, or was deleted; the work "
                    "has to be sent again"
                ) from error
            raise ClaimNotRead(
                f"the input {key} in {bucket} cannot be read: {said_by(error)}. "
                f"{remedy_for(error, 's3:GetObject')}"
            ) from error
        if sha256(content).hexdigest() != named[1]:
            raise Reject(f"the input {key} in {bucket} is not what was kept there: its digest is another")
        return content.decode()
