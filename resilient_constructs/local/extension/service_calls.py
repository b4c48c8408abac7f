"""Calls that one AWS service makes to another, under the role that the user gave it.

AWS: API Gateway, EventBridge and others assume a role and call with its rights; a missing grant is an
AccessDenied.
ministack 1.5.33: calls from inside go straight to the other service's functions, whatever the role may do.
Here: the call goes through the same dispatcher as one from outside, with a session of that role.
https://docs.aws.amazon.com/apigateway/latest/developerguide/permissions.html
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from ministack import app
from ministack.core import iam_evaluator, responses
from ministack.services import sts

__all__ = ["Answer", "ServiceCall", "send"]

_MINISTACKS_ROOT = "test"
_sessions_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceCall:
    """A request to an AWS service.

    :param service: its signing name, ``sqs`` or ``events``
    :param region: the region
    :param account: the account that the resource is in
    :param role: ARN of the role it is made under
    :param session: how the calling service names its session
    :param path: the path
    :param headers: headers, names in lower case
    :param body: the body
    """

    service: str
    region: str
    account: str
    role: str | None
    session: str
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the service said."""

    status: int
    body: str


def close() -> None:
    """Nothing is replaced here; the other files call ``send``."""


async def send(call: ServiceCall) -> Answer:
    """Make the call and wait for the answer."""
    # In a context of its own: the request that caused it is anonymous, this one is signed by the role.
    task = asyncio.get_running_loop().create_task(_dispatch(call), context=contextvars.copy_context())
    return await task


async def _dispatch(call: ServiceCall) -> Answer:
    key = _session_key(call) if call.role else _MINISTACKS_ROOT
    responses._request_account_id.set(call.account)
    responses._request_region.set(call.region)
    iam_evaluator._anonymous.set(False)
    # Trusted instead of signed: it never left this process, there is no signature to check.
    iam_evaluator._signed_request.set(None)
    iam_evaluator._verified_key.set(key)
    now = datetime.now(UTC)
    headers = {
        "host": f"{call.service}.{call.region}.amazonaws.com",
        **call.headers,
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        "authorization": (
            f"AWS4-HMAC-SHA256 Credential={key}/{now:%Y%m%d}/{call.region}/{call.service}/aws4_request, "
            "SignedHeaders=host, Signature=inside"
        ),
    }
    status, _, body = await app._dispatch_service_request(
        "POST", call.path, headers, call.body.encode(), {}, str(uuid4())
    )
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return Answer(status=status, body=text)


def _session_key(call: ServiceCall) -> str:
    """The access key of a session of the role, the same one for the same caller."""
    digest = hashlib.sha256(f"{call.session}:{call.role}".encode()).hexdigest()
    key = f"ASIA{digest[:16].upper()}"
    role = str(call.role).rsplit("/", 1)[-1]
    account = re.sub(r"^arn:[^:]*:iam::(\d+):.*$", r"\1", str(call.role))
    with _sessions_lock:
        if key not in sts._sessions:
            sts.register_session(
                key,
                {
                    "Arn": f"arn:aws:sts::{account}:assumed-role/{role}/{call.session}",
                    "UserId": f"{role}:{call.session}",
                    "SecretAccessKey": digest,
                    "SessionToken": digest,
                },
            )
    return key
