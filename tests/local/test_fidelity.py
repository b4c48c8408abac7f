"""What will not be true locally. Pure: neither Node nor server."""

from __future__ import annotations

from typing import Any

from resilient_constructs.local.fidelity import differences, rejected
from resilient_constructs.local.honoured import DIFFERENT, HONOURED, NESTED
from resilient_constructs.template import StackTemplate


def stack(**resources: dict[str, Any]) -> StackTemplate:
    """A template with these resources."""
    return StackTemplate(name="S", body={"Resources": resources})


def queue(**properties: Any) -> dict[str, Any]:
    """A queue with these properties."""
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def test_silence_when_all_is_honoured() -> None:
    """Nothing is told of properties that do locally what they do on AWS."""
    assert differences([stack(Q=queue(VisibilityTimeout=30, DelaySeconds=1))]) == []


def test_known_difference_is_told_once() -> None:
    """The same difference in two resources is one entry that names both."""
    (found,) = differences([stack(A=queue(SqsManagedSseEnabled=True), B=queue(SqsManagedSseEnabled=True))])
    assert (found.property, found.resources) == ("SqsManagedSseEnabled", ("A", "B"))
    assert "2 times" in str(found)


def test_unprobed_property_is_told() -> None:
    """A property that nobody has compared with AWS is never passed over."""
    (found,) = differences([stack(A=queue(BrandNew=1))])
    assert "nobody has compared" in found.because


def test_unprobed_type_is_told() -> None:
    """A resource type that nobody has compared with AWS is never passed over."""
    (found,) = differences([stack(T={"Type": "AWS::DynamoDB::GlobalTable", "Properties": {"A": 1}})])
    assert (found.type, found.property) == ("AWS::DynamoDB::GlobalTable", None)


def test_difference_by_value() -> None:
    """A mail subscription is told, a queue's is not."""
    mail = {"Type": "AWS::SNS::Subscription", "Properties": {"Protocol": "email", "TopicArn": "t"}}
    sqs = {"Type": "AWS::SNS::Subscription", "Properties": {"Protocol": "sqs", "TopicArn": "t"}}
    assert [found.resources for found in differences([stack(M=mail, Q=sqs)])] == [("M",)]


def test_nested_difference_is_found_in_lists() -> None:
    """A difference deep inside a list of targets is found."""
    rule = {
        "Type": "AWS::Events::Rule",
        "Properties": {"Targets": [{"Arn": "a", "RetryPolicy": {"MaximumRetryAttempts": 3}}]},
    }
    (found,) = differences([stack(R=rule)])
    assert found.property == "Targets.RetryPolicy"


def test_no_enforcement_is_told() -> None:
    """Without IAM every policy in the template is told as having no effect."""
    policy = {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": "P", "PolicyDocument": {}}}
    assert differences([stack(P=policy)]) == []
    assert "not enforced" in differences([stack(P=policy)], auth=False)[0].because


def test_rejected_types() -> None:
    """A type that the emulator cannot make is refused before the deployment; custom resources are not."""
    table = {"Type": "AWS::DynamoDB::Table"}
    custom = {"Type": "Custom::Thing"}
    found = rejected([stack(T=table, C=custom, Q=queue())], supported={"AWS::SQS::Queue"})
    assert [difference.type for difference in found] == ["AWS::DynamoDB::Table"]


def test_no_property_is_both() -> None:
    """No property is listed as honoured and as different at once, and no type is half known."""
    assert DIFFERENT.keys() <= HONOURED.keys()
    assert NESTED.keys() <= HONOURED.keys()
    for kind, properties in DIFFERENT.items():
        assert not HONOURED[kind] & properties.keys()


def machine(definition: Any) -> StackTemplate:
    """A template with a state machine."""
    properties = {"RoleArn": "r", "DefinitionString": definition, "StateMachineType": "STANDARD"}
    return stack(M={"Type": "AWS::StepFunctions::StateMachine", "Properties": properties})


def test_a_workflow_of_what_is_emulated_is_honoured() -> None:
    """Functions, tables, queues and distributed maps run as on AWS."""
    called = (
        "lambda:invoke",
        "dynamodb:getItem",
        "sqs:sendMessage",
        "states:startExecution.sync:2",
        "s3:getObject",
    )
    text = " ".join(f'"arn:aws:states:::{one}"' for one in called)
    assert differences([machine(text)]) == []


def test_a_task_that_nothing_stands_behind_is_told() -> None:
    """Also where CloudFormation joins the definition from pieces."""
    joined = {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":states:::ecs:runTask.sync"]]}
    (found,) = differences([machine(joined)])
    assert "ECS" in found.because
    (found,) = differences([machine('"arn:aws:states:::aws-sdk:s3:copyObject"')])
    assert "role" in found.because
    (found,) = differences([machine('{"Arguments": {"ClientContext": "{% $x %}"}}')])
    assert "idempotency_key" in found.because
