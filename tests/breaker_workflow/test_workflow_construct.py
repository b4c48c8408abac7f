"""What a workflow makes by default, what it makes of what is handed in, and how it is reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk.assertions import Annotations, Match, Template
from resilient_runtime.settings import Settings
from workflow_kinds import (
    KINDS,
    a_function,
    actions_of,
    make_connection,
    make_downstream,
    statements_of,
)

from resilient_constructs import BreakerWorkflow, ParallelWork, Parking, ResilientFunction, Work
from resilient_constructs.breaker_workflow.signals import Emitted, workflow_signals
from resilient_constructs.monitoring import Severity

FOURTEEN_DAYS = 14 * 86_400


def built(**given: Any) -> dict[str, Any]:
    """The template of one workflow, the downstream's included unless another is given."""
    stack = Stack(App(), "Shop")
    if "downstream" not in given:
        given["downstream"] = make_downstream(stack)
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), **given)
    return dict(Template.from_stack(stack).to_json())


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The template of a workflow of a function behind a downstream with a breaker; nobody changes it."""
    return built()


def of_type(template: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The workflow's own resources of a type, by logical ID."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind and name.startswith("Analyse")
    }


def test_work_waits_in_a_queue_of_its_own(template: dict[str, Any]) -> None:
    """New work, parked work and what was given up have a queue each, and both of the former dead-letter."""
    queues = of_type(template, "AWS::SQS::Queue")
    assert len(queues) == 3
    ends = [name for name, queue in queues.items() if "RedrivePolicy" not in queue]
    assert len(ends) == 1
    for queue in queues.values():
        assert queue["MessageRetentionPeriod"] == FOURTEEN_DAYS
        if "RedrivePolicy" in queue:
            assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": [ends[0], "Arn"]}
            assert queue["RedrivePolicy"]["maxReceiveCount"] == 1000
    assert len(queues[ends[0]]["RedriveAllowPolicy"]["sourceQueueArns"]) == 2


def test_the_starter_is_fed_from_both_queues(template: dict[str, Any]) -> None:
    """Each queue has a mapping with a bound, partial batches and metrics, and stays hidden long enough."""
    mappings = of_type(template, "AWS::Lambda::EventSourceMapping")
    assert sorted(one["ScalingConfig"]["MaximumConcurrency"] for one in mappings.values()) == [2, 8]
    queues = of_type(template, "AWS::SQS::Queue")
    (starter,) = of_type(template, "AWS::Lambda::Function").values()
    for mapping in mappings.values():
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["MetricsConfig"] == {"Metrics": ["EventCount"]}
        queue = queues[mapping["EventSourceArn"]["Fn::GetAtt"][0]]
        assert queue["VisibilityTimeout"] >= 6 * starter["Timeout"]


def test_both_mappings_are_paused_while_the_circuit_is_open(template: dict[str, Any]) -> None:
    """The controller looks after the work's and the parked work's mapping, each at its own concurrency."""
    (controller,) = [
        resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function" and "Controller" in name
    ]
    feeds = json.dumps(controller["Environment"]["Variables"]["RESILIENT_FEEDS"])
    for name in of_type(template, "AWS::Lambda::EventSourceMapping"):
        assert name in feeds


def test_the_starter_is_told_what_to_start_and_how_fast(template: dict[str, Any]) -> None:
    """Its handler lies in the layer; its share of ten a second is a tenth for each of ten environments."""
    (starter,) = of_type(template, "AWS::Lambda::Function").values()
    variables = starter["Environment"]["Variables"]
    told = Settings.from_env({name: text for name, text in variables.items() if isinstance(text, str)})
    assert told.handler == "resilient_runtime.starting.start"
    assert told.mode == "messages"
    assert variables["RESILIENT_STARTS_PER_SECOND"] == "1"
    assert "StateMachine" in variables["RESILIENT_STATE_MACHINE_ARN"]["Ref"]
    assert "Claims" in variables["RESILIENT_CLAIMS_BUCKET"]["Ref"]


def test_large_inputs_are_kept_where_nobody_else_looks(template: dict[str, Any]) -> None:
    """The bucket is encrypted, closed to the public, TLS only, kept with its stack gone, and ends things."""
    (bucket,) = [
        one["Properties"] for one in template["Resources"].values() if one["Type"] == "AWS::S3::Bucket"
    ]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] > 90 + 14
    (resource,) = [one for one in template["Resources"].values() if one["Type"] == "AWS::S3::Bucket"]
    assert resource["DeletionPolicy"] == "Retain"
    (policy,) = [one for one in template["Resources"].values() if one["Type"] == "AWS::S3::BucketPolicy"]
    assert "aws:SecureTransport" in json.dumps(policy)


def test_executions_are_traced_and_logged_without_their_data(template: dict[str, Any]) -> None:
    """X-Ray is on; the log holds errors, for a month, and never an input or output."""
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine").values()
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["LoggingConfiguration"]["Level"] == "ERROR"
    groups = of_type(template, "AWS::Logs::LogGroup")
    (group,) = [one for name, one in groups.items() if "Starter" not in name]
    assert group["RetentionInDays"] == 30
    assert json.dumps(group["LogGroupName"]).count("/aws/vendedlogs/states/") == 1


def test_an_express_workflow_logs_everything_but_data() -> None:
    """It has no other history; and no event tells of its end, so no rule waits for one."""
    template = built(express=True, downstream=None)
    (machine,) = of_type(template, "AWS::StepFunctions::StateMachine").values()
    assert machine["StateMachineType"] == "EXPRESS"
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert of_type(template, "AWS::Events::Rule") == {}


def test_what_ended_without_giving_up_is_kept_all_the_same(template: dict[str, Any]) -> None:
    """Timed out, stopped or failed past every Catch: the event goes to the dead letters, and may."""
    (rule,) = of_type(template, "AWS::Events::Rule").values()
    detail = rule["EventPattern"]["detail"]
    assert detail["stateMachineArn"] == [{"Ref": next(iter(_machines(template)))}]
    assert {"status": ["TIMED_OUT", "ABORTED"]} in detail["$or"]
    uncaught = ["States.DataLimitExceeded", "States.QueryEvaluationError", "States.Runtime"]
    dead_lettered = {"anything-but": {"suffix": " (given up)"}}
    failed = {"status": ["FAILED"], "error": uncaught, "cause": [dead_lettered, {"exists": False}]}
    assert failed in detail["$or"]
    (target,) = rule["Targets"]
    dead_letters = target["Arn"]["Fn::GetAtt"][0]
    policies = [
        statement
        for policy in of_type(template, "AWS::SQS::QueuePolicy").values()
        if {"Ref": dead_letters} in policy["Queues"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    allowed = [one["Principal"] for one in policies if one["Effect"] == "Allow"]
    assert {"Service": "events.amazonaws.com"} in allowed


def _machines(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return of_type(template, "AWS::StepFunctions::StateMachine")


def test_the_machine_may_do_what_it_does_and_no_more(template: dict[str, Any]) -> None:
    """It invokes its function, sends to two queues, uses the circuits, logs and traces."""
    actions = actions_of(statements_of(template, "AnalyseRole"))
    assert {one for one in actions if not one.startswith(("logs:", "xray:"))} == {
        "lambda:InvokeFunction",
        "sqs:SendMessage",
    }
    (role,) = [one for name, one in of_type(template, "AWS::IAM::Role").items() if "Starter" not in name]
    assert len(role["ManagedPolicyArns"]) == 1


def test_the_starter_may_start_keep_and_poll(template: dict[str, Any]) -> None:
    """It starts this machine, writes claims below one prefix, and polls its two queues."""
    statements = statements_of(template, "AnalyseStarter")
    (start,) = [one for one in statements if one["Action"] == "states:StartExecution"]
    assert start["Resource"] == {"Ref": next(iter(_machines(template)))}
    (keep,) = [one for one in statements if one["Action"] == "s3:PutObject"]
    assert keep["Resource"]["Fn::Join"][1][1] == "/work/*"


def test_a_function_of_ours_may_read_what_was_too_large(template: dict[str, Any]) -> None:
    """Its input is resolved by its own runtime, so its role may get the objects, and not write any."""
    actions = actions_of(statements_of(template, "WorkerRole"))
    assert {one for one in actions if one.startswith("s3:")} == {"s3:GetObject", "s3:ListBucket"}


def test_workflows_of_a_stack_share_the_bucket_for_large_inputs() -> None:
    """What lies in it is named by its content, so a bucket for each would keep nothing apart."""
    stack = Stack(App(), "Shop")
    work = a_function(stack)
    first = BreakerWorkflow(stack, "First", work=work)
    second = BreakerWorkflow(stack, "Second", work=work)
    assert first.claims is second.claims


def test_without_a_breaker_nothing_is_parked() -> None:
    """No parked queue, no circuits and no controller are made."""
    template = built(downstream=None)
    assert len(of_type(template, "AWS::SQS::Queue")) == 2
    assert not [one for one in template["Resources"] if one.startswith("ResilientCircuits")]


def test_work_that_waits_in_its_execution_needs_no_queue_for_it() -> None:
    """With Parking.WAIT there is one mapping, and the circuit is the same."""
    template = built(parking=Parking.WAIT)
    assert len(of_type(template, "AWS::SQS::Queue")) == 2
    assert len(of_type(template, "AWS::Lambda::EventSourceMapping")) == 1


def test_everything_made_can_be_reached() -> None:
    """Queues, bucket, role, log, machine, starter and mappings are attributes."""
    stack = Stack(App(), "Shop")
    made = BreakerWorkflow(stack, "Analyse", work=a_function(stack), downstream=make_downstream(stack))
    assert made.queue is made.work_queue
    assert made.parked_queue is not None
    assert made.parked_mapping is not None
    assert made.ended is not None
    for one in (made.dead_letter_queue, made.claims, made.role, made.log_group, made.event_source_mapping):
        assert one is not None
    assert isinstance(made.state_machine, sfn.StateMachine)
    assert isinstance(made.starter, ResilientFunction)
    assert set(made.alarms) >= {"WorkGivenUp", "ExecutionsFailed", "ExecutionsTimedOut", "ParkedWorkWaits"}


def test_what_is_handed_in_is_used() -> None:
    """Queues, bucket, role and log group of the user's take the place of ours."""
    stack = Stack(App(), "Shop")
    queues = {
        name: sqs.Queue(stack, name.title(), visibility_timeout=Duration.minutes(6))
        for name in ("work", "parked", "dead")
    }
    role = iam.Role(stack, "Mine", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
    made = BreakerWorkflow(
        stack,
        "Analyse",
        work=a_function(stack),
        downstream=make_downstream(stack),
        queue=queues["work"],
        parked_queue=queues["parked"],
        dead_letter_queue=queues["dead"],
        claims=s3.Bucket(stack, "Bucket"),
        role=role,
        log_group=logs.LogGroup(stack, "Log"),
        log_level=sfn.LogLevel.FATAL,
    )
    template = Template.from_stack(stack).to_json()
    assert of_type(template, "AWS::SQS::Queue") == {}
    assert of_type(template, "AWS::S3::Bucket") == {}
    assert (made.queue, made.parked_queue, made.dead_letter_queue) == tuple(queues.values())
    (machine,) = _machines(template).values()
    assert machine["RoleArn"]["Fn::GetAtt"][0].startswith("Mine")
    assert machine["LoggingConfiguration"]["Level"] == "FATAL"
    granted = actions_of(statements_of(template, "Mine", "AnalyseWorkPolicy"))
    assert {"lambda:InvokeFunction", "sqs:SendMessage", "dynamodb:UpdateItem"} <= granted


def test_a_customer_key_is_granted_to_everyone_who_sends() -> None:
    """Machine, starter, schedule and EventBridge may use the key of the queues made here."""
    stack = Stack(App(), "Shop")
    key = kms.Key(stack, "Key")
    made = BreakerWorkflow(
        stack, "Analyse", work=a_function(stack), downstream=make_downstream(stack), encryption_key=key
    )
    made.on_schedule("Nightly", "cron(0 6 * * ? *)")
    template = Template.from_stack(stack).to_json()
    for queue in of_type(template, "AWS::SQS::Queue").values():
        assert queue["KmsMasterKeyId"]
    for owner in ("AnalyseRole", "AnalyseStarterRole", "AnalyseScheduleRole"):
        assert "kms:Decrypt" in actions_of(statements_of(template, owner)), owner
    (one,) = [one for one in template["Resources"].values() if one["Type"] == "AWS::KMS::Key"]
    assert "events.amazonaws.com" in json.dumps(one["Properties"]["KeyPolicy"])


def test_a_claims_bucket_with_a_customer_key_can_be_written_and_read() -> None:
    """The starter encrypts large inputs with the key, and the work that reads them decrypts with it."""
    stack = Stack(App(), "Shop")
    key = kms.Key(stack, "Key")
    BreakerWorkflow(
        stack, "Analyse", work=a_function(stack), claims=s3.Bucket(stack, "Large", encryption_key=key)
    )
    template = Template.from_stack(stack).to_json()
    for owner, action in (("AnalyseStarterRole", "kms:GenerateDataKey"), ("WorkerRole", "kms:Decrypt")):
        using = [one for one in statements_of(template, owner) if "kms" in str(one["Action"])]
        assert [one["Action"] for one in using] == [action], owner
        assert using[0]["Resource"]["Fn::GetAtt"][0].startswith("Key")
    Annotations.from_stack(stack).has_no_warning("*", Match.any_value())


@pytest.mark.parametrize("is_known", [True, False])
def test_an_imported_bucket_whose_key_is_not_known_is_warned_of(is_known: bool) -> None:
    """Nothing can be granted on a key that nobody named; one that was named is used."""
    stack = Stack(App(), "Shop")
    arn = "arn:aws:kms:eu-west-1:111122223333:key/1"
    given: dict[str, Any] = {"encryption_key": kms.Key.from_key_arn(stack, "Key", arn)} if is_known else {}
    large = s3.Bucket.from_bucket_attributes(stack, "Large", bucket_name="large", **given)
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), claims=large)
    told = Annotations.from_stack(stack)
    check = told.has_no_warning if is_known else told.has_warning
    check("/Shop/Analyse", Match.string_like_regexp("claims is imported"))
    used = [
        one
        for one in statements_of(Template.from_stack(stack).to_json(), "Analyse")
        if one["Resource"] == arn
    ]
    assert [one["Action"] for one in used] == (["kms:GenerateDataKey"] if is_known else [])


def test_a_batchs_starter_uses_the_claims_buckets_key_too() -> None:
    """A batch that is too large for a message is kept in the same way."""
    stack = Stack(App(), "Shop")
    large = s3.Bucket(stack, "Large", encryption_key=kms.Key(stack, "Key"))
    ParallelWork(stack, "Analyse", work=a_function(stack), claims=large)
    granted = actions_of(statements_of(Template.from_stack(stack).to_json(), "AnalyseStarterRole"))
    assert {"s3:PutObject", "kms:GenerateDataKey"} <= granted


def test_a_batch_refuses_what_is_no_work_by_name() -> None:
    """As a workflow does."""
    with pytest.raises(ValueError, match=r"ParallelWork 'Analyse': work is 5; allowed: a Work"):
        ParallelWork(Stack(App(), "Shop"), "Analyse", work=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("express", [False, True])
def test_what_an_express_workflow_loses_is_said_and_wakes_someone(express: bool) -> None:
    """It keeps no input and no event tells of its end, so no alarm promises dead letters or a redrive."""
    emitted = Emitted(
        machine_arn="arn",
        work_queue_name="work",
        parked_queue_name=None,
        dead_letter_queue_name="dead",
        function={"FunctionName": "starter"},
    )
    signals = {one.name: one for one in workflow_signals(emitted, timeout=300, alarm_age=60, express=express)}
    for name in ("ExecutionsFailed", "ExecutionsTimedOut"):
        text = signals[name].because
        assert ("that work is lost" in text) == express
        assert ("resilient redrive" in text or "dead letters by an event" in text) != express
        if express:
            assert signals[name].severity is Severity.PAGE


def test_an_express_workflows_alarms_are_those_of_an_express_workflow() -> None:
    """What its signals say reaches the alarms."""
    alarms = of_type(built(express=True, downstream=None), "AWS::CloudWatch::Alarm").values()
    told = [one["AlarmDescription"] for one in alarms if "Execution" in json.dumps(one.get("MetricName", ""))]
    assert sum("that work is lost" in json.dumps(text) for text in told) == 2
    assert "resilient redrive" not in json.dumps(told)


def test_an_endpoint_may_be_called_by_this_machine_alone() -> None:
    """The permission names the state machine, in a policy that may stand behind it."""
    stack = Stack(App(), "Shop")
    work = Work.http("https://api.example.com/pages", connection=make_connection(stack))
    BreakerWorkflow(stack, "Analyse", work=work)
    template = Template.from_stack(stack).to_json()
    (statement,) = statements_of(template, "AnalyseEndpointPolicy")
    assert statement["Action"] == "states:InvokeHTTPEndpoint"
    assert statement["Resource"] == {"Ref": next(iter(_machines(template)))}


@pytest.mark.parametrize("kind", ["a_callback", "a_heard_task"])
def test_who_has_a_token_may_answer(kind: str) -> None:
    """The role of the function or the task may tell that the work lives and how it ended."""
    stack = Stack(App(), "Shop")
    BreakerWorkflow(stack, "Analyse", work=KINDS[kind](stack))
    (statement,) = statements_of(Template.from_stack(stack).to_json(), "AnalyseTaskResponsePolicy")
    assert set(statement["Action"]) == {
        "states:SendTaskFailure",
        "states:SendTaskHeartbeat",
        "states:SendTaskSuccess",
    }


def test_a_fallbacks_grants_are_added() -> None:
    """What is done in the work's stead may be done as well."""
    stack = Stack(App(), "Shop")
    fallback = Work.action("sns", "publish", {"Message": "{% $failure.error %}"}, resources=["arn:topic"])
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), fallback=fallback)
    granted = actions_of(statements_of(Template.from_stack(stack).to_json(), "AnalyseRole"))
    assert {"sns:Publish", "lambda:InvokeFunction"} <= granted
