"""What a distributed map's ResultWriter leaves in S3.

AWS: a manifest that names the files of what succeeded, failed and is pending; each file describes executions.
ministack 1.5.33: ignores ResultWriter. Nothing is replaced here; ``distributed_map`` does.
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import s3
from ministack.services import stepfunctions as sfn

from .workflow_permissions import require

__all__ = ["write_results"]

_FAILED = "States.ResultWriterFailed"


def write_results(record: dict[str, Any], writer: dict[str, Any] | None, children: int) -> Any:
    """Write them, and return the state's result; None where there is no place for them.

    :param record: the Map Run
    :param children: how many executions it consists of
    """
    target = {} if writer is None else writer.get("Arguments") or writer.get("Parameters") or {}
    if not target:
        return None
    run, bucket = record["mapRunArn"], str(target["Bucket"])
    folder = "/".join(
        part for part in (str(target.get("Prefix", "")).strip("/"), run.rpartition(":")[2]) if part
    )
    described: dict[str, list[Any]] = {"SUCCEEDED": [], "FAILED": [], "PENDING": []}
    # After a redrive an item has several: the last one counts.
    latest = {one["index"]: one for one in sfn._executions.values() if one.get("mapRunArn") == run}
    for index in range(children):
        one = latest.get(index)
        if one is not None:
            described[one["status"]].append(_described(one))
    files = {
        status: [_put(bucket, f"{folder}/{status}_0.json", told)] if told else []
        for status, told in described.items()
    }
    key = f"{folder}/manifest.json"
    _put(bucket, key, {"DestinationBucket": bucket, "MapRunArn": run, "ResultFiles": files})
    return {"MapRunArn": run, "ResultWriterDetails": {"Bucket": bucket, "Key": key}}


def _put(bucket: str, key: str, value: Any) -> dict[str, Any]:
    require("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}", error=_FAILED)
    content = json.dumps(value).encode()
    status, _, body = s3._put_object(bucket, key, content, {"content-type": "application/json"})
    if status >= 400:
        raise sfn._ExecutionError(_FAILED, f"s3://{bucket}/{key}: {body!r}")
    return {"Key": key, "Size": len(content)}


def _described(one: dict[str, Any]) -> dict[str, Any]:
    """A child as ResultWriter describes it."""
    told = {
        "ExecutionArn": one["executionArn"],
        "Input": one["input"],
        "InputDetails": {"Included": True},
        "Name": one["name"],
        "StartDate": one["startDate"],
        "StateMachineArn": one["stateMachineArn"],
        "Status": one["status"],
        "StopDate": one["stopDate"],
    }
    if one["status"] == "SUCCEEDED":
        return told | {"Output": one["output"], "OutputDetails": {"Included": True}}
    return told | {"Error": one.get("error"), "Cause": one.get("cause")}
