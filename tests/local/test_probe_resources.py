"""One probe per CloudFormation gap: each fails when a new version of the emulator changes what we closed."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable

import boto3
import pytest
from botocore.exceptions import ClientError

from resilient_constructs.local import LocalAws

pytestmark = pytest.mark.local

Stack = Callable[..., dict[str, str]]

_ALARM = {
    "Type": "AWS::CloudWatch::Alarm",
    "Properties": {"ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1, "Threshold": 1},
}
_SINGLE = {"Namespace": "AWS/SQS", "MetricName": "NumberOfMessagesSent", "Period": 60, "Statistic": "Sum"}
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def test_archive_keeps_events(local_aws: LocalAws, create_stack: Stack) -> None:
    """An archive made by CloudFormation counts the events of its bus, and goes with its stack."""
    made = create_stack(
        {
            "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "orders"}},
            "Archive": {
                "Type": "AWS::Events::Archive",
                "Properties": {"SourceArn": {"Fn::GetAtt": ["Bus", "Arn"]}, "RetentionDays": 3},
            },
        }
    )
    events = local_aws.client("events")
    events.put_events(
        Entries=[{"EventBusName": "orders", "Source": "shop", "DetailType": "Placed", "Detail": "{}"}]
    )
    archive = events.describe_archive(ArchiveName=made["Archive"])
    assert (archive["EventCount"], archive["RetentionDays"]) == (1, 3)
    local_aws.client("cloudformation").delete_stack(StackName="Probe")
    local_aws.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName="Probe", WaiterConfig={"Delay": 1}
    )
    assert events.list_archives()["Archives"] == []


def test_metric_math_alarm(local_aws: LocalAws, create_stack: Stack) -> None:
    """An alarm on a metric-math expression is made and described."""
    metrics = [
        {"Id": "e", "Expression": "m*2", "ReturnData": True},
        {
            "Id": "m",
            "MetricStat": {
                "Metric": {"Namespace": "AWS/SQS", "MetricName": "X"},
                "Period": 60,
                "Stat": "Sum",
            },
        },
    ]
    made = create_stack({"Math": {**_ALARM, "Properties": {**_ALARM["Properties"], "Metrics": metrics}}})
    described = local_aws.client("cloudwatch").describe_alarms(AlarmNames=[made["Math"]])["MetricAlarms"]
    assert [alarm["AlarmName"] for alarm in described] == [made["Math"]]


def test_composite_alarm(local_aws: LocalAws, create_stack: Stack) -> None:
    """A composite alarm over an alarm of its stack is made."""
    made = create_stack(
        {
            "One": {**_ALARM, "Properties": {**_ALARM["Properties"], **_SINGLE}},
            "All": {
                "Type": "AWS::CloudWatch::CompositeAlarm",
                "Properties": {"AlarmRule": {"Fn::Sub": 'ALARM("${One}")'}},
            },
        }
    )
    described = local_aws.client("cloudwatch").describe_alarms(
        AlarmNames=[made["All"]], AlarmTypes=["CompositeAlarm"]
    )
    assert len(described["CompositeAlarms"]) == 1


def test_query_definition(create_stack: Stack) -> None:
    """A saved Logs Insights query is accepted."""
    made = create_stack(
        {
            "Query": {
                "Type": "AWS::Logs::QueryDefinition",
                "Properties": {"Name": "all", "QueryString": "fields @message"},
            }
        }
    )
    assert made["Query"]


def test_bus_policy(local_aws: LocalAws, create_stack: Stack) -> None:
    """A statement of a bus's policy made by CloudFormation stands in the bus's policy."""
    statement = {"Effect": "Allow", "Principal": "*", "Action": "events:PutEvents", "Resource": "*"}
    create_stack(
        {
            "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": "orders"}},
            "Policy": {
                "Type": "AWS::Events::EventBusPolicy",
                "Properties": {
                    "EventBusName": {"Ref": "Bus"},
                    "StatementId": "Everybody",
                    "Statement": statement,
                },
            },
        }
    )
    policy = local_aws.client("events").describe_event_bus(Name="orders")["Policy"]
    assert "Everybody" in policy


def test_function_settings(local_aws: LocalAws, create_stack: Stack) -> None:
    """Reserved concurrency and the dead-letter queue of a function reach the function."""
    made = create_stack(
        {
            "Dead": {"Type": "AWS::SQS::Queue"},
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": _TRUST}},
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "Code": {"ZipFile": "def handler(event, context): return 1"},
                    "ReservedConcurrentExecutions": 0,
                    "DeadLetterConfig": {"TargetArn": {"Fn::GetAtt": ["Dead", "Arn"]}},
                },
            },
        }
    )
    functions = local_aws.client("lambda")
    found = functions.get_function(FunctionName=made["Function"])
    assert found["Concurrency"]["ReservedConcurrentExecutions"] == 0
    assert found["Configuration"]["DeadLetterConfig"]["TargetArn"].endswith(made["Dead"].rsplit("/", 1)[-1])
    with pytest.raises(ClientError, match="TooManyRequestsException"):
        functions.invoke(FunctionName=made["Function"])


def _invoke(local_aws: LocalAws, code: str) -> dict[str, object]:
    role = local_aws.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=json.dumps(_TRUST))
    functions = local_aws.client("lambda")
    functions.create_function(
        FunctionName="probe",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": _zipped(code)},
        Environment={"Variables": {"MINE": "yes"}},
        Timeout=20,
    )
    return dict(json.loads(functions.invoke(FunctionName="probe")["Payload"].read()))


def test_worker_environment(local_aws: LocalAws) -> None:
    """A function sees its own variables and Lambda's, and none of the emulator's or the host's."""
    seen = _invoke(local_aws, "import os\ndef handler(event, context): return dict(os.environ)\n")
    assert seen["MINE"] == "yes"
    assert seen["TZ"] == ":UTC"
    assert not {"GATEWAY_PORT", "AUTH", "RESILIENT_CALLS", "PYTHONPATH", "VIRTUAL_ENV"} & seen.keys()


def test_error_type(local_aws: LocalAws) -> None:
    """A failed invocation names the exception's class."""
    code = "class Odd(Exception): pass\ndef handler(event, context): raise Odd('one\\ntwo: three')\n"
    assert _invoke(local_aws, code)["errorType"] == "Odd"


def test_a_failed_import_is_in_the_log(local_aws: LocalAws) -> None:
    """A handler that fails while it is imported leaves its reason in the function's log."""
    assert "errorMessage" in _invoke(local_aws, "raise RuntimeError('no such setting')\n")
    events = local_aws.client("logs").filter_log_events(logGroupName="/aws/lambda/probe")["events"]
    assert [e["message"] for e in events if "[ERROR]" in e["message"] and "no such setting" in e["message"]]


def test_alarm_needs_the_topics_leave(local_aws: LocalAws, create_stack: Stack) -> None:
    """An alarm notifies a topic whose policy allows CloudWatch, and no other; both are in the record."""
    allow = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": {"Ref": "Open"},
            }
        ],
    }
    deny = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": {"Ref": "Closed"},
            }
        ],
    }
    made = create_stack(
        {
            "Open": {"Type": "AWS::SNS::Topic"},
            "Closed": {"Type": "AWS::SNS::Topic"},
            "OpenPolicy": {
                "Type": "AWS::SNS::TopicPolicy",
                "Properties": {"Topics": [{"Ref": "Open"}], "PolicyDocument": allow},
            },
            "ClosedPolicy": {
                "Type": "AWS::SNS::TopicPolicy",
                "Properties": {"Topics": [{"Ref": "Closed"}], "PolicyDocument": deny},
            },
            "Alarm": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    **_ALARM["Properties"],
                    **_SINGLE,
                    "AlarmActions": [{"Ref": "Open"}, {"Ref": "Closed"}],
                },
            },
        }
    )
    began = time.time()
    local_aws.client("cloudwatch").set_alarm_state(
        AlarmName=made["Alarm"], StateValue="ALARM", StateReason="probe"
    )
    published = {
        call.resource: call.allowed
        for call in local_aws.calls()
        if call.action == "sns:Publish" and call.at >= began
    }
    assert published == {made["Open"]: True, made["Closed"]: False}


def _zipped(code: str) -> bytes:
    """One Python file as a function's package."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", code)
    return buffer.getvalue()


def test_one_mapping_is_authorized_by_its_own_actions(local_aws: LocalAws, create_stack: Stack) -> None:
    """Who may read and change one event source mapping can do that, to this one, and not delete it."""
    code = {"ZipFile": "def handler(event, context): ..."}
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    mapping = {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "FunctionName": {"Ref": "Function"},
            "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
            "ScalingConfig": {"MaximumConcurrency": 7},
        },
    }
    arn = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:event-source-mapping:${One}"
    statement = {
        "Effect": "Allow",
        "Action": ["lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"],
        "Resource": {"Fn::Sub": arn},
    }
    made = create_stack(
        {
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
                    "Policies": [
                        {
                            "PolicyName": "one",
                            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
                        }
                    ],
                },
            },
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Code": code,
                    "Handler": "index.handler",
                    "Role": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:role/any"},
                    "Runtime": "python3.13",
                },
            },
            "One": mapping,
            "Other": mapping,
        }
    )
    role = local_aws.client("iam").get_role(RoleName=made["Role"])["Role"]["Arn"]
    session = local_aws.client("sts").assume_role(RoleArn=role, RoleSessionName="probe")["Credentials"]
    functions = boto3.client(
        "lambda",
        endpoint_url=local_aws.endpoint,
        region_name="us-east-1",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    functions.update_event_source_mapping(UUID=made["One"], Enabled=False)
    found = functions.get_event_source_mapping(UUID=made["One"])
    assert (found["State"], found["ScalingConfig"]) == ("Disabled", {"MaximumConcurrency": 7})
    for refused in (
        lambda: functions.get_event_source_mapping(UUID=made["Other"]),
        lambda: functions.update_event_source_mapping(UUID=made["Other"], Enabled=False),
        lambda: functions.delete_event_source_mapping(UUID=made["One"]),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()
