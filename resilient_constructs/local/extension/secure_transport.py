"""``aws:SecureTransport`` for calls over the loopback interface.

AWS: every SDK call uses TLS, and a queue that enforces it denies the others.
ministack 1.5.33: serves plain HTTP, so that every call to such a queue would be denied.
Here: the loopback interface counts as TLS. That a policy denies plain HTTP is proven on the template.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

from ministack import app
from ministack.core import iam_evaluator


def close() -> None:
    """Put it in place."""
    app.pin_request_origin = lambda source_ip, _secure: iam_evaluator._request_origin.set((source_ip, True))
