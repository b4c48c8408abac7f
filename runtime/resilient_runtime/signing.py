"""Signatures for ``execute-api``, by botocore."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from typing import Any

__all__ = ["Signer", "region_of"]

_HOST = re.compile(r"https?://[^/]*\bexecute-api\.([a-z0-9-]+)\.")


def region_of(url: str) -> str:
    """The region that an API's URL names, else ``AWS_REGION``.

    :raises ValueError: when neither does
    """
    found = _HOST.match(url)
    region = found.group(1) if found else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise ValueError(
            f"StorageFirstClient: no region in {url!r} and none in AWS_REGION; say region=, or auth='none'"
        )
    return region


class Signer:
    """Signs requests with the credentials of whoever runs this.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
    """

    def __init__(self, region: str) -> None:
        self.region = region
        self._credentials: Any = None
        self._lock = threading.Lock()

    def signed(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers with the signature's.

        :raises RuntimeError: when there is no botocore, or it finds no credentials
        """
        # Late on purpose: botocore takes 100 ms, and an open API needs none.
        try:
            from botocore.auth import SigV4Auth
            from botocore.awsrequest import AWSRequest
        except ImportError as error:
            raise RuntimeError(
                "StorageFirstClient: auth='iam' needs botocore, which is not installed: pip install botocore"
            ) from error
        request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
        SigV4Auth(self._frozen(), "execute-api", self.region).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}

    def _frozen(self) -> Any:
        from botocore.session import get_session

        with self._lock:  # making a session is not thread-safe
            if self._credentials is None:
                self._credentials = get_session().get_credentials()
        if self._credentials is None:
            raise RuntimeError(
                "StorageFirstClient: auth='iam', and botocore finds no credentials; "
                "https://docs.aws.amazon.com/boto3/latest/guide/credentials.html says where it looks"
            )
        return self._credentials.get_frozen_credentials()
