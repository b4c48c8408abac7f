"""What users import for their own tests."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template

from resilient_constructs.testing import (
    alarms_of,
    assert_alarms_explain_themselves,
    count_jsii,
    dashboards_of,
    snapshot_of,
    template_of,
)


def function_stack(tmp_path: Any, code: str) -> Stack:
    """A stack with a versioned function whose asset holds this code."""
    source = tmp_path / "code"
    source.mkdir(parents=True)
    (source / "index.py").write_text(code)
    stack = Stack(App(outdir=str(tmp_path / "out")), "Shop")
    function = lambda_.Function(
        stack,
        "Function",
        code=lambda_.Code.from_asset(str(source)),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )
    lambda_.Alias(stack, "Live", alias_name="live", version=function.current_version)
    return stack


def test_a_snapshot_survives_a_change_of_code(tmp_path: Any) -> None:
    """Two stacks that differ in their handler's code alone have one snapshot."""
    first, second = (
        snapshot_of(function_stack(tmp_path / name, code))
        for name, code in {"a": "a = 1", "b": "b = 2"}.items()
    )

    assert first == second
    assert "<hash>" in str(first)


def test_a_snapshot_keeps_logical_ids_and_properties() -> None:
    """What replaces a resource or changes it shows up in the snapshot."""
    stack = Stack(App(), "Shop")
    sqs.Queue(stack, "Orders", fifo=True)

    (logical_id,) = snapshot_of(stack)["Resources"]
    assert logical_id.startswith("Orders")
    assert snapshot_of(stack)["Resources"][logical_id]["Properties"] == {"FifoQueue": True}


def test_a_snapshot_leaves_the_bootstrap_version_out() -> None:
    """An upgrade of the CDK's bootstrap changes no snapshot."""
    assert "Parameters" in template_of(Stack(App(), "Shop"))
    assert snapshot_of(Stack(App(), "Shop")) == {}


def test_parameters_of_ones_own_stay_in_the_snapshot() -> None:
    """Only the bootstrap's parameter is left out."""
    template = {"Parameters": {"BootstrapVersion": {}, "Limit": {"Type": "Number"}}}

    assert snapshot_of(template) == {"Parameters": {"Limit": {"Type": "Number"}}}


def test_reading_a_template_never_changes_it() -> None:
    """A dictionary handed in is still the same afterwards."""
    template: dict[str, Any] = {"Parameters": {"BootstrapVersion": {}}}
    snapshot_of(template)

    assert template == {"Parameters": {"BootstrapVersion": {}}}


def test_a_stack_a_template_and_a_dictionary_are_read_alike() -> None:
    """Whatever form of the template is at hand will do."""
    stack = Stack(App(), "Shop")
    sqs.Queue(stack, "Orders")
    template = Template.from_stack(stack)

    assert template_of(stack) == template_of(template) == template_of(template.to_json())


def test_a_dashboard_is_parsed_with_references_by_name() -> None:
    """References, attributes and other functions stand in the parsed body under their names."""
    parts = [
        '{"a":"',
        {"Ref": "Queue"},
        " ",
        {"Fn::GetAtt": ["Queue", "Arn"]},
        " ",
        {"Fn::ImportValue": "x"},
        '"}',
    ]
    dashboard = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {"DashboardBody": {"Fn::Join": ["", parts]}},
    }
    plain = {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": "{}"}}
    text = '{"a":"${V0} ${AWS::Region} ${!plain}"}'
    substituted = {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {"DashboardBody": {"Fn::Sub": [text, {"V0": {"Ref": "Queue"}}]}},
    }

    assert dashboards_of({"Resources": {"Board": dashboard, "Sub": substituted, "Empty": plain}}) == {
        "Sub": {"a": "${Queue} ${AWS::Region} ${plain}"},
        "Board": {"a": "${Queue} ${Queue.Arn} ${Fn::ImportValue}"},
        "Empty": {},
    }


GOOD: dict[str, Any] = {
    "Dimensions": [{"Name": "QueueName", "Value": "orders"}],
    "MetricName": "Age",
    "TreatMissingData": "notBreaching",
    "AlarmDescription": "Orders wait. Look at the consumer.",
    "AlarmActions": ["topic"],
    "OKActions": ["topic"],
}
QUERIES = [{"Id": "e", "Expression": "m"}, {"Id": "m", "MetricStat": {"Metric": {"MetricName": "Age"}}}]


def with_alarm(**changed: Any) -> dict[str, Any]:
    """A template with one good alarm but for these properties; None leaves one out."""
    properties = {key: value for key, value in (GOOD | changed).items() if value is not None}
    return {"Resources": {"OldAlarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}}}


def test_a_good_alarm_passes() -> None:
    """An alarm with dimensions, missing-data treatment, reason and actions explains itself."""
    assert_alarms_explain_themselves(with_alarm())


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"Dimensions": None}, "no dimensions on Age"),
        ({"Dimensions": []}, "no dimensions on Age"),
        ({"Metrics": QUERIES}, "no dimensions on Age"),
        ({"TreatMissingData": None}, "missing data"),
        ({"AlarmDescription": ""}, "no description"),
        ({"AlarmActions": None}, "no AlarmActions"),
        ({"OKActions": []}, "no OKActions"),
    ],
)
def test_an_alarm_that_falls_short_is_named(changed: dict[str, Any], fault: str) -> None:
    """The failure names the alarm and what it lacks."""
    with pytest.raises(AssertionError, match=f"OldAlarm: .*{fault}"):
        assert_alarms_explain_themselves(with_alarm(**changed))


def test_actions_are_not_asked_of_a_stack_without_on_call() -> None:
    """With actions=False an alarm may tell nobody."""
    assert_alarms_explain_themselves(with_alarm(AlarmActions=None, OKActions=None), actions=False)


def test_a_template_without_alarms_is_no_proof() -> None:
    """A check over nothing fails instead of passing."""
    with pytest.raises(AssertionError, match="no alarm"):
        assert_alarms_explain_themselves({"Resources": {}})


def test_alarms_are_found_by_logical_id() -> None:
    """Alarms made by anybody's construct are found."""
    stack = Stack(App(), "Shop")
    queue = sqs.Queue(stack, "Orders")
    cloudwatch.Alarm(
        stack, "Age", metric=queue.metric_number_of_messages_sent(), threshold=1, evaluation_periods=1
    )

    (logical_id,) = alarms_of(stack)
    assert logical_id.startswith("Age")


def test_round_trips_to_node_are_counted_by_kind_and_target() -> None:
    """Creating and reading count one each; what happens outside of the block does not count."""
    stack = Stack(App(), "Shop")

    with count_jsii() as requests:
        queue = sqs.Queue(stack, "Orders")
        assert queue.queue_name
    sqs.Queue(stack, "Bills")

    assert requests.count == 2
    assert requests.by_kind == {"CreateRequest": 1, "GetRequest": 1}
    assert requests.by_target == {"create aws-cdk-lib.aws_sqs.Queue": 1, "get queueName": 1}


def test_counting_ends_when_the_block_fails() -> None:
    """An error inside the block leaves nothing behind."""
    stack = Stack(App(), "Shop")
    with pytest.raises(RuntimeError, match="on purpose"), count_jsii() as requests:
        raise RuntimeError("on purpose")
    sqs.Queue(stack, "Orders")

    assert requests.count == 0


def test_importing_the_helpers_starts_no_node() -> None:
    """The package is cheap to import: no CDK, no jsii, no pytest."""
    code = (
        "import sys, resilient_constructs.testing as t; "
        "print(sorted(set(sys.modules) & {'aws_cdk', 'jsii', 'pytest'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
