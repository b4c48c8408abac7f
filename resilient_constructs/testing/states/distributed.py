"""A distributed Map: executions of their own for each item or group of items, and what they leave in S3.

S3 is a dict of the test's, by bucket and key. Items come from the state, from a listing, or from an object of
JSON, JSON Lines or CSV; the manifest and its files are written as AWS does, one file per outcome.
https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from .branch import Branch
from .errors import StatesError
from .times import timestamp

__all__ = ["MapRun"]

_READER_FAILED = "States.ItemReaderFailed"


class MapRun:
    """One Map Run.

    :param owner: the branch whose state this is
    """

    def __init__(self, owner: Branch) -> None:
        self._owner, self._state = owner, owner.state
        self._execution = owner.execution
        machine = self._execution.context["StateMachine"]["Id"]
        label = self._state.get("Label", "label")
        self._machine = f"{machine}/{label}"
        self.arn = f"{machine.replace(':stateMachine:', ':mapRun:')}/{label}:{len(self._execution.map_runs)}"
        self._children: list[Any] = []
        self._sizes: list[int] = []
        self._told: dict[int, dict[str, Any]] = {}
        self._open: dict[int, Branch] = {}
        self._begun = 0
        self._is_over = False
        self._most = 0
        self._tolerated = 0.0

    def begin(self) -> None:
        """Begin as many as may run at once.

        :raises StatesError: when the items cannot be read
        """
        items = self._items()
        selected = [self._selected(index, item) for index, item in enumerate(items)]
        batcher = self._owner.field("ItemBatcher") if "ItemBatcher" in self._state else None
        self._children = selected if batcher is None else _batches(selected, batcher)
        self._sizes = [1 if batcher is None else len(child["Items"]) for child in self._children]
        self._most = int(self._number("MaxConcurrency", 0)) or len(self._children)
        limits = [self._number("ToleratedFailurePercentage", 0) * len(items) / 100]
        if "ToleratedFailureCount" in self._state:
            count = self._number("ToleratedFailureCount", 0)
            limits = [*(limits if "ToleratedFailurePercentage" in self._state else ()), count]
        self._tolerated = min(limits)
        self._execution.map_runs[self.arn] = self.described()
        if not self._children:
            self._finish()
        for _ in range(min(int(self._most), len(self._children))):
            self._begin_next()

    def described(self) -> dict[str, Any]:
        """As DescribeMapRun tells of it."""
        counts = {"Succeeded": 0, "Failed": 0, "Aborted": 0, "TimedOut": 0, "Running": 0, "Pending": 0}
        for index, size in enumerate(self._sizes):
            counts[self._status(index).capitalize()] += size
        return {"MapRunArn": self.arn, "ItemCounts": {**counts, "Total": sum(self._sizes)}}

    def _status(self, index: int) -> str:
        if index in self._told:
            return str(self._told[index]["Status"])
        if self._is_over:
            return "ABORTED" if index < self._begun else "PENDING"
        return "RUNNING" if index < self._begun else "PENDING"

    def _number(self, name: str, otherwise: float) -> float:
        return float(self._owner.field(name)) if name in self._state else otherwise

    def _items(self) -> list[Any]:
        if "ItemReader" not in self._state:
            items = self._owner.field("Items")
            if not isinstance(items, list):
                raise StatesError("States.QueryEvaluationError", "Items is no array")
            return items
        reader = self._owner.field("ItemReader")
        bucket, arguments = reader["Arguments"]["Bucket"], reader["Arguments"]
        if reader["Resource"].endswith(":s3:listObjectsV2"):
            prefix = arguments.get("Prefix", "")
            return [
                {"Key": key, "Size": len(content)}
                for (where, key), content in sorted(self._execution.objects.items())
                if where == bucket and key.startswith(prefix)
            ]
        content = self._execution.objects.get((bucket, arguments["Key"]))
        if content is None:
            raise StatesError(_READER_FAILED, f"no object {arguments['Key']} in {bucket}")
        try:
            return _parsed(content.decode(), reader.get("ReaderConfig", {}))
        except ValueError as fault:
            raise StatesError(_READER_FAILED, f"{arguments['Key']} cannot be read: {fault}") from None

    def _selected(self, index: int, item: Any) -> Any:
        if "ItemSelector" not in self._state:
            return item
        return self._owner.field_for_item("ItemSelector", index, item)

    def _begin_next(self) -> None:
        if self._is_over or self._begun >= len(self._children):
            return
        index = self._begun
        self._begun += 1
        name = f"{self._execution.name}-child-{index}"
        start = timestamp(self._execution.moment.clock())
        arn = f"{self._machine.replace(':stateMachine:', ':execution:')}:{name}"
        context = {
            "Execution": {
                **self._execution.context["Execution"],
                "Id": arn,
                "Name": name,
                "Input": self._children[index],
                "StartTime": start,
            },
            "StateMachine": {"Id": self._machine, "Name": self._machine.rpartition(":")[2]},
        }

        def ended(output: Any, error: StatesError | None) -> None:
            self._ended(index, arn, output, error)

        child = Branch(self._state["ItemProcessor"], self._execution, {}, context, ended)
        self._owner.add(child)
        child.begin(json.loads(json.dumps(self._children[index])))

    def _ended(self, index: int, arn: str, output: Any, error: StatesError | None) -> None:
        if self._is_over:
            return
        told = {"ExecutionArn": arn, "Input": json.dumps(self._children[index])}
        if error is None:
            self._told[index] = {
                **told,
                "Status": "SUCCEEDED",
                "Output": json.dumps(output),
                "_output": output,
            }
        else:
            self._told[index] = {**told, "Status": "FAILED", "Error": error.name, "Cause": error.cause}
        self._execution.map_runs[self.arn] = self.described()
        failed = sum(self._sizes[one] for one, told in self._told.items() if told["Status"] == "FAILED")
        if failed > self._tolerated or len(self._told) == len(self._children):
            self._finish(failed > self._tolerated)
        else:
            self._begin_next()

    def _finish(self, is_exceeded: bool = False) -> None:
        self._is_over = True
        self._owner.abort_inner()
        self._execution.map_runs[self.arn] = self.described()
        written = self._written()
        if is_exceeded:
            self._owner.finish_crowd(
                None, StatesError("States.ExceedToleratedFailureThreshold", "too many items failed")
            )
            return
        outputs = [self._told[index].get("_output") for index in range(len(self._children))]
        self._owner.finish_crowd(written if written is not None else outputs, None)

    def _written(self) -> dict[str, Any] | None:
        if "ResultWriter" not in self._state:
            return None
        target = self._owner.field("ResultWriter")["Arguments"]
        bucket, folder = target["Bucket"], f"{target['Prefix'].strip('/')}/{self.arn.rpartition(':')[2]}"
        files: dict[str, list[Any]] = {"SUCCEEDED": [], "FAILED": [], "PENDING": []}
        for status in files:
            told = [
                {name: value for name, value in one.items() if name != "_output"}
                for _, one in sorted(self._told.items())
                if one["Status"] == status
            ]
            if told:
                key = f"{folder}/{status}_0.json"
                self._execution.objects[bucket, key] = json.dumps(told).encode()
                files[status].append({"Key": key, "Size": len(self._execution.objects[bucket, key])})
        manifest = {"DestinationBucket": bucket, "MapRunArn": self.arn, "ResultFiles": files}
        key = f"{folder}/manifest.json"
        self._execution.objects[bucket, key] = json.dumps(manifest).encode()
        return {"MapRunArn": self.arn, "ResultWriterDetails": {"Bucket": bucket, "Key": key}}


def _batches(items: list[Any], batcher: Mapping[str, Any]) -> list[Any]:
    most = int(batcher["MaxItemsPerBatch"])
    about = {"BatchInput": batcher["BatchInput"]} if "BatchInput" in batcher else {}
    return [{**about, "Items": items[at : at + most]} for at in range(0, len(items), most)]


def _parsed(text: str, config: Mapping[str, Any]) -> list[Any]:
    kind = config.get("InputType")
    if kind == "CSV":
        given = config.get("CSVHeaders") if config.get("CSVHeaderLocation") == "GIVEN" else None
        return [dict(row) for row in csv.DictReader(io.StringIO(text), given)]
    if kind == "JSONL":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    items = json.loads(text)
    if kind != "JSON" or not isinstance(items, list):
        raise ValueError(f"{kind}: no array of items")
    return items
