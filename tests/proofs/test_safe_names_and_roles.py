"""Safe defaults of every example: names, roles, and alarms that explain themselves."""

from __future__ import annotations

import json
import re

import pytest
from example_parts import QUEUES, listed
from example_templates import TEMPLATES, resources

from resilient_constructs.testing import assert_alarms_explain_themselves

NAMED = {
    "AWS::ApiGateway::RestApi": ("Name", "REST APIs need a name, and their metrics are told apart by it"),
    "AWS::ApiGateway::Stage": ("StageName", "a stage's name is part of the API's URL"),
    "AWS::Events::EventBus": ("Name", "required; after the stack's name and the construct's path"),
    "AWS::Events::Rule": (
        "Name",
        "written out with the stack's UUID, so that queues let it in before it works",
    ),
    "AWS::IAM::Policy": ("PolicyName", "required; unique within its role only"),
    "AWS::Logs::LogGroup": (
        "LogGroupName",
        "a workflow's begins with /aws/vendedlogs/, or the account's few resource policies fill up",
    ),
    "AWS::Logs::QueryDefinition": ("Name", "what people see in the console"),
    "AWS::SQS::Queue": (
        "QueueName",
        "written out with the stack's UUID, so that its dead-letter queue knows it",
    ),
}
"""Every property that names something, and why it is set."""

_NAMES = re.compile(
    r"(Name|AlarmName|ArchiveName|DashboardName|FunctionName|LayerName|LogGroupName|ManagedPolicyName"
    r"|PolicyName|QueueName|RoleName|StageName|TableName|TopicName)"
)
_REFERENCES = {
    ("AWS::Lambda::EventSourceMapping", "FunctionName"),
    ("AWS::Lambda::Permission", "FunctionName"),
}


def test_nothing_else_is_named() -> None:
    """CloudFormation names everything, save what is listed above with its reason."""
    found = {
        (resource["Type"], prop)
        for made in TEMPLATES.values()
        for resource in made()["Resources"].values()
        for prop in resource.get("Properties", {})
        if _NAMES.fullmatch(prop)
    }
    assert found - _REFERENCES == {(kind, prop) for kind, (prop, _) in NAMED.items()}


@pytest.mark.parametrize("name", TEMPLATES)
def test_names_written_out_are_the_stacks_own(name: str) -> None:
    """A queue's or a rule's written-out name ends in the stack's UUID: a second copy gets another one."""
    for resource in TEMPLATES[name]()["Resources"].values():
        written = resource.get("Properties", {}).get(
            {"AWS::SQS::Queue": "QueueName"}.get(resource["Type"], "Name")
        )
        if resource["Type"] in ("AWS::SQS::Queue", "AWS::Events::Rule") and written:
            assert "AWS::StackId" in json.dumps(written)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_fits_every_account(name: str) -> None:
    """No partition, no region, no account and no domain of a partition is written into a template."""
    text = json.dumps(TEMPLATES[name]())
    assert (
        re.findall(r"arn:aws[\w-]*:|\b[a-z]{2}(?:-gov|-iso)?-[a-z]+-\d\b|\b\d{12}\b|amazonaws\.com\.cn", text)
        == []
    )
    allowed = {
        "apigateway.amazonaws.com",
        "cloudwatch.amazonaws.com",
        "events.amazonaws.com",
        "lambda.amazonaws.com",
        "states.amazonaws.com",
    }
    # a service principal is called the same in every partition
    assert set(re.findall(r"[\w.-]*amazonaws\.com", text)) <= allowed


KNOW_NO_RESOURCES = {
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
    # https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html#events-dynamodb-permissions
    "dynamodb:ListStreams",
    # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
}
"""Actions that AWS's own pages grant on everything: tracing, a stream's poller, a state machine's log."""


def test_no_role_may_do_more_thanlisted() -> None:
    """No role is granted a wildcard, save the actions that know no resources, nor a policy of AWS's."""
    kinds = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
    documents = [policy["PolicyDocument"] for kind in kinds for _, policy in resources(kind)]
    documents += [
        p["PolicyDocument"] for _, role in resources("AWS::IAM::Role") for p in role.get("Policies", [])
    ]
    assert documents
    broad = {
        (action, resource if isinstance(resource, str) else "one")
        for document in documents
        for statement in document["Statement"]
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        if "*" in action or (isinstance(resource, str) and "*" in resource)
    }
    assert broad == {(action, "*") for action in KNOW_NO_RESOURCES}
    ours = {name.split(".")[1] for name, _ in resources("AWS::IAM::ManagedPolicy")}
    held = [arn for _, role in resources("AWS::IAM::Role") for arn in role.get("ManagedPolicyArns", [])]
    assert [arn for arn in held if arn.get("Ref") not in ours] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_alarm_explains_itself(name: str) -> None:
    """Every alarm has dimensions, a reason, a treatment of missing data and someone to tell."""
    assert_alarms_explain_themselves(TEMPLATES[name]())


def test_a_dead_letter_is_seen_within_a_minute() -> None:
    """Every queue where something ends has an alarm over one minute at one message."""
    watched = set()
    for name, alarm in resources("AWS::CloudWatch::Alarm"):
        text = json.dumps(alarm)
        if alarm.get("EvaluationPeriods") == 1 and '"Period": 60' in text and alarm["Threshold"] <= 1:
            watched |= {
                (name.split(".")[0], queue) for queue in re.findall(r'\["(\w+)", "QueueName"\]', text)
            }
    ends = {tuple(name.split(".")) for name, queue in QUEUES if "RedrivePolicy" not in queue}
    assert ends <= watched
