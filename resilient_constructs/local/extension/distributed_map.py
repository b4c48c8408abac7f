"""Distributed Map: one execution for each item, or each batch of items, of what lies in S3 or in the input.

AWS: items come from the input, from a listing, or from a JSON, JSON Lines or CSV object; ItemSelector shapes
and ItemBatcher gathers them. At most MaxConcurrency run at once. More failed items than are tolerated stop
the Map Run with ``States.ExceedToleratedFailureThreshold``. ResultWriter leaves a manifest and files of what
succeeded and failed. A redrive runs only what had not succeeded. The role starts the executions, reads and
writes the objects.
ministack 1.5.33: JSONPath alone; ignores ItemBatcher and ResultWriter; runs all items whatever fails; asks no
role; a redrive is none.
Here: all of that. An inventory's manifest, Parquet, and CSV beyond a delimiter are refused. Where
MaxConcurrency is 0, 64 run at once. Failures that are tolerated without a ResultWriter are ``null``.
https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import contextvars
import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from ministack.core.responses import now_iso
from ministack.services import stepfunctions as sfn

from .map_results import write_results
from .workflow_permissions import require
from .workflow_running import CURRENT
from .workflow_walk import size_of

__all__ = ["batches_of", "close"]

_AT_ONCE = 64
_COUNTS = (
    "pending",
    "running",
    "succeeded",
    "failed",
    "timedOut",
    "aborted",
    "total",
    "resultsWritten",
    "failuresNotRedrivable",
    "pendingRedrive",
)


def close() -> None:
    """Put it in place."""
    sfn._run_distributed_map = _run


def batches_of(items: list[Any], batcher: dict[str, Any] | None) -> list[Any]:
    """The input of each child: an item, or as many together as the batcher allows."""
    if batcher is None:
        return items
    most, most_bytes = batcher.get("MaxItemsPerBatch"), batcher.get("MaxInputBytesPerBatch")
    about = {"BatchInput": batcher["BatchInput"]} if "BatchInput" in batcher else {}
    batches: list[list[Any]] = []
    for item in items:
        last = batches[-1] if batches else None
        fits = last is not None and (most is None or len(last) < most)
        if fits and most_bytes is not None:
            fits = size_of({**about, "Items": [*(last or ()), item]}) <= most_bytes
        if fits and last is not None:
            last.append(item)
        else:
            batches.append([item])
    return [{**about, "Items": batch} for batch in batches]


def _run(state: Any, value: Any, effective: Any, processor: Any, execution: Any, context: Any) -> Any:
    return _MapRun(state, value, effective, processor, execution, context).run()


class _MapRun:
    """One Map Run, or its continuation after a redrive."""

    def __init__(
        self, state: Any, value: Any, effective: Any, processor: Any, execution: Any, context: Any
    ) -> None:
        self.state, self.value, self.effective = state, value, effective
        self.processor, self.execution, self.context = processor, execution, context
        self.is_jsonata = sfn._state_query_language(state, context) == "JSONata"
        self.lock = threading.Lock()
        self.failed_items = 0
        self.errors: dict[int, tuple[str, str]] = {}

    def run(self) -> Any:
        state, name = self.state, self.context["State"]["Name"]
        # A distributed map starts executions of its own state machine.
        require("states:StartExecution", self.execution["stateMachineArn"])
        items = self._selected(self._items())
        children = batches_of(items, self._filled("ItemBatcher", None))
        self.sizes = [len(child["Items"]) if "ItemBatcher" in state else 1 for child in children]
        self.tolerated = self._tolerated(len(items))
        self.record = self._begin(name, len(items), len(children))
        results: dict[int, Any] = self.record["_results"]
        todo = [index for index in range(len(children)) if index not in results]
        at_once = int(self._filled("MaxConcurrency", 0)) or min(len(todo), _AT_ONCE) or 1
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            for index in todo:
                pool.submit(contextvars.copy_context().run, self._child, index, children[index])
        exceeded = self.failed_items > self.tolerated
        self.record.update(status="FAILED" if exceeded else "SUCCEEDED", stopDate=now_iso())
        written = write_results(self.record, self._filled("ResultWriter", None), len(children))
        if exceeded:
            raise sfn._ExecutionError(
                "States.ExceedToleratedFailureThreshold",
                "The specified tolerated failure threshold was exceeded",
            )
        return self._left(
            [results.get(index) for index in range(len(children))] if written is None else written
        )

    def _filled(self, name: str, otherwise: Any) -> Any:
        """A field of the state with its expressions evaluated."""
        if name not in self.state:
            return otherwise
        if self.is_jsonata:
            return sfn._apply_jsonata_template(self.state[name], self.value, self.context)
        field = self.state[name]
        return (
            sfn._resolve_params_obj(field, self.effective, self.context) if isinstance(field, dict) else field
        )

    def _items(self) -> list[Any]:
        if "ItemReader" in self.state:
            return self._read(dict(self._filled("ItemReader", {})))
        if self.is_jsonata:
            found = self._filled("Items", self.value)
        else:
            path = self.state.get("ItemsPath", "$")
            found = sfn._resolve_path_or_ctx(path, self.effective, self.context)
        return found if isinstance(found, list) else [found]

    def _read(self, reader: dict[str, Any]) -> list[Any]:
        arguments = reader.get("Arguments") or reader.get("Parameters") or {}
        config = reader.get("ReaderConfig") or {}
        kind, bucket = config.get("InputType", "JSON"), f"arn:aws:s3:::{arguments.get('Bucket')}"
        failed = "States.ItemReaderFailed"
        if str(reader.get("Resource", "")).endswith(":s3:listObjectsV2"):
            require("s3:ListBucket", bucket, error=failed)
        elif kind in ("JSON", "JSONL", "CSV"):
            require("s3:GetObject", f"{bucket}/{arguments.get('Key')}", error=failed)
        else:
            raise sfn._ExecutionError(failed, f"the local AWS reads no items of type {kind}")
        try:
            found = sfn._read_map_items({**reader, "Parameters": arguments}, self.effective, self.context)
        except (KeyError, TypeError, ValueError) as error:
            raise sfn._ExecutionError(failed, f"the items cannot be read: {error}") from error
        if not isinstance(found, list):
            raise sfn._ExecutionError(failed, "the object is no array of items")
        return found

    def _selected(self, items: list[Any]) -> list[Any]:
        selector = self.state.get("ItemSelector") or self.state.get("Parameters")
        if not selector:
            return items
        selected = []
        for index, item in enumerate(items):
            context = {**self.context, "Map": {"Item": {"Index": index, "Value": item}}}
            if self.is_jsonata:
                selected.append(sfn._apply_jsonata_template(selector, self.value, context))
            else:
                selected.append(sfn._resolve_params_obj(selector, self.effective, context))
        return selected

    def _tolerated(self, items: int) -> float:
        """How many items may fail."""
        limits = []
        if "ToleratedFailureCount" in self.state:
            limits.append(float(self._filled("ToleratedFailureCount", 0)))
        if "ToleratedFailurePercentage" in self.state:
            limits.append(float(self._filled("ToleratedFailurePercentage", 0)) * items / 100)
        return min(limits, default=0)

    def _begin(self, name: str, items: int, children: int) -> dict[str, Any]:
        known = self.execution.setdefault("map_runs", {})
        before: dict[str, Any] | None = sfn._map_runs.get(known.get(name))
        if before is not None and before["status"] != "SUCCEEDED":
            done = len(before["_results"])
            before.update(status="RUNNING", redriveCount=before["redriveCount"] + 1, redriveDate=now_iso())
            before["executionCounts"].update(pending=children - done, failed=0, aborted=0)
            left = items - sum(self.sizes[index] for index in before["_results"])
            before["itemCounts"].update(pending=left, failed=0, aborted=0)
            return before
        machine = self.execution["stateMachineArn"]
        label = self.state.get("Label") or str(uuid4())
        run = {
            "mapRunArn": f"{machine.replace(':stateMachine:', ':mapRun:')}/{label}:{uuid4()}",
            "executionArn": self.execution["executionArn"],
            "status": "RUNNING",
            "startDate": now_iso(),
            "maxConcurrency": int(self._filled("MaxConcurrency", 0)),
            "toleratedFailurePercentage": float(self._filled("ToleratedFailurePercentage", 0)),
            "toleratedFailureCount": int(self._filled("ToleratedFailureCount", 0)),
            "itemCounts": dict.fromkeys(_COUNTS, 0) | {"total": items, "pending": items},
            "executionCounts": dict.fromkeys(_COUNTS, 0) | {"total": children, "pending": children},
            "redriveCount": 0,
            "_stateMachineArn": f"{machine}/{label}",
            "_results": {},
        }
        sfn._map_runs[run["mapRunArn"]] = run
        known[name] = run["mapRunArn"]
        return run

    def _child(self, index: int, given: Any) -> None:
        parent = CURRENT.get()
        if self.failed_items > self.tolerated or (parent is not None and parent.over.is_set()):
            self._count(index, "pending", "aborted")
            return
        self._count(index, "pending", "running")
        child = self._started(index, given)
        context = copy.deepcopy({**self.context, "variables": {}})
        context["Execution"] = {
            **context["Execution"],
            "Id": child["executionArn"],
            "Name": child["name"],
            "Input": given,
            "StartTime": child["startDate"],
        }
        try:
            result = sfn._run_sub_machine(
                self.processor.get("States", {}), self.processor.get("StartAt"), given, child, context
            )
        except Exception as error:  # noqa: BLE001  whatever it was, this item has failed and the others go on
            told = error if isinstance(error, sfn._ExecutionError) else None
            name, cause = (told.error, told.cause) if told else ("States.Runtime", str(error))
            child.update(status="FAILED", error=name, cause=cause, stopDate=now_iso())
            with self.lock:
                self.errors[index] = (name, cause)
                self.failed_items += self.sizes[index]
            self._count(index, "running", "failed")
            return
        child.update(status="SUCCEEDED", output=json.dumps(result), stopDate=now_iso())
        with self.lock:
            self.record["_results"][index] = result
        self._count(index, "running", "succeeded")

    def _started(self, index: int, given: Any) -> dict[str, Any]:
        machine, name = self.record["_stateMachineArn"], str(uuid4())
        child = {
            "executionArn": f"{machine.replace(':stateMachine:', ':execution:')}:{name}",
            "stateMachineArn": machine,
            "name": name,
            "status": "RUNNING",
            "startDate": now_iso(),
            "stopDate": None,
            "input": json.dumps(given),
            "output": None,
            "mapRunArn": self.record["mapRunArn"],
            "events": [],
            "mockAttempts": {},
            "index": index,
        }
        sfn._executions[child["executionArn"]] = child
        return child

    def _count(self, index: int, before: str, after: str) -> None:
        with self.lock:
            for counts, size in (("itemCounts", self.sizes[index]), ("executionCounts", 1)):
                self.record[counts][before] -= size
                self.record[counts][after] += size

    def _left(self, result: Any) -> Any:
        state, value, context = self.state, self.value, self.context
        following = sfn._next_or_end(state)
        if self.is_jsonata:
            output = sfn._apply_jsonata_output(state, value, context, result=result, default=result)
            sfn._apply_state_assign(state, value, context, result=result)
            return output, following
        chosen = sfn._apply_result_path(state, value, sfn._apply_result_selector(state, result))
        return sfn._apply_output_path(state, chosen, context), following
