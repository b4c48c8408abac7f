"""ParallelWork as it is deployed: its width, its grants, its state machine, its choices."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match, Template
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
    BreakerPolicy,
    Downstream,
    Handler,
    Items,
    OnCall,
    ParallelWork,
    ResilientFunction,
    Retry,
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


@pytest.mark.parametrize(
    ("rate", "given", "width", "calls"),
    [
        (4, {}, 18, 20),
        (10, {}, 40, 45),
        (10, {"distributed": True}, 45, 50),
        (10, {"distributed": True, "batches_at_once": 5}, 9, 50),
        (10, {"distributed": True, "starts_per_second": 0.2}, 49, 50),
        (10, {"distributed": True, "starts_per_second": 20}, 45, 50),
        (4, {"max_concurrency": 7, "batches_at_once": 2}, 7, 16),
        (4, {"max_concurrency": 20}, 20, 20),
        (0.1, {}, 1, 2),
    ],
)
def test_its_width_is_what_keeps_the_downstream_busy(
    rate: float, given: dict[str, Any], width: int, calls: int
) -> None:
    """Rate times five seconds, less a tenth for items sent back, shared out among the batches at once.

    Never more than a Map can have, and what was asked for is not lessened.
    """
    stack = Stack(App(), "Shop")
    ocr = Downstream(stack, "Ocr", requests_per_second=rate, typical_latency=Duration.seconds(5))
    items = Items.given(distributed=given.pop("distributed", False))
    parallel = ParallelWork(stack, "Pages", work=a_function(stack), downstream=ocr, items=items, **given)
    ((_, found),) = machines_in(Template.from_stack(stack).to_json())
    assert found["States"]["Items"]["MaxConcurrency"] == parallel.max_concurrency == width
    assert ocr.registered_concurrency == calls


def test_its_calls_count_against_the_connections() -> None:
    """Synth fails when its batches together need more connections than there are."""
    app = App()
    stack = Stack(app, "Shop")
    database = Downstream(stack, "Db", connections=10)
    for number in range(2):
        ParallelWork(
            stack,
            f"Pages{number}",
            work=Work.function(make_function(stack, f"F{number}")),
            downstream=database,
            max_concurrency=6,
        )
    # six items of a batch, and one that was sent back
    with pytest.raises(Exception, match="adds up to 14; allowed: at most 10 connections"):
        app.synth()


@pytest.mark.parametrize(("rate", "starts"), [(100, 1.0), (4, 0.4), (0.1, 0.04), (0.01, 0.04)])
def test_what_is_sent_back_comes_no_faster_than_a_tenth_of_the_downstreams_rate(
    rate: float, starts: float
) -> None:
    """It waits for no turn, so the starter is what holds it: of two environments each has half of that."""
    stack = Stack(App(), "Shop")
    ocr = Downstream(stack, "Ocr", requests_per_second=rate, typical_latency=Duration.seconds(5))
    ParallelWork(stack, "Pages", work=a_function(stack), downstream=ocr)
    told = json.dumps(Template.from_stack(stack).find_resources("AWS::Lambda::Function"))
    environments = {1.0: 8, 0.4: 4, 0.04: 2}[starts]
    assert f'"{starts / environments:.6g}"' in told


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


@pytest.mark.parametrize(("given", "prefix"), [("out", "out/"), ("out/", "out/"), ("", "")])
def test_a_prefix_of_results_is_a_folder(given: str, prefix: str) -> None:
    """Without the slash its keys would run into the execution's name."""
    stack = Stack(App(), "Shop")
    parallel = ParallelWork(stack, "Pages", work=a_function(stack), results_prefix=given)
    assert parallel.results_prefix == prefix


@pytest.mark.parametrize(
    ("given", "timeout", "waits", "warned"),
    [
        ({}, 21 * 86_400, 14 * 86_400, False),
        ({"wait_for": Duration.hours(1)}, 14 * 86_400, 3_600, False),
        ({"timeout": Duration.hours(2)}, 7_200, 7_200 - 62 - 300, False),
        ({"timeout": Duration.hours(2), "wait_for": Duration.hours(1)}, 7_200, 3_600, False),
        ({"timeout": Duration.hours(2), "wait_for": Duration.hours(2)}, 7_200, 7_200, True),
        ({"timeout": Duration.minutes(5)}, 300, 60, True),
    ],
)
def test_an_item_gives_up_before_its_batch_runs_out_of_time(
    given: dict[str, Any], timeout: int, waits: int, warned: bool
) -> None:
    """It waits, and is called six times of 50 s with 62 s in between; what does not fit is warned of."""
    stack = Stack(App(), "Shop")
    parallel = ParallelWork(
        stack, "Pages", work=a_function(stack), downstream=make_downstream(stack), **given
    )
    ((_, found),) = machines_in(Template.from_stack(stack).to_json())
    assert parallel.timeout_seconds == found["TimeoutSeconds"] == timeout
    (park,) = [state for name, state in states_of(found) if name == "Park"]
    assert f"> {waits} * 1000" in json.dumps(park)
    raised = Match.string_like_regexp("Raise timeout, or lower wait_for")
    if warned:
        Annotations.from_stack(stack).has_warning("/Shop/Pages", raised)
    else:
        Annotations.from_stack(stack).has_no_warning("*", raised)


def longest_way(definition: Mapping[str, Any], attempts: int) -> float:
    """Seconds that a child execution takes at most from its call to its dead letter."""
    states = definition["States"]["Items"]["ItemProcessor"]["States"]

    def waits(name: str) -> float:
        return float(
            sum(
                min(retry["MaxDelaySeconds"], retry["IntervalSeconds"] * retry["BackoffRate"] ** number)
                for retry in states[name]["Retry"]
                for number in range(retry["MaxAttempts"])
            )
        )

    call, letter = states["Call"], states["DeadLetter"]
    sending = (1 + letter["Retry"][0]["MaxAttempts"]) * letter["TimeoutSeconds"] + waits("DeadLetter")
    between = sum(min(60, 2 * 2**number) for number in range(attempts))
    return float((1 + attempts) * (call["TimeoutSeconds"] + waits("Call")) + between + sending)


@pytest.mark.parametrize(("seconds", "attempts"), [(33, 2), (60, 2), (90, 1), (180, 0)])
def test_an_express_item_has_ended_before_aws_ends_it(seconds: int, attempts: int) -> None:
    """All attempts, the platform's own retries and the dead letter's take less than five minutes."""
    stack = Stack(App(), "Shop")
    made_of = Work.function(make_function(stack), timeout=Duration.seconds(seconds))
    ParallelWork(stack, "Pages", work=made_of, items=Items.given(distributed=True), express_items=True)
    ((_, found),) = machines_in(Template.from_stack(stack).to_json())
    assert f"< [{attempts}][$call.rule]" in json.dumps(found)
    assert longest_way(found, attempts) < 300


@pytest.mark.parametrize(
    ("seconds", "retries", "fallback", "said"),
    [
        (90, [Retry(attempts=5)], None, "6 calls of 90 s, 86 s between them, 85 s for a dead letter"),
        (90, [Retry(attempts=1)], 60, "2 calls of 90 s, a fallback of 60 s, 14 s between them"),
        (220, None, None, "1 calls of 220 s"),
    ],
)
def test_an_express_item_that_might_end_without_a_letter_is_refused(
    seconds: int, retries: list[Retry] | None, fallback: int | None, said: str
) -> None:
    """With the arithmetic: AWS ends it after five minutes past every Catch."""
    stack = Stack(App(), "Shop")
    function = make_function(stack)
    with pytest.raises(ValueError, match="at most 300 s in all") as refused:
        ParallelWork(
            stack,
            "Pages",
            work=Work.function(function, timeout=Duration.seconds(seconds)),
            items=Items.given(distributed=True),
            express_items=True,
            retries=retries,
            fallback=None
            if fallback is None
            else Work.function(function, timeout=Duration.seconds(fallback)),
        )
    assert said in str(refused.value)


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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_concurrency": 41}, "max_concurrency is 41"),
        ({"max_concurrency": 10_001, "items": Items.given(distributed=True)}, "1 to 10,000"),
        ({"batches_at_once": 0}, "batches_at_once is 0"),
        ({"tolerated_percent": 101}, "tolerated_percent is 101"),
        ({"tolerated_count": -1}, "tolerated_count is -1"),
        ({"group": 5}, "group is 5; allowed: only of distributed items"),
        ({"express_items": True}, "express_items is True; allowed: only of distributed items"),
        ({"items": Items.given(most=501)}, "items.most is 501"),
        ({"items": Items.given("pages")}, "items is 'pages'"),
        ({"items": ["a"]}, "items is ['a']"),
        (
            {"wait_for": Duration.hours(1)},
            "wait_for is 3600; allowed: only with a downstream that has a breaker",
        ),
        ({"items": Items.given(distributed=True, most=5)}, "only of inline items"),
        ({"retries": [Retry(attempts=251)]}, "attempts"),
        ({"timeout": Duration.days(366)}, "timeout"),
    ],
)
def test_the_impossible_is_refused(given: dict[str, Any], said: str) -> None:
    """At synth, by name, value and what is allowed."""
    stack = Stack(App(), "Shop")
    with pytest.raises(ValueError, match="ParallelWork 'Pages'") as refused:
        ParallelWork(stack, "Pages", work=a_function(stack), **given)
    assert said in str(refused.value)


@pytest.mark.parametrize("columns", ["abc", [], ["a", ""]])
def test_columns_are_a_list_of_names(columns: Any) -> None:
    """A text would be taken for its letters."""
    stack = Stack(App(), "Shop")
    rows = Items.csv(s3.Bucket(stack, "In"), key=KEY, columns=columns, delimiter="?")
    with pytest.raises(ValueError, match="ParallelWork 'Pages' has 2 faults") as refused:
        ParallelWork(stack, "Pages", work=a_function(stack), items=rows)
    assert f"items.columns is {columns!r}" in str(refused.value)


def test_express_items_cannot_wait_for_a_circuit() -> None:
    """Nor can a work that takes longer than five minutes; both are said at once."""
    stack = Stack(App(), "Shop")
    function = ResilientFunction(
        stack,
        "Slow",
        handler=Handler.from_directory("examples/handlers/delivery", "delivery.deliver"),
        timeout=Duration.minutes(14),
    )
    ocr = Downstream(stack, "Ocr", requests_per_second=5, breaker=BreakerPolicy())
    with pytest.raises(ValueError, match="2 ") as refused:
        ParallelWork(
            stack,
            "Pages",
            work=Work.function(function),
            items=Items.given(distributed=True),
            downstream=ocr,
            express_items=True,
        )
    assert "cannot wait until the circuit closes" in str(refused.value)
    assert "work.timeout" in str(refused.value)
