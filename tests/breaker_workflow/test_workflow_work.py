"""What each kind of work calls, how long it may take, which errors it raises and what the role needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match
from workflow_kinds import (
    EXPRESS_KINDS,
    HANDLER,
    KINDS,
    make_connection,
    make_function,
    make_machine,
    make_task,
)

from resilient_constructs import BreakerWorkflow, ResilientFunction, Work
from resilient_constructs.breaker_workflow.work_function import KEY_TOLD
from resilient_constructs.limits import Faults

every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


@pytest.fixture
def stack() -> Stack:
    """An empty stack."""
    return Stack(App(), "Shop")


def told(work: Work, *, express: bool = False) -> list[str]:
    """What is wrong with it."""
    faults = Faults("BreakerWorkflow 'Analyse'")
    work.check(faults, express=express)
    return faults.found


@every_kind
def test_every_kind_of_work_ends_some_day(stack: Stack, make: Callable[[Stack], Work]) -> None:
    """Each has a timeout, and tries the platform's own errors again, jittered and with an end."""
    task = make(stack).task
    assert task.timeout_seconds > 0
    assert task.platform_retries
    assert all(retry.attempts > 0 and retry.longest_seconds > 0 for retry in task.platform_retries)


@every_kind
def test_the_platforms_errors_say_nothing_of_the_downstream(
    stack: Stack, make: Callable[[Stack], Work]
) -> None:
    """No error is both one of the platform and one that rejects or slows down."""
    work = make(stack)
    platform = {error for retry in work.task.platform_retries for error in retry.errors}
    assert platform.isdisjoint((*work.rejects, *work.throttles))
    assert not platform & {"States.ALL", "States.TaskFailed", "States.Timeout"}


@every_kind
def test_every_kind_of_work_is_in_order(stack: Stack, make: Callable[[Stack], Work]) -> None:
    """What the shortest call makes is complete."""
    assert told(make(stack)) == []


@every_kind
def test_an_express_workflow_waits_for_nobody(stack: Stack, make: Callable[[Stack], Work]) -> None:
    """Work that Step Functions has to wait for needs a Standard workflow, and the error says why."""
    found = [fault for fault in told(make(stack), express=True) if fault.startswith("express")]
    assert bool(found) == (make.__name__ not in EXPRESS_KINDS)
    assert all("because it waits for" in fault for fault in found)


def test_a_function_has_its_own_timeout_and_some_time_to_start(stack: Stack) -> None:
    """The task outlasts the function, so that the function's own timeout is what ends it."""
    assert Work.function(make_function(stack, timeout=Duration.seconds(20))).task.timeout_seconds == 50
    assert Work.function(make_function(stack, "Unset")).task.timeout_seconds == 33
    ours = ResilientFunction(stack, "Ours", handler=HANDLER, timeout=Duration.seconds(40))
    assert Work.function(ours).task.timeout_seconds == 70
    imported = lambda_.Function.from_function_name(stack, "Far", "far")
    assert Work.function(imported).task.timeout_seconds == 930


def test_a_function_is_called_with_the_work_and_its_return_is_the_result(stack: Stack) -> None:
    """No envelope of Lambda's reaches the function or the execution's output."""
    task = Work.function(make_function(stack)).task
    assert isinstance(task.arguments, dict)
    assert task.arguments["Payload"] == "{% $work %}"
    assert task.output == "{% $states.result.Payload %}"


def test_lambdas_throttling_is_waited_for_longer_than_its_hiccups(stack: Stack) -> None:
    """Concurrency comes back when invocations end; a hiccup is over in seconds."""
    throttled, hiccups = Work.function(make_function(stack)).task.platform_retries
    assert throttled.errors == ("Lambda.TooManyRequestsException",)
    assert throttled.attempts > hiccups.attempts
    assert "Lambda.ServiceException" in hiccups.errors


def test_a_function_that_was_put_off_counts_against_nobody(stack: Stack) -> None:
    """What our runtime raises before it called anybody is no failure of the downstream."""
    throttles = set(Work.function(make_function(stack)).throttles)
    assert throttles == {"CircuitOpen", "ClaimNotRead", "NoTurn", "SlowDown"}


def test_with_a_heartbeat_the_function_gets_a_token(stack: Stack) -> None:
    """Work that goes on elsewhere is waited for by its token, and silence ends it."""
    work = Work.function(make_function(stack), heartbeat=Duration.minutes(2))
    assert work.task.resource.endswith(":lambda:invoke.waitForTaskToken")
    assert work.task.heartbeat_seconds == 120
    assert isinstance(work.task.arguments, dict)
    payload = work.task.arguments["Payload"]
    assert payload == {"token": "{% $states.context.Task.Token %}", "input": "{% $work %}"}


@pytest.mark.parametrize("is_known", [True, False])
def test_who_could_not_be_allowed_to_answer_is_warned_of(stack: Stack, is_known: bool) -> None:
    """The role of an imported function is often not known, and then nobody may answer for the token."""
    arn = "arn:aws:lambda:eu-west-1:111122223333:function:far"
    role = iam.Role.from_role_arn(stack, "Role", "arn:aws:iam::111122223333:role/far")
    given: dict[str, Any] = {"role": role} if is_known else {}
    imported = lambda_.Function.from_function_attributes(stack, "Far", function_arn=arn, **given)
    BreakerWorkflow(stack, "Analyse", work=Work.function(imported, heartbeat=Duration.minutes(2)))
    told = Annotations.from_stack(stack)
    check = told.has_no_warning if is_known else told.has_warning
    check("/Shop/Analyse", Match.string_like_regexp(r"workflow\.grant_task_response\(role\)"))


def test_a_heartbeat_is_shorter_than_the_timeout(stack: Stack) -> None:
    """One that could never end the work is refused."""
    work = Work.function(make_function(stack), heartbeat=Duration.minutes(2), timeout=Duration.minutes(1))
    assert any(fault.startswith("work.heartbeat is 120; allowed: 1 to 59") for fault in told(work))


def test_a_function_is_told_the_key_in_every_form(stack: Stack) -> None:
    """Beside its payload, also where it only begins the work."""
    function = make_function(stack)
    for made in (Work.function(function), Work.function(function, heartbeat=Duration.minutes(2))):
        assert isinstance(made.task.arguments, dict)
        assert made.task.arguments["ClientContext"] == KEY_TOLD


def test_an_endpoint_is_called_without_a_function(stack: Stack) -> None:
    """The task is Step Functions' own, with the connection's credentials and a key for this work."""
    task = Work.http("https://api.example.com/pages", connection=make_connection(stack)).task
    assert task.resource.endswith(":states:::http:invoke")
    assert isinstance(task.arguments, dict)
    assert task.arguments["Method"] == "POST"
    assert task.arguments["RequestBody"] == "{% $work %}"
    assert "ConnectionArn" in task.arguments["InvocationConfig"]
    assert task.arguments["Headers"]["Idempotency-Key"] == "{% $job.key %}"
    assert task.timeout_seconds == 60


def test_trouble_with_the_credentials_is_none_of_the_downstream(stack: Stack) -> None:
    """Connection errors that pass are tried again by the platform, those that last dead-letter at once."""
    work = Work.http("https://api.example.com/", connection=make_connection(stack))
    (passing,) = work.task.platform_retries
    assert "Events.ConnectionResource.AuthInProgress" in passing.errors
    assert "Events.ConnectionResource.AccessDenied" in work.rejects


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"url": "http://api.example.com/"}, "work.url is 'http://api.example.com/'; allowed: an address"),
        ({"method": "post"}, "work.method is 'post'; allowed: one of DELETE, GET"),
        ({"headers": {"Authorization": "x"}}, "work.headers['Authorization'] is 'Authorization'"),
        ({"headers": {"X-Amz-Date": "x"}}, "work.headers['X-Amz-Date'] is 'X-Amz-Date'"),
        ({"timeout": Duration.seconds(61)}, "work.timeout is 61; allowed: whole numbers, 1 to 60 seconds"),
        ({"url": "{% $work.url %}"}, "work.may_call is None; allowed: a pattern"),
    ],
)
def test_what_an_http_task_would_fail_with_is_refused(
    stack: Stack, given: dict[str, Any], fault: str
) -> None:
    """Headers and addresses that end an execution for good, past every Catch, never get that far."""
    given = {"url": "https://api.example.com/", **given}
    work = Work.http(given.pop("url"), connection=make_connection(stack), **given)
    (found,) = told(work)
    assert found.startswith(fault)
    assert "https://docs.aws.amazon.com/" in found


def test_the_role_may_call_one_address_by_one_method(stack: Stack) -> None:
    """Not any address that the connection's credentials would open."""
    connection = make_connection(stack)
    exact = Work.http("https://api.example.com/a", connection=connection, method="PUT")
    wide = Work.http("{% $work.url %}", connection=connection, may_call="https://api.example.com/*")
    for work, endpoint in ((exact, "https://api.example.com/a"), (wide, "https://api.example.com/*")):
        (statement,) = work.on_machine
        assert statement["Condition"]["StringLike"] == {"states:HTTPEndpoint": endpoint}
    assert exact.on_machine[0]["Condition"]["StringEquals"] == {"states:HTTPMethod": "PUT"}


def test_an_action_is_called_by_its_own_name(stack: Stack) -> None:
    """The role may do that action on what was said, under the service's own name for it."""
    work = Work.action("textract", "analyzeDocument", {"Document": {}}, resources=["*"])
    assert work.task.resource.endswith(":states:::aws-sdk:textract:analyzeDocument")
    assert work.statements == (
        {"Effect": "Allow", "Action": ["textract:AnalyzeDocument"], "Resource": ["*"]},
    )


def test_an_answer_may_mean_an_error(stack: Stack) -> None:
    """What services say inside a successful answer reaches the breaker by an expression."""
    expression = "$states.result.FailedEntryCount > 0 ? 'NotPut' : ''"
    put = Work.action("eventbridge", "putEvents", {}, resources=["*"], error_of_result=expression)
    called = Work.http(
        "https://api.example.com/", connection=make_connection(stack), error_of_result="'Never'"
    )
    assert put.task.error_of_result == expression
    assert called.task.error_of_result == "'Never'"


@pytest.mark.parametrize(
    ("service", "action", "allowed", "family"),
    [
        ("textract", "analyzeDocument", "textract:AnalyzeDocument", "Textract"),
        ("dynamodb", "putItem", "dynamodb:PutItem", "DynamoDb"),
        ("dynamodb", "transactGetItems", "dynamodb:GetItem", "DynamoDb"),
        ("bedrockruntime", "invokeModel", "bedrock:InvokeModel", "BedrockRuntime"),
        ("bedrockruntime", "converse", "bedrock:InvokeModel", "BedrockRuntime"),
        ("cloudwatchlogs", "putLogEvents", "logs:PutLogEvents", "CloudWatchLogs"),
        ("secretsmanager", "getSecretValue", "secretsmanager:GetSecretValue", "SecretsManager"),
        ("eventbridge", "putEvents", "events:PutEvents", "EventBridge"),
        ("sfn", "startExecution", "states:StartExecution", "Sfn"),
        ("s3", "listObjectsV2", "s3:ListBucket", "S3"),
        ("lambda", "invoke", "lambda:InvokeFunction", "Lambda"),
    ],
)
def test_an_actions_names_are_those_of_iam_and_of_its_errors(
    service: str, action: str, allowed: str, family: str
) -> None:
    """What Step Functions, IAM and errors call a service are three names, and each is used in its place."""
    work = Work.action(service, action, {}, resources=["*"])
    assert work.statements[0]["Action"] == [allowed]
    (hiccups,) = work.task.platform_retries
    assert hiccups.errors == (f"{family}.SdkClientException",)
    assert told(work) == []


@pytest.mark.parametrize(
    ("service", "action"),
    [
        ("managedblockchain", "getNode"),
        ("apigateway", "getRestApi"),
        ("dynamodb", "transactWriteItems"),
        ("s3", "getBucketEncryption"),
    ],
)
def test_what_iam_calls_an_action_is_not_guessed(service: str, action: str) -> None:
    """Where it is not known, or takes more than one permission, it has to be said."""
    (fault,) = told(Work.action(service, action, {}, resources=["*"]))
    assert fault.startswith(f"work.iam_actions is None; allowed: what IAM calls {service}:{action}")
    said = Work.action(service, action, {}, resources=["*"], iam_actions=["x:Y"], errors_of="X")
    assert told(said) == []
    assert said.statements[0]["Action"] == ["x:Y"]
    assert said.task.platform_retries[0].errors == ("X.SdkClientException",)


def test_a_permission_is_no_list_of_letters() -> None:
    """One name where a list belongs would be granted letter by letter."""
    work = Work.action("s3", "getObject", {}, resources="arn:aws:s3:::b/*", iam_actions="s3:GetObject")
    assert [fault.split("; allowed: ")[1].split(" (")[0] for fault in told(work)] == [
        "a list: ['arn:aws:s3:::b/*']",
        "a list: ['s3:GetObject']",
    ]


def test_an_impossible_action_is_refused_all_at_once(stack: Stack) -> None:
    """Service, action, parameters and resources are each told."""
    work = Work.action("Textract", "AnalyzeDocument", {"document": {}}, resources=[])
    assert [fault.split(" ")[0] for fault in told(work)] == [
        "work.service",
        "work.action",
        "work.arguments",
        "work.resources",
    ]


def test_a_task_gets_its_work_as_a_variable(stack: Stack) -> None:
    """The container finds the input as JSON, beside what it was given."""
    task = make_task(stack).task
    assert task.resource.endswith(":ecs:runTask.sync")
    assert isinstance(task.arguments, dict)
    (override,) = task.arguments["Overrides"]["ContainerOverrides"]
    assert override["Environment"] == [
        {"Name": "WORK", "Value": "{% $string($work) %}"},
        {"Name": "MODE", "Value": "fast"},
    ]


def test_a_task_that_tells_that_it_lives_gets_a_token(stack: Stack) -> None:
    """With a heartbeat it is waited for by its token."""
    work = make_task(stack, heartbeat=Duration.minutes(1))
    assert work.task.resource.endswith(":ecs:runTask.waitForTaskToken")
    assert work.task.heartbeat_seconds == 60
    assert "'TASK_TOKEN'" in str(work.task.arguments)
    # its end is told by the token: nothing watches, describes or stops it
    assert {str(one["Action"]) for one in work.statements} == {"ecs:RunTask", "iam:PassRole"}


def test_a_work_that_does_not_fit_into_a_task_says_nothing_of_ecs(stack: Stack) -> None:
    """Overrides of more than 8,192 characters are refused: no to this one work, and no failed call."""
    assert "ECS.InvalidParameterException" in make_task(stack).rejects


def test_a_task_may_have_a_public_address(stack: Stack) -> None:
    """In a public subnet it needs one to pull its image; by default it has none."""
    asked: dict[str, dict[str, Any]] = {"DISABLED": {}, "ENABLED": {"assign_public_ip": True}}
    for name, given in asked.items():
        task = make_task(Stack(App(), "Shop"), **given).task
        assert isinstance(task.arguments, dict)
        network = task.arguments["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == name


def test_a_tasks_grants_are_bound_to_its_cluster(stack: Stack) -> None:
    """What must be granted on any task is granted in this cluster alone, and roles only to ECS."""
    statements = make_task(stack).statements
    (any_task,) = [one for one in statements if one["Resource"] == "*"]
    assert set(any_task["Condition"]) == {"ArnEquals"}
    (passing,) = [one for one in statements if one["Action"] == "iam:PassRole"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    assert len(passing["Resource"]) == 2


def test_a_workflow_is_started_once_however_often_it_is_asked(stack: Stack) -> None:
    """A start whose answer got lost finds its own execution, by a name made of this one's."""
    task = Work.workflow(make_machine(stack)).task
    assert task.resource.endswith(":states:::states:startExecution.sync:2")
    assert isinstance(task.arguments, dict)
    assert "$states.context.Execution.Name" in task.arguments["Name"]
    assert "$states.context.State.EnteredTime" in task.arguments["Name"]


def test_a_timeout_that_only_cloudformation_knows_is_refused(stack: Stack) -> None:
    """It stands in the definition's text, where a token would be nonsense."""
    seconds = CfnParameter(stack, "Seconds", type="Number").value_as_number
    work = Work.function(make_function(stack), timeout=Duration.seconds(seconds))
    assert told(work)[0].startswith("work.timeout is 'a token'; allowed: a duration known at synth")
