"""The IAM actions of one event source mapping.

AWS: reading, changing and deleting one mapping are actions of their own, granted on its ARN.
ministack 1.5.33: takes reading one for ListEventSourceMappings, and asks nobody about the other two.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_lambda.html
"""

from __future__ import annotations

from ministack.core import iam_actions

__all__ = ["close"]

_ACTIONS = {
    "GET": "GetEventSourceMapping",
    "PUT": "UpdateEventSourceMapping",
    "DELETE": "DeleteEventSourceMapping",
}


def close() -> None:
    """Put it in place."""
    otherwise = iam_actions._lambda_action

    def lambda_action(method: str, path: str) -> str | None:
        parts = [part for part in path.split("/") if part]
        if "functions" not in parts and "event-source-mappings" in parts[:-1]:
            return _ACTIONS.get(method)
        found: str | None = otherwise(method, path)
        return found

    iam_actions._lambda_action = lambda_action
