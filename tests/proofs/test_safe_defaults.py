"""The table of safe defaults, row by row, over the template of every example."""

from __future__ import annotations

import json
import re
from typing import Any

from example_parts import (
    FOURTEEN_DAYS,
    FUNCTIONS,
    HANDLING,
    METHODS,
    QUEUE_MAPPINGS,
    QUEUES,
    SCHEDULES,
    STAGES,
    STREAM_MAPPINGS,
    SUBSCRIPTIONS,
    functions,
    handling,
    listed,
    mappings,
    methods,
    named,
    queue_mappings,
    queues,
    stages,
    stream_mappings,
    subscriptions,
)
from example_templates import TEMPLATES, resources
from resilient_runtime.settings import Settings


def test_the_examples_have_something_of_everything() -> None:
    """No row below passes because there was nothing to look at."""
    assert all((QUEUES, STREAM_MAPPINGS, QUEUE_MAPPINGS, HANDLING, STAGES, METHODS, SUBSCRIPTIONS, SCHEDULES))
    assert len(HANDLING) < len(FUNCTIONS)


@queues
def test_queues_are_encrypted(queue: dict[str, Any]) -> None:
    """Every queue is encrypted by SQS, or under a customer key."""
    assert queue.get("SqsManagedSseEnabled") is True or queue.get("KmsMasterKeyId")


@queues
def test_queues_keep_messages_for_14_days(queue: dict[str, Any]) -> None:
    """Every queue keeps a message as long as SQS can: 14 days."""
    assert queue["MessageRetentionPeriod"] == FOURTEEN_DAYS


def test_queues_take_tls_only() -> None:
    """Every queue's policy denies everything over plain HTTP."""
    shut = {
        (name.split(".")[0], queue["Ref"])
        for name, policy in resources("AWS::SQS::QueuePolicy")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Action"] == "sqs:*"
        and statement["Principal"] in ("*", {"AWS": "*"})
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for queue in policy["Queues"]
    }
    assert shut == {tuple(name.split(".")) for name, _ in QUEUES}


@queues
def test_queues_say_where_dead_letters_go_or_come_from(queue: dict[str, Any]) -> None:
    """A queue has a dead-letter queue, or says from which queues it takes dead letters."""
    assert ("RedrivePolicy" in queue) != ("RedriveAllowPolicy" in queue)
    allowed = queue.get("RedriveAllowPolicy", {"redrivePermission": "denyAll"})
    assert allowed["redrivePermission"] in ("byQueue", "denyAll")
    assert (allowed["redrivePermission"] == "byQueue") == bool(allowed.get("sourceQueueArns"))


@mappings
def test_a_failed_message_does_not_fail_its_batch(name: str, mapping: dict[str, Any]) -> None:
    """Every mapping reports batch item failures."""
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@queue_mappings
def test_concurrency_is_always_bounded(name: str, mapping: dict[str, Any]) -> None:
    """Every mapping of a queue has a maximum concurrency; a stream's is its number of shards."""
    assert 2 <= mapping["ScalingConfig"]["MaximumConcurrency"] <= 1000


@mappings
def test_mappings_publish_metrics(name: str, mapping: dict[str, Any]) -> None:
    """Every mapping's own metrics are switched on."""
    assert mapping["MetricsConfig"] == {"Metrics": ["EventCount"]}


@queue_mappings
def test_a_message_stays_hidden_six_timeouts(name: str, mapping: dict[str, Any]) -> None:
    """The queue's visibility timeout is at least six times the function's timeout plus the window."""
    queue, function = named(name, mapping["EventSourceArn"]), named(name, mapping["FunctionName"])
    window = mapping.get("MaximumBatchingWindowInSeconds", 0)
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + window


@queue_mappings
def test_a_message_is_tried_ten_times(name: str, mapping: dict[str, Any]) -> None:
    """A message is tried ten times before it is dead-lettered; one that waits to be started, a thousand."""
    variables = named(name, mapping["FunctionName"])["Environment"]["Variables"]
    # a message whose turn has not come goes back, which is no failure and spends a receive all the same
    tries = 1000 if variables.get("RESILIENT_HANDLER") == "resilient_runtime.starting.start" else 10
    assert named(name, mapping["EventSourceArn"])["RedrivePolicy"]["maxReceiveCount"] == tries


@stream_mappings
def test_a_record_that_fails_holds_up_its_shard_for_a_while_only(name: str, mapping: dict[str, Any]) -> None:
    """A stream's mapping splits batches, gives up after an hour at most, and keeps what it gave up."""
    assert mapping["BisectBatchOnFunctionError"] is True
    assert 0 < mapping["MaximumRetryAttempts"] <= 10
    assert 0 < mapping["MaximumRecordAgeInSeconds"] <= 3600
    kept = named(name, mapping["DestinationConfig"]["OnFailure"]["Destination"])
    assert kept["MessageRetentionPeriod"] == FOURTEEN_DAYS


@functions
def test_functions_run_on_arm_with_stated_limits(function: dict[str, Any]) -> None:
    """Every function runs on arm64, with a memory size and a timeout that somebody chose."""
    assert function["Architectures"] == ["arm64"]
    assert function["MemorySize"] >= 128
    assert function["Timeout"] > 0


@functions
def test_functions_are_traced_and_log_json(function: dict[str, Any]) -> None:
    """Every function is traced and logs JSON into a group of its own."""
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert set(function["LoggingConfig"]["LogGroup"]) == {"Ref"}


@handling
def test_environments_are_cured_and_handlers_interrupted(function: dict[str, Any]) -> None:
    """Every handler's function cleans up, recycles, is interrupted in time; the last resort is asked for."""
    variables = function["Environment"]["Variables"]
    told = Settings.from_env({name: text for name, text in variables.items() if isinstance(text, str)})
    assert told.health.reexec
    assert told.health.exit
    assert 0.1 <= told.health.threshold <= 0.5
    assert told.deadline_margin is None or told.deadline_margin > 0
    assert not told.health.update_function


def test_no_function_may_change_itself_or_another() -> None:
    """Of Lambda's own API a role is granted at most to read and change mappings, each by its ARN."""
    documents = [policy["PolicyDocument"] for _, policy in resources("AWS::IAM::Policy")]
    statements = [statement for document in documents for statement in document["Statement"]]
    assert statements
    for statement in statements:
        asked = {one for one in listed(statement["Action"]) if one.startswith(("lambda:", "iam:"))}
        assert asked <= {"lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"}
        if asked:
            assert all(":event-source-mapping:" in json.dumps(arn) for arn in listed(statement["Resource"]))


def test_full_environments_wake_someone() -> None:
    """Every handler's function has an alarm over its descriptors, memory, /tmp and threads."""
    watched = set()
    for name, alarm in resources("AWS::CloudWatch::Alarm"):
        text = json.dumps(alarm)
        if all(one in text for one in ("DescriptorsUsed", "MemoryUsed", "TmpUsed", "ThreadsUsed")):
            (function,) = set(re.findall(r'"FunctionName", "Value": \{"Ref": "(\w+)"', text))
            watched.add(f"{name.split('.')[0]}.{function}")
    assert watched == {name for name, _ in HANDLING}


def test_logs_end_some_day_and_outlive_the_stack() -> None:
    """Every log group has a retention and is kept when its stack goes."""
    for name, made in TEMPLATES.items():
        groups = {k: r for k, r in made()["Resources"].items() if r["Type"] == "AWS::Logs::LogGroup"}
        assert groups, name
        for group in groups.values():
            assert group["Properties"]["RetentionInDays"] > 0
            assert group["DeletionPolicy"] == "Retain"


def test_asynchronous_invocations_have_somewhere_to_fail_to() -> None:
    """What invokes a function asynchronously is a schedule, which comes again, or there is a destination."""
    scheduled = {name.split(".")[1] for name, _ in SCHEDULES}
    invoked = {
        json.dumps(permission["FunctionName"])
        for _, permission in resources("AWS::Lambda::Permission")
        if permission["SourceArn"]["Fn::GetAtt"][0] not in scheduled
    }
    covered = {
        json.dumps(config["FunctionName"])
        for _, config in resources("AWS::Lambda::EventInvokeConfig")
        if config["DestinationConfig"]["OnFailure"]["Destination"]
    }
    assert invoked <= covered


@methods
def test_202_means_stored(method: dict[str, Any]) -> None:
    """Only a 2xx answer of the storage becomes 202; the default is an error."""
    answers = method["Integration"]["IntegrationResponses"]
    accepted = [one for one in answers if one["StatusCode"] == "202"]
    assert [one["SelectionPattern"] for one in accepted] == [r"2\d\d"]
    (default,) = [one for one in answers if not one.get("SelectionPattern")]
    assert int(default["StatusCode"]) >= 400


@methods
def test_an_entry_that_failed_is_no_success(method: dict[str, Any]) -> None:
    """Where events are put, FailedEntryCount is looked at before 202 is said."""
    if ":events:" in json.dumps(method["Integration"]["Uri"]):
        (accepted,) = [
            one for one in method["Integration"]["IntegrationResponses"] if one["StatusCode"] == "202"
        ]
        assert "FailedEntryCount" in accepted["ResponseTemplates"]["application/json"]


@methods
def test_bodies_are_validated(method: dict[str, Any]) -> None:
    """Every method has a model and a validator, and passes no body through unseen."""
    assert method["RequestModels"]
    assert method["RequestValidatorId"]
    assert method["Integration"]["PassthroughBehavior"] == "NEVER"


def test_errors_are_problem_json() -> None:
    """Every answer of the gateway itself is application/problem+json."""
    answers = list(resources("AWS::ApiGateway::GatewayResponse"))
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED"} <= {answer["ResponseType"] for _, answer in answers}
    for _, answer in answers:
        assert (
            answer["ResponseParameters"]["gatewayresponse.header.Content-Type"]
            == "'application/problem+json'"
        )


@stages
def test_apis_are_throttled(stage: dict[str, Any]) -> None:
    """Every method of every stage has a rate and a burst of its own."""
    (everything,) = [one for one in stage["MethodSettings"] if one["ResourcePath"] == "/*"]
    assert everything["HttpMethod"] == "*"
    assert everything["ThrottlingRateLimit"] > 0
    assert everything["ThrottlingBurstLimit"] > 0


@stages
def test_apis_log_access_and_no_data(stage: dict[str, Any]) -> None:
    """Every stage logs who asked, with the correlation ID, and never a body; it is traced."""
    assert "correlation_id" in stage["AccessLogSetting"]["Format"]
    assert not any(one.get("DataTraceEnabled") for one in stage["MethodSettings"])
    assert stage["TracingEnabled"] is True


def test_buses_are_archived() -> None:
    """Every bus has an archive that ends some day."""
    buses = {name for name, _ in resources("AWS::Events::EventBus")}
    archived = {
        f"{name.split('.')[0]}.{archive['SourceArn']['Fn::GetAtt'][0]}"
        for name, archive in resources("AWS::Events::Archive")
        if archive["RetentionDays"] > 0
    }
    assert archived == buses


@subscriptions
def test_every_target_has_its_queues(name: str, rule: dict[str, Any]) -> None:
    """Every target of events is a queue with dead letters for work, and a queue for what is not delivered."""
    for target in rule["Targets"]:
        assert "RedrivePolicy" in named(name, target["Arn"])
        undelivered = named(name, target["DeadLetterConfig"]["Arn"])
        assert undelivered["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
