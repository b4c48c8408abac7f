"""A batch's state machine that runs with table, queue and S3 in memory, and a work the test speaks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from machine_runs import DEAD, NAME, START, plan
from resilient_runtime.breaker import Circuit
from resilient_runtime.stores.circuits import DynamoDBCircuits

from resilient_constructs.breaker_workflow.parallel.machine import BatchPlan, Given, Read, definition
from resilient_constructs.testing.states import Execution, StateMachine, StatesError, Table, TaskCall

__all__ = ["BUCKET", "FORMS", "Batches", "batch_plan", "json_source", "ready", "sent", "told"]

BUCKET = "results"


def batch_plan(**more: Any) -> BatchPlan:
    """An inline batch of whatever comes in ``items``."""
    given: dict[str, Any] = {
        "item": plan(parking="WAIT", parked_queue_url=None, **more.pop("item", {})),
        "source": Given(),
        "max_concurrency": 3,
        "results_bucket": BUCKET,
        "results_prefix": "pages/",
        "timeout_seconds": 86_400,
    }
    return BatchPlan(**{**given, **more})


def json_source(kind: str = "JSON") -> Read:
    """One object of the bucket ``in``, named by the batch."""
    return Read(
        reader={
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": kind},
            "Arguments": {"Bucket": "in", "Key": "{% $batch.key %}"},
        }
    )


class Batches:
    """One deployed batch machine; each run is one execution, to its end."""

    def __init__(self, made_of: BatchPlan) -> None:
        self.plan = made_of
        self.machine = StateMachine(definition(made_of), "Pages")
        self.forget()
        self.tasks: dict[str, Callable[[TaskCall], Any]] = {
            "arn:aws:states:::lambda:invoke": self._call,
            "arn:aws:states:::dynamodb:getItem": lambda call: self.table.get_item(**call.arguments),
            "arn:aws:states:::dynamodb:updateItem": lambda call: self.table.update_item(**call.arguments),
            "arn:aws:states:::sqs:sendMessage": self._send,
            "arn:aws:states:::aws-sdk:s3:putObject": self._put,
            "arn:aws:states:::aws-sdk:sfn:describeMapRun": self._describe,
            "arn:aws:states:::aws-sdk:sfn:listExecutions": self._list,
        }

    def forget(self) -> None:
        """Nothing has run, nothing is stored, and the work gives back what it got."""
        self.table = Table()
        self.dead: list[Any] = []
        self.objects: dict[tuple[str, str], bytes] = {}
        self.calls: list[Any] = []
        self.does: Callable[[Any], Any] = lambda work: work
        self.running: list[str] = []
        self._execution: list[Execution] = []

    def fails_for(self, *poison: Any, error: str = "Reject") -> None:
        """The work fails for these items."""

        def do(work: Any) -> Any:
            if work in poison:
                raise StatesError(error, f"no to {work}")
            return work

        self.does = do

    def circuit_is(self, circuit: Circuit) -> None:
        """What all callers know of the downstream."""
        DynamoDBCircuits("circuits", lambda: self.table).change(
            NAME, replace(circuit, version=1), before=Circuit()
        )

    def run(self, data: Any, name: str = "night") -> Execution:
        """One execution."""
        return self.machine.run(
            data,
            self.tasks,
            now=START,
            most_steps=20_000,
            objects=self.objects,
            name=name,
            watch=self._execution.append,
        )

    @property
    def last(self) -> Execution:
        """The execution that began last, also while it runs."""
        return self._execution[-1]

    def manifest(self, execution: Execution) -> dict[str, Any]:
        """Where the execution's output says that it is."""
        at = execution.output["manifest"]
        return dict(json.loads(self.objects[at["bucket"], at["key"]]))

    def _call(self, call: TaskCall) -> Any:
        work = call.arguments["Payload"]
        self.calls.append(work)
        return {"Payload": self.does(work)}

    def _send(self, call: TaskCall) -> Any:
        assert call.arguments["QueueUrl"] == DEAD
        self.dead.append(call.arguments["MessageBody"])
        return {"MessageId": "1"}

    def _put(self, call: TaskCall) -> Any:
        given = call.arguments
        self.objects[given["Bucket"], given["Key"]] = json.dumps(given["Body"]).encode()
        return {"ETag": "1"}

    def _describe(self, call: TaskCall) -> Any:
        return self._execution[-1].map_runs[call.arguments["MapRunArn"]]

    def _list(self, call: TaskCall) -> Any:
        me = self._execution[-1].context["Execution"]["Id"]
        line = [me if one == "me" else one for one in self.running]
        at = int(call.arguments.get("NextToken", 0))
        page = {"Executions": [{"ExecutionArn": arn} for arn in line[at : at + 2]]}
        self.running = self.running[:-1] if "me" in self.running[:-1] else self.running
        return {**page, "NextToken": str(at + 2)} if len(line) > at + 2 else page


FORMS = ("inline", "distributed", "from S3")
"""Where items come from, and what they are worked on in."""


@cache
def _made(form: str) -> Batches:
    sources = {"inline": Given(), "distributed": Given(is_distributed=True), "from S3": json_source()}
    return Batches(batch_plan(source=sources[form]))


def ready(form: str) -> Batches:
    """The machine of one form, as if nothing had ever run; it is compiled once."""
    batches = _made(form)
    batches.forget()
    return batches


def told(batches: Batches, execution: Any) -> tuple[dict[int, Any], set[int]]:
    """By index: the results of those that the manifest says succeeded, and those that it says failed."""
    manifest = batches.manifest(execution)
    if "items" in manifest:
        items = manifest["items"]
        done = {one["index"]: one.get("result") for one in items if one["outcome"] == "SUCCEEDED"}
        return done, {one["index"] for one in items if one["outcome"] == "FAILED"}

    def read(status: str) -> list[Any]:
        files = manifest["ResultFiles"][status]
        return [one for file in files for one in json.loads(batches.objects[BUCKET, file["Key"]])]

    def index(one: Any) -> int:
        return int(json.loads(one["Input"])["resilient"]["item"]["index"])

    assert manifest["ResultFiles"]["PENDING"] == []
    return (
        {index(one): json.loads(one["Output"]) for one in read("SUCCEEDED")},
        {index(one) for one in read("FAILED")},
    )


def sent(batches: Batches, form: str, items: list[Any]) -> dict[str, Any]:
    """A batch of these items in the form that the machine takes."""
    if form != "from S3":
        return {"items": items}
    batches.objects["in", "list.json"] = json.dumps(items).encode()
    return {"key": "list.json"}
