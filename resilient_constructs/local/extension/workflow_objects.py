"""Objects that a state machine writes.

AWS: ``aws-sdk:s3:putObject`` writes an object or an array as JSON, and a string as it is.
ministack 1.5.33: has no such task.
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import s3
from ministack.services import stepfunctions as sfn

__all__ = ["close"]


def close() -> None:
    """Put it in place."""
    invoke = sfn._invoke_aws_sdk_integration

    def invoke_or_put(resource: str, data: Any) -> Any:
        return _put(data) if resource.endswith(":aws-sdk:s3:putObject") else invoke(resource, data)

    sfn._invoke_aws_sdk_integration = invoke_or_put


def _put(data: dict[str, Any]) -> dict[str, Any]:
    body = data.get("Body", "")
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    headers = {"content-type": str(data.get("ContentType", "application/octet-stream"))}
    status, answered, text = s3._put_object(str(data["Bucket"]), str(data["Key"]), content, headers)
    if status >= 400:
        raise sfn._ExecutionError("S3.S3Exception", str(text))
    return {"ETag": answered.get("ETag", "")}
