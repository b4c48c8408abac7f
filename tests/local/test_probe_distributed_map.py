"""Probes of the distributed map."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from local_workflows import Workflows, call

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local

MAY = (
    ("lambda:InvokeFunction", "*"),
    ("states:StartExecution", "*"),
    ("s3:GetObject", "arn:aws:s3:::items/*"),
    ("s3:ListBucket", "arn:aws:s3:::items"),
    ("s3:PutObject", "arn:aws:s3:::items/*"),
)
FRAGILE = """
import boto3, os
def handler(event, context):
    n = event["n"]
    if n in event.get("poison", []):
        raise ValueError(n)
    return n * 2
"""


@pytest.fixture
def flows(local_aws: LocalAws) -> Workflows:
    """An account with a bucket and a function that doubles."""
    local_aws.client("s3").create_bucket(Bucket="items")
    return Workflows(local_aws)


def mapping(processor: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A distributed map that ends the execution."""
    return {
        "Type": "Map",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": next(iter(processor)),
            "States": processor,
        },
        "End": True,
        **more,
    }


def reader(key: str, **config: Any) -> dict[str, Any]:
    """An ItemReader of one object."""
    return {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": config,
        "Arguments": {"Bucket": "items", "Key": key},
    }


ECHO = {"Echo": {"Type": "Pass", "End": True}}


@pytest.mark.parametrize(
    ("content", "config", "first"),
    [
        ('[{"n":1},{"n":2}]', {"InputType": "JSON"}, {"n": 1}),
        ('{"n":1}\n{"n":2}\n', {"InputType": "JSONL"}, {"n": 1}),
        ("n,who\n1,a\n2,b\n", {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}, {"n": "1", "who": "a"}),
    ],
)
def test_items_come_from_an_object(
    flows: Workflows, content: str, config: dict[str, Any], first: dict[str, Any]
) -> None:
    """Of JSON, JSON Lines or CSV; the results are in order."""
    flows.aws.client("s3").put_object(Bucket="items", Key="in", Body=content.encode())
    told = flows.run(flows.machine({"Map": mapping(ECHO, ItemReader=reader("in", **config))}, *MAY))
    assert flows.output(told)[0] == first
    assert len(flows.output(told)) == 2


def test_items_are_listed_selected_and_batched(flows: Workflows) -> None:
    """Three objects under a prefix in batches of two, each with what all of them need."""
    for key in ("in/a", "in/b", "in/c", "out/d"):
        flows.aws.client("s3").put_object(Bucket="items", Key=key, Body=b"x")
    listing = {
        "Resource": "arn:aws:states:::s3:listObjectsV2",
        "Arguments": {"Bucket": "items", "Prefix": "{% $states.input.prefix %}"},
    }
    state = mapping(
        ECHO,
        ItemReader=listing,
        ItemSelector={"key": "{% $states.context.Map.Item.Value.Key %}"},
        ItemBatcher={"MaxItemsPerBatch": 2, "BatchInput": {"of": "{% $states.input.prefix %}"}},
    )
    told = flows.run(flows.machine({"Map": state}, *MAY), {"prefix": "in/"})
    assert flows.output(told) == [
        {"BatchInput": {"of": "in/"}, "Items": [{"key": "in/a"}, {"key": "in/b"}]},
        {"BatchInput": {"of": "in/"}, "Items": [{"key": "in/c"}]},
    ]


def test_tolerated_failures_are_in_the_manifest(flows: Workflows) -> None:
    """One of four fails, half may: the manifest leads to three results and one error."""
    function = flows.function("Fragile", FRAGILE)
    state = mapping(
        {"Call": call(function)},
        Items=[{"n": n, "poison": [2]} for n in range(4)],
        ToleratedFailurePercentage=50,
        MaxConcurrency=2,
        ResultWriter={
            "Resource": "arn:aws:states:::s3:putObject",
            "Arguments": {"Bucket": "items", "Prefix": "out"},
        },
    )
    output = flows.output(flows.run(flows.machine({"Map": state}, *MAY)))
    s3 = flows.aws.client("s3")

    def read(key: str) -> Any:
        return json.loads(s3.get_object(Bucket="items", Key=key)["Body"].read())

    manifest = read(output["ResultWriterDetails"]["Key"])
    assert manifest["MapRunArn"] == output["MapRunArn"]
    (succeeded,), (failed,) = manifest["ResultFiles"]["SUCCEEDED"], manifest["ResultFiles"]["FAILED"]
    assert [json.loads(one["Output"]) for one in read(succeeded["Key"])] == [0, 2, 6]
    assert [(json.loads(one["Input"])["n"], one["Error"]) for one in read(failed["Key"])] == [
        (2, "ValueError")
    ]
    counts = flows.states.describe_map_run(mapRunArn=output["MapRunArn"])["itemCounts"]
    assert (counts["succeeded"], counts["failed"], counts["total"]) == (3, 1, 4)


def test_more_failures_than_are_tolerated_stop_it(flows: Workflows) -> None:
    """Items that have not begun then do not."""
    function = flows.function("Fragile", FRAGILE)
    items = [{"n": n, "poison": [0]} for n in range(20)]
    state = mapping({"Call": call(function)}, Items=items, MaxConcurrency=1)
    told = flows.run(flows.machine({"Map": state}, *MAY))
    assert (told["status"], told["error"]) == ("FAILED", "States.ExceedToleratedFailureThreshold")
    (run,) = flows.states.list_map_runs(executionArn=told["executionArn"])["mapRuns"]
    counts = flows.states.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
    assert (counts["failed"], counts["aborted"]) == (1, 19)


def test_a_redrive_runs_only_what_had_not_succeeded(flows: Workflows) -> None:
    """The results of the others are kept."""
    function = flows.function("Fragile", FRAGILE)
    items = [{"n": n, "poison": [3]} for n in range(4)]
    state = mapping({"Call": call(function)}, Items=items, MaxConcurrency=1)
    failed = flows.run(flows.machine({"Map": state}, *MAY))
    flows.aws.client("lambda").update_function_code(
        FunctionName="Fragile", ZipFile=_packed(FRAGILE.replace("raise ValueError(n)", "return 'mended'"))
    )
    flows.states.redrive_execution(executionArn=failed["executionArn"])
    told = flows.ended(failed["executionArn"])
    assert flows.output(told) == [0, 2, 4, "mended"]
    (run,) = flows.states.list_map_runs(executionArn=told["executionArn"])["mapRuns"]
    children = flows.states.list_executions(mapRunArn=run["mapRunArn"])["executions"]
    assert len(children) == 5


def test_the_role_reads_the_items_and_starts_their_executions(flows: Workflows) -> None:
    """Without either of these grants the map fails."""
    flows.aws.client("s3").put_object(Bucket="items", Key="in", Body=b"[1]")
    state = mapping(ECHO, ItemReader=reader("in"))
    alone = flows.machine({"Map": state}, MAY[1], name="CannotRead")
    assert flows.run(alone)["error"] == "States.ItemReaderFailed"
    alone = flows.machine({"Map": state}, MAY[2], name="CannotStart")
    assert flows.run(alone)["status"] == "FAILED"


def _packed(code: str) -> bytes:
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", code)
    return packed.getvalue()


def test_a_task_writes_an_object_as_json(flows: Workflows) -> None:
    """An object is written as JSON, where the role may."""
    put = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:s3:putObject",
        "Arguments": {"Bucket": "items", "Key": "told", "Body": {"n": "{% $states.input.n %}"}},
        "End": True,
    }
    flows.output(flows.run(flows.machine({"Put": put}, *MAY), {"n": 7}))
    assert json.loads(flows.aws.client("s3").get_object(Bucket="items", Key="told")["Body"].read()) == {
        "n": 7
    }


def test_a_task_writes_no_object_that_its_role_may_not(flows: Workflows) -> None:
    """Nor one into a bucket that is not there."""
    put = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:s3:putObject",
        "Arguments": {"Bucket": "other", "Key": "told", "Body": {}},
        "End": True,
    }
    assert flows.run(flows.machine({"Put": put}, *MAY))["status"] == "FAILED"


def test_a_machine_reads_its_map_runs_counts_and_who_runs(flows: Workflows) -> None:
    """By tasks of the SDK, whose answers' members begin with capitals."""
    may = (*MAY, ("states:DescribeMapRun", "*"), ("states:ListExecutions", "*"))
    writer = {
        "Resource": "arn:aws:states:::s3:putObject",
        "Arguments": {"Bucket": "items", "Prefix": "out"},
    }
    states = {
        "Map": {**mapping(ECHO, Items=[1, 2, 3], ResultWriter=writer), "Next": "Count"},
        "Count": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sfn:describeMapRun",
            "Arguments": {"MapRunArn": "{% $states.input.MapRunArn %}"},
            "Assign": {"counts": "{% $states.result.ItemCounts %}"},
            "Next": "List",
        },
        "List": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sfn:listExecutions",
            "Arguments": {
                "StateMachineArn": "{% $states.context.StateMachine.Id %}",
                "StatusFilter": "RUNNING",
            },
            "Output": {
                "total": "{% $counts.Total %}",
                "me": "{% $states.context.Execution.Id in $states.result.Executions.ExecutionArn %}",
            },
            "End": True,
        },
    }
    del states["Map"]["End"]
    assert flows.output(flows.run(flows.machine(states, *may))) == {"total": 3, "me": True}
