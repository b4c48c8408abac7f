"""How work reaches a workflow: a bus, a route, a schedule; all of it through the queue."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk.assertions import Template
from resilient_runtime.call import Call
from resilient_runtime.work_envelope import work_of
from workflow_kinds import a_function, make_downstream

from resilient_constructs import (
    Authorization,
    BreakerWorkflow,
    FanOutBus,
    Route,
    StorageFirstApi,
)
from resilient_constructs.breaker_workflow.schedule_times import check_schedule
from resilient_constructs.stores import Subscriber


@pytest.fixture(scope="module")
def made() -> tuple[BreakerWorkflow, dict[str, Any]]:
    """A workflow that a bus, an API and two schedules start, and its template; nobody changes it."""
    stack = Stack(App(), "Shop")
    analyse = BreakerWorkflow(stack, "Analyse", work=a_function(stack), downstream=make_downstream(stack))
    bus = FanOutBus(stack, "Pages")
    bus.subscribe("Analyse", analyse, detail_type=["PageSplit"])
    StorageFirstApi(
        stack,
        "Api",
        authorization=Authorization.IAM,
        routes=[Route.post("/pages", schema={"type": "object"}, store=analyse.messages())],
    )
    analyse.on_schedule("Nightly", "cron(0 6 * * ? *)", timezone="Europe/Berlin")
    analyse.on_schedule("Often", "rate(5 minutes)", work_input={"all": True}, within=Duration.minutes(3))
    return analyse, dict(Template.from_stack(stack).to_json())


def the(template: dict[str, Any], kind: str, beginning: str) -> dict[str, Any]:
    """The one resource of a type whose logical ID begins like this."""
    found = [
        resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind and name.startswith(beginning)
    ]
    assert len(found) == 1, found
    return dict(found[0])


def test_a_workflow_is_a_subscriber_like_a_consumer(made: tuple[BreakerWorkflow, dict[str, Any]]) -> None:
    """A bus delivers into its queue, with a queue for what could not be delivered."""
    analyse, template = made
    assert isinstance(analyse, Subscriber)
    rule = the(template, "AWS::Events::Rule", "PagesAnalyse")
    (target,) = rule["Targets"]
    assert target["Arn"]["Fn::GetAtt"][0].startswith("AnalyseQueue")
    assert target["DeadLetterConfig"]["Arn"]


def test_a_route_stores_in_its_queue(made: tuple[BreakerWorkflow, dict[str, Any]]) -> None:
    """202 means that the work is in the queue; the API's role may send there."""
    _, template = made
    role = the(template, "AWS::IAM::Role", "ApiRole")
    assert "sqs:SendMessage" in json.dumps(role)
    methods = [r for r in template["Resources"].values() if r["Type"] == "AWS::ApiGateway::Method"]
    assert any("Shop-Analyse-" in json.dumps(one) or "AnalyseQueue" in json.dumps(one) for one in methods)


def test_schedules_send_to_the_queue_too(made: tuple[BreakerWorkflow, dict[str, Any]]) -> None:
    """What could not be sent goes to the dead letters; both schedules send with one role."""
    _, template = made
    nightly = the(template, "AWS::Scheduler::Schedule", "AnalyseNightly")
    often = the(template, "AWS::Scheduler::Schedule", "AnalyseOften")
    for one in (nightly, often):
        assert one["Target"]["Arn"]["Fn::GetAtt"][0].startswith("AnalyseQueue")
        assert one["Target"]["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0].startswith("AnalyseDeadLetterQueue")
        assert one["Target"]["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert nightly["Target"]["RoleArn"] == often["Target"]["RoleArn"]
    assert nightly["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert json.loads(nightly["Target"]["Input"])["input"] == {
        "scheduled_at": "<aws.scheduler.scheduled-time>"
    }
    assert json.loads(often["Target"]["Input"])["input"] == {"all": True}
    assert often["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 3}


def test_what_a_schedule_sends_twice_is_one_work(made: tuple[BreakerWorkflow, dict[str, Any]]) -> None:
    """Both messages ask for an execution of the same name; the next time's and other schedules' do not."""
    _, template = made

    def name(schedule: str, time: str, message_id: str) -> str:
        sent = the(template, "AWS::Scheduler::Schedule", schedule)["Target"]["Input"]
        body = json.loads(sent.replace("<aws.scheduler.scheduled-time>", time))
        work = work_of(body, Call(idempotency_key=message_id, message_id=message_id))
        assert "resilient" not in work.input
        return work.name

    first = name("AnalyseNightly", "2026-11-21T06:00:00Z", "m-1")
    assert re.fullmatch("Nightly-2026-11-21T06-00-00Z-[0-9a-f]{40}", first)
    assert name("AnalyseNightly", "2026-11-21T06:00:00Z", "m-2") == first
    assert name("AnalyseNightly", "2026-11-22T06:00:00Z", "m-1") != first
    assert name("AnalyseOften", "2026-11-21T06:00:00Z", "m-1") != first


def test_no_other_accounts_schedule_may_use_the_role(made: tuple[BreakerWorkflow, dict[str, Any]]) -> None:
    """The role is for this account's schedules, and sends to two queues."""
    _, template = made
    role = the(template, "AWS::IAM::Role", "AnalyseScheduleRole")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    (statement,) = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "sqs:SendMessage"
    assert len(statement["Resource"]) == 2


@pytest.mark.parametrize(
    ("expression", "within", "fault"),
    [
        ("every day", None, "expression is 'every day'; allowed: rate"),
        ("rate(1 minute)", Duration.days(2), "within is 2880; allowed: 0 to 1,440 minutes"),
        ("rate(1 minute)", Duration.seconds(30), "within is '30 seconds'; allowed: whole minutes"),
        ("rate(1 minute)", 5, "within is 5; allowed: whole minutes"),
        ("cron(bla)", None, "expression is 'cron(bla)'; allowed: rate"),
        ("cron(a b c d e f)", None, "expression is 'cron(a b c d e f)'; allowed: rate"),
        ("cron(0 6 * * ?)", None, "expression is 'cron(0 6 * * ?)'; allowed: rate"),
        ("rate(0 minutes)", None, "expression is 'rate(0 minutes)'; allowed: rate"),
        ("rate(5 weeks)", None, "expression is 'rate(5 weeks)'; allowed: rate"),
        ("at(2026-13-24T18:00:00)", None, "expression is 'at(2026-13-24T18:00:00)'; allowed: rate"),
        (5, None, "expression is 5; allowed: rate"),
    ],
)
def test_an_impossible_schedule_is_refused(expression: Any, within: Any, fault: str) -> None:
    """It is named with what would be understood."""
    stack = Stack(App(), "Shop")
    analyse = BreakerWorkflow(stack, "Analyse", work=a_function(stack))
    with pytest.raises(ValueError, match="Schedule 'Nightly'") as error:
        analyse.on_schedule("Nightly", expression, within=within)
    assert fault in str(error.value)


def test_all_faults_of_a_schedule_are_told_at_once() -> None:
    """A zone that nobody knows, parts of a minute, and a cron expression of two fields."""
    stack = Stack(App(), "Shop")
    analyse = BreakerWorkflow(stack, "Analyse", work=a_function(stack))
    with pytest.raises(ValueError, match="Schedule 'Nightly' has 3 faults") as error:
        analyse.on_schedule("Nightly", "cron(0 6)", timezone="Mars/X", within=Duration.seconds(90))
    assert "timezone is 'Mars/X'; allowed: a name of the IANA time zone database" in str(error.value)


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minute)",
        "rate(12 hours)",
        "at(2026-12-24T18:00:00)",
        "cron(0 6 * * ? *)",
        "cron(0/15 8-17 ? * MON-FRI 2026,2027)",
        "cron(0 0 L * ? *)",
        "cron(0 9 ? JAN,JUL 2#1 *)",
        "cron(0 9 3W * ? *)",
        "cron(0  9 1 * ? *)",
    ],
)
def test_what_scheduler_understands_is_taken(expression: str) -> None:
    """Rates, moments and cron expressions of six fields."""
    assert (
        check_schedule("Nightly", expression, "America/Argentina/Buenos_Aires", Duration.minutes(1440))
        == 1440
    )
