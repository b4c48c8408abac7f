"""``ssm:GetParameters`` is allowed for the parameters that it names.

AWS: each parameter in the call is authorized by its own ARN, and one that is not allowed refuses the call.
ministack 1.5.33: authorizes the call on ``*``, so that a policy which names parameters never allows it.
https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_actions, iam_evaluator

__all__ = ["close"]

_ACTION = "ssm:GetParameters"
_named: ContextVar[tuple[str, ...]] = ContextVar("resilient_named_parameters", default=())


def close() -> None:
    """Put it in place, outside of what records calls: each parameter is a call of its own there."""
    extract, enforce = iam_actions.extract_resource_arn, iam_evaluator.enforce

    def extract_noting(
        service: str, method: str, path: str, headers: Any, body: Any, query: Any, region: str, account: str
    ) -> Any:
        _named.set(_parameters(body, region, account) if service == "ssm" else ())
        return extract(service, method, path, headers, body, query, region, account)

    def enforce_each(
        access_key: str, action: str, service: str, region: str, resource_arn: str = "*", **options: Any
    ) -> Any:
        denied = None
        for arn in (action == _ACTION and _named.get()) or (resource_arn,):
            denied = enforce(access_key, action, service, region, resource_arn=arn, **options)
            if denied:
                break
        return denied

    iam_actions.extract_resource_arn = extract_noting
    iam_evaluator.enforce = enforce_each


def _parameters(body: Any, region: str, account: str) -> tuple[str, ...]:
    try:
        names = json.loads(body or b"{}").get("Names") or ()
    except (ValueError, AttributeError):
        return ()
    return tuple(_arn(str(name), region, account) for name in names)


def _arn(name: str, region: str, account: str) -> str:
    if name.startswith("arn:"):
        return ":".join(name.split(":")[:6])
    # a version or a label may follow; the ARN is without
    return f"arn:aws:ssm:{region}:{account}:parameter/{name.partition(':')[0].lstrip('/')}"
