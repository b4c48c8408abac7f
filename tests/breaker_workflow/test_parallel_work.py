"""ParallelWork as it is deployed: its grants, its state machine, its results, its alarms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from constructs import Construct
from workflow_kinds import (
    EXPRESS_KINDS,
    KINDS,
    a_function,
    actions_of,
    machines_in,
    make_downstream,
    make_function,
    statements_of,
    states_of,
)

from resilient_constructs import (
    Items,
    OnCall,
    ParallelWork,
    Work,
)
from resilient_constructs.testing.states import faults_of

KEY = "{% $batch.key %}"
FORMS = [
    *KINDS,
    *(f"distributed {kind}" for kind in KINDS),
    *(f"express {kind}" for kind in EXPRESS_KINDS),
    "plain",
]


@cache
def made(form: str) -> tuple[ParallelWork, Mapping[str, Any]]:
    """One form, and its template."""
    stack = Stack(App(), "Shop")
    kind = form.rpartition(" ")[2]
    given: dict[str, Any] = {"downstream": make_downstream(stack)}
    if form.startswith(("express", "distributed")):
        given["items"] = Items.json_lines(s3.Bucket(stack, "In"), key=KEY)
    if form.startswith("express"):
        given |= {"express_items": True, "group": 10}
        del given["downstream"]
    if form == "plain":
        del given["downstream"]
    work = KINDS.get(kind, a_function)(stack)
    parallel = ParallelWork(stack, "Pages", work=work, **given)
    return parallel, Template.from_stack(stack).to_json()


def machine(form: str) -> Mapping[str, Any]:
    """Its definition, as it is deployed."""
    ((_, found),) = machines_in(made(form)[1])
    return found


every_form = pytest.mark.parametrize("form", FORMS)


@every_form
def test_its_definition_is_good(form: str) -> None:
    """Neither our own check nor cfn-lint, which knows the states language, finds a fault in it."""
    assert faults_of(machine(form)) == []
    properties = {
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "DefinitionString": json.dumps(machine(form)),
    }
    template = {
        "Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}}
    }
    found = lint(json.dumps(template), config=ManualArgs(regions=["eu-central-1"]))
    assert [f"{one.rule.id} {one.message}" for one in found if one.rule.id == "E3601"] == []


@every_form
def test_every_task_has_its_retries_its_end_and_its_catch_all(form: str) -> None:
    """Each retry is jittered and capped, each Task times out, and each last catcher takes all."""
    tasks = [(name, state) for name, state in states_of(machine(form)) if state["Type"] == "Task"]
    assert {"BatchLetter", "BatchManifest"} <= {name for name, _ in tasks}
    for name, state in tasks:
        assert 0 < state["TimeoutSeconds"] <= machine(form)["TimeoutSeconds"], name
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
        assert state["Retry"], name
        for retry in state["Retry"]:
            assert 0 < retry["MaxAttempts"] <= 20, name
            assert retry["MaxDelaySeconds"] >= retry["IntervalSeconds"], name
            assert retry["JitterStrategy"] == "FULL", name


@every_form
def test_a_map_has_a_catch_all_and_ends_no_item_for_another(form: str) -> None:
    """A distributed Map tolerates everything, and no Map is begun again, which would do all items again."""
    maps = [state for _, state in states_of(machine(form)) if state["Type"] == "Map"]
    assert len(maps) == 2
    for state in maps:
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
        assert "Retry" not in state
        is_distributed = state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
        assert (state.get("ToleratedFailurePercentage") == 100) == is_distributed


@pytest.mark.parametrize("form", [form for form in FORMS if form.startswith(("distributed", "express"))])
def test_a_map_run_reads_no_variable(form: str) -> None:
    """All that it needs of its batch is its state's input: it cannot reference outer scopes' variables."""
    state = machine(form)["States"]["Items"]
    used = {
        name
        for field in ("ItemReader", "Items", "ItemSelector", "ItemBatcher", "ResultWriter", "MaxConcurrency")
        for name in re.findall(r"\$(\w+)(?!\s*:=)", json.dumps(state.get(field)))
    }
    assigned = {name for _, one in states_of(machine(form)) for name in one.get("Assign", ())}
    assert used & assigned <= {"batch"}
    assert "$batch := $states.input.batch" in json.dumps(
        state.get("ItemReader", "$batch := $states.input.batch")
    )


def test_two_of_the_same_id_keep_their_results_apart() -> None:
    """They share the stack's bucket, and executions of both may have the same name."""
    stack = Stack(App(), "Shop")
    works = [
        ParallelWork(Construct(stack, part), "Pages", work=Work.function(make_function(stack, f"{part}F")))
        for part in ("A", "B")
    ]
    assert works[0].results.node.path == works[1].results.node.path
    first, second = (one.results_prefix for one in works)
    assert first.startswith("results/Shop-A-Pages-")
    assert not first.startswith(second)
    assert not second.startswith(first)
    grant = works[0].grant_read_results(iam.User(stack, "Reader"))
    assert isinstance(grant, iam.Grant)
    template = Template.from_stack(stack).to_json()
    assert first in json.dumps(statements_of(template, "ReaderDefaultPolicy"))
    assert second not in json.dumps(statements_of(template, "ReaderDefaultPolicy"))


def test_without_a_downstream_nobody_waits_for_a_turn() -> None:
    """Forty items at once, and no batch looks for others."""
    parallel, _ = made("plain")
    assert (parallel.max_concurrency, parallel.batches_at_once) == (40, None)
    assert "BatchLook" not in machine("plain")["States"]
    assert "BatchLook" in machine("a_function")["States"]


def test_new_batches_wait_while_the_circuit_is_open() -> None:
    """The controller is told of the mapping that feeds the starter."""
    parallel, template = made("a_function")
    told = json.dumps(
        [one for one in template["Resources"].values() if one["Type"] == "AWS::Lambda::Function"]
    )
    mapping = Stack.of(parallel).get_logical_id(parallel.event_source_mapping)
    assert mapping in told


def test_an_inline_batch_writes_its_results_and_nothing_else() -> None:
    """Its role may put objects below its own prefix, and begin no execution."""
    statements = statements_of(made("a_function")[1], "PagesRole", "PagesOwnPolicy")
    on_s3 = [one for one in statements if "s3:" in json.dumps(one["Action"])]
    assert [one["Action"] for one in on_s3] == ["s3:PutObject"]
    assert f"/{made('a_function')[0].results_prefix}*" in json.dumps(on_s3[0]["Resource"])
    assert "states:StartExecution" not in actions_of(statements)


def test_a_distributed_batch_may_begin_watch_and_stop_its_own_items() -> None:
    """On its own state machine, executions and Map Runs; reading is allowed of the given bucket alone."""
    statements = statements_of(made("distributed a_function")[1], "PagesRole", "PagesOwnPolicy")
    assert {
        "states:StartExecution",
        "states:DescribeExecution",
        "states:StopExecution",
        "states:RedriveExecution",
        "states:DescribeMapRun",
        "states:ListExecutions",
        "s3:GetObject",
    } <= actions_of(statements)
    for one in statements:
        if "states:" in json.dumps(one["Action"]):
            assert "PagesStateMachine" in json.dumps(one["Resource"])
            assert one["Resource"] != "*"


@pytest.mark.parametrize(
    ("make", "action", "place"),
    [
        (lambda bucket: Items.json(bucket, key="a/b.json"), "s3:GetObject", "/a/b.json"),
        (lambda bucket: Items.csv(bucket, key=KEY, columns=["n"], delimiter="TAB"), "s3:GetObject", "/*"),
        (lambda bucket: Items.inventory(bucket, key="i/manifest.json"), "s3:GetObject", "/*"),
        (lambda bucket: Items.listing(bucket, prefix=KEY), "s3:ListBucket", ""),
    ],
    ids=["json", "csv", "inventory", "listing"],
)
def test_what_it_reads_it_may_read(make: Any, action: str, place: str) -> None:
    """One object where it is known, the bucket where only the batch says which, and its key."""
    stack = Stack(App(), "Shop")
    bucket = s3.Bucket(stack, "In", encryption_key=kms.Key(stack, "Key"))
    ParallelWork(stack, "Pages", work=a_function(stack), items=make(bucket))
    template = Template.from_stack(stack).to_json()
    (allowed,) = [
        one
        for one in statements_of(template, "PagesRole")
        if "InA6E750FB" in json.dumps(one["Resource"]) and "s3:" in json.dumps(one["Action"])
    ]
    assert allowed["Action"] == action
    assert place in json.dumps(allowed["Resource"])
    ((_, found),) = machines_in(template)
    reader = found["States"]["Items"]["ItemReader"]
    assert reader["Resource"].endswith("getObject" if action == "s3:GetObject" else "listObjectsV2")


def test_results_may_go_to_a_bucket_of_the_users() -> None:
    """Below the given prefix; whoever is let read them reads only these."""
    stack = Stack(App(), "Shop")
    bucket = s3.Bucket(stack, "Mine", encryption_key=kms.Key(stack, "Key"))
    parallel = ParallelWork(stack, "Pages", work=a_function(stack), results=bucket, results_prefix="out/")
    reader = iam.User(stack, "Reader")
    parallel.grant_read_results(reader)
    template = Template.from_stack(stack).to_json()
    statements = statements_of(template, "PagesRole")
    assert "kms:GenerateDataKey" in actions_of(statements)
    assert "/out/*" in json.dumps(statements)
    assert "/out/*" in json.dumps(statements_of(template, "ReaderDefaultPolicy"))


def test_it_is_started_like_a_workflow() -> None:
    """Through its queue, by a route, a schedule or a message, and by whoever may start executions."""
    stack = Stack(App(), "Shop")
    parallel = ParallelWork(stack, "Pages", work=a_function(stack))
    parallel.on_schedule("Nightly", "cron(0 3 * * ? *)", work_input={"items": [1]})
    function = make_function(stack)
    parallel.grant_start_execution(function)
    parallel.grant_send_messages(function)
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Scheduler::Schedule", 1)
    assert parallel.messages().queue is parallel.queue
    assert {"states:StartExecution", "sqs:SendMessage"} <= actions_of(
        statements_of(template.to_json(), "GivenServiceRole")
    )


def test_it_tells_whom_it_was_told_to_tell() -> None:
    """Its alarms speak of items and batches, with the remedy, and its executions are logged without data."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(stack, "OnCall", email="ops@example.com")
    parallel = ParallelWork(stack, "Pages", work=a_function(stack), on_call=on_call)
    assert {"WorkGivenUp", "ExecutionsFailed", "ExecutionsTimedOut", "WorkWaits"} <= set(parallel.alarms)
    template = Template.from_stack(stack)
    told = json.dumps(template.find_resources("AWS::CloudWatch::Alarm"))
    assert "an item is worked on again in its old place" in told
    template.has_resource_properties(
        "AWS::StepFunctions::StateMachine",
        {
            "LoggingConfiguration": Match.object_like({"IncludeExecutionData": False, "Level": "ERROR"}),
            "TracingConfiguration": {"Enabled": True},
        },
    )
    queries = json.dumps(template.find_resources("AWS::Logs::QueryDefinition"))
    assert "Pages: executions that failed, and why" in queries
    template.has_resource_properties(
        "AWS::Events::Rule", {"EventPattern": Match.object_like({"source": ["aws.states"]})}
    )
