"""Signals and sections as CloudFormation."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Stack
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Match, Template

from resilient_constructs.monitoring import (
    Lane,
    LogGroup,
    Math,
    Metric,
    OnCall,
    Panel,
    Section,
    Severity,
    Signal,
    dashboard,
    monitor,
)
from resilient_constructs.monitoring.limits import DASHBOARD_WIDGETS
from resilient_constructs.testing import (
    alarms_of,
    assert_alarms_explain_themselves,
    count_jsii,
    dashboards_of,
)

AGE = Metric(
    namespace="AWS/SQS",
    name="ApproximateAgeOfOldestMessage",
    dimensions={"QueueName": "orders"},
    statistic="Maximum",
)
LATENCY = Metric(namespace="AWS/ApiGateway", name="Latency", dimensions={"ApiName": "shop"}, statistic="p99")
SENT = Metric(namespace="AWS/SQS", name="NumberOfMessagesSent", dimensions={"QueueName": "orders"})
OLD = Signal(
    name="OldestMessageAge",
    title="Orders wait too long",
    because="The consumer does not keep up; look at its errors first.",
    metric=AGE,
    threshold=300,
    severity=Severity.PAGE,
    periods=3,
    datapoints=2,
)
SLOW = Signal(
    name="Latency",
    title="The API is slow",
    because="Clients wait.",
    metric=LATENCY,
    threshold=900.5,
    severity=Severity.TICKET,
)
LOST = Signal(
    name="NeverCompleted",
    title="Work began and never ended",
    because="Read the story of one correlation id.",
    metric=Math(expression="sent - seen", metrics={"sent": SENT, "seen": AGE}, label="lost", period=300),
    threshold=1,
    severity=Severity.PAGE,
)
SECTION = Section(
    title="Orders",
    lane=Lane.WORK,
    panels=(Panel(title="Age", left=(AGE,), threshold=300),),
    log_groups=("work",),
)


@pytest.fixture(scope="module")
def template() -> Template:
    """A stack with a page, a ticket and an expression."""
    stack = Stack(App(), "Shop")
    on_call = OnCall(
        stack, "OnCall", email="ops@example.com", ticket_email="team@example.com", runbook="https://wiki/run"
    )
    queue = sqs.Queue(stack, "Orders")
    monitor(queue, signals=[OLD, SLOW, LOST], section=SECTION, on_call=on_call)
    return Template.from_stack(stack)


def alarm(template: Template, name: str) -> dict[str, Any]:
    """The alarm of one signal."""
    (found,) = [alarm for key, alarm in alarms_of(template).items() if key.startswith(f"Orders{name}Alarm")]
    return found


def test_an_alarm_says_what_happened_why_it_matters_and_where_to_read_on(template: Template) -> None:
    """The description is the title, the reason and the runbook with the signal's anchor."""
    assert alarm(template, "OldestMessageAge")["AlarmDescription"] == (
        "Orders wait too long. The consumer does not keep up; look at its errors first. "
        "Runbook: https://wiki/run#oldest-message-age"
    )


def test_an_alarm_measures_what_its_signal_says(template: Template) -> None:
    """Metric, threshold, comparison, periods, data points and missing data reach CloudFormation."""
    found = alarm(template, "OldestMessageAge")

    assert found["Namespace"] == "AWS/SQS"
    assert found["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert found["Dimensions"] == [{"Name": "QueueName", "Value": "orders"}]
    assert (found["Statistic"], found["Period"], found["Threshold"]) == ("Maximum", 60, 300)
    assert found["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert (found["EvaluationPeriods"], found["DatapointsToAlarm"]) == (3, 2)
    assert found["TreatMissingData"] == "notBreaching"


def test_a_new_alarm_waits_for_its_first_data_where_it_is_told_to() -> None:
    """The warm-up reaches CloudFormation in minutes; more than CloudWatch allows is refused."""
    stack = Stack(App(), "Shop")
    queue = sqs.Queue(stack, "Orders")
    monitor(queue, signals=[dataclasses.replace(OLD, warm_up=90)], section=None, on_call=None)
    found = alarm(Template.from_stack(stack), "OldestMessageAge")
    assert found["WarmUpConfiguration"] == {"WarmUpPeriodDurationInMinutes": 90}
    with pytest.raises(ValueError, match="warm_up is 2881; allowed: whole numbers, 1 to 2,880 minutes"):
        monitor(queue, signals=[dataclasses.replace(SLOW, warm_up=2881)], section=None, on_call=None)


def test_a_percentile_is_an_extended_statistic(template: Template) -> None:
    """CloudFormation takes p99 under another property than Maximum."""
    found = alarm(template, "Latency")

    assert found["ExtendedStatistic"] == "p99"
    assert "Statistic" not in found


def test_metric_math_becomes_a_list_of_queries(template: Template) -> None:
    """The expression returns data, the metrics that it reads do not, and each has its dimensions."""
    result, *read = alarm(template, "NeverCompleted")["Metrics"]

    assert result == {"Id": "result", "Expression": "sent - seen", "Label": "lost", "ReturnData": True}
    assert [query["Id"] for query in read] == ["sent", "seen"]
    assert read[0] == {
        "Id": "sent",
        "ReturnData": False,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SQS",
                "MetricName": "NumberOfMessagesSent",
                "Dimensions": [{"Name": "QueueName", "Value": "orders"}],
            },
            "Stat": "Sum",
            "Period": 300,
        },
    }


def test_pages_and_tickets_go_to_their_own_topics(template: Template) -> None:
    """Each severity tells its topic, both when the alarm goes off and when all is well again."""
    page, ticket = alarm(template, "OldestMessageAge"), alarm(template, "Latency")

    assert page["AlarmActions"] == page["OKActions"]
    assert ticket["AlarmActions"] == ticket["OKActions"]
    assert page["AlarmActions"] != ticket["AlarmActions"]


def test_every_alarm_explains_itself(template: Template) -> None:
    """What comes out of monitor() passes the check that users run over their own templates."""
    assert_alarms_explain_themselves(template)


def test_without_on_call_nobody_is_told_and_the_alarm_still_speaks() -> None:
    """No OnCall means no action, but everything else is there."""
    stack = Stack(App(), "Shop")
    monitor(stack, signals=[OLD], section=None, on_call=None)

    (found,) = alarms_of(stack).values()
    assert "AlarmActions" not in found
    assert_alarms_explain_themselves(stack, actions=False)


def test_alarms_are_returned_by_their_signals_name() -> None:
    """Users reach each alarm to change or to combine it."""
    stack = Stack(App(), "Shop")
    alarms = monitor(stack, signals=[OLD, SLOW], section=None, on_call=None)

    assert list(alarms) == ["OldestMessageAge", "Latency"]


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        (dataclasses.replace(OLD, metric=dataclasses.replace(AGE, dimensions={})), "dimensions of App"),
        (dataclasses.replace(OLD, because=" "), "because is ' '"),
        (dataclasses.replace(OLD, because="x" * 1100), "0 to 1,024 characters"),
        (dataclasses.replace(OLD, metric=dataclasses.replace(AGE, period=45)), "multiple of 60 seconds"),
        (dataclasses.replace(OLD, periods=1441), "10 to 86,400 seconds"),
        (
            dataclasses.replace(OLD, metric=dataclasses.replace(AGE, period=3600), periods=169),
            "10 to 604,800 seconds",
        ),
        (dataclasses.replace(OLD, datapoints=4), "1 to 3, its periods"),
        (
            dataclasses.replace(OLD, metric=Math(expression="A", metrics={"A": AGE}, label="a")),
            "metric id is 'A'",
        ),
        (
            dataclasses.replace(
                OLD, metric=Math(expression="m1", metrics={f"m{n}": AGE for n in range(11)}, label="m")
            ),
            "1 to 10 metrics",
        ),
    ],
)
def test_an_alarm_that_cloudwatch_refuses_is_refused_at_once(signal: Signal, expected: str) -> None:
    """A signal that makes no sense to CloudWatch fails at construction, with the range and the page."""
    with pytest.raises(ValueError, match=r"OldestMessageAge: .*https://docs\.aws\.amazon\.com") as caught:
        monitor(Stack(App(), "Shop"), signals=[signal], section=None, on_call=None)

    assert expected in str(caught.value)


def test_all_faults_of_all_signals_come_at_once() -> None:
    """One error names every signal that is wrong."""
    wrong = [dataclasses.replace(signal, because="") for signal in (OLD, SLOW)]

    with pytest.raises(ValueError, match="has 2 faults"):
        monitor(Stack(App(), "Shop"), signals=wrong, section=None, on_call=None)


def test_a_stack_has_one_dashboard_however_many_constructs_it_has() -> None:
    """Sections of several constructs meet on one dashboard, their alarms on top."""
    stack = Stack(App(), "Shop")
    for name in ("Orders", "Bills"):
        section = dataclasses.replace(SECTION, title=name)
        monitor(sqs.Queue(stack, name), signals=[OLD], section=section, on_call=None)

    ((_, body),) = dashboards_of(stack).items()
    headings = [w["properties"]["markdown"] for w in body["widgets"] if w["type"] == "text"]
    (alarms,) = [w["properties"]["alarms"] for w in body["widgets"] if w["type"] == "alarm"]
    assert "### Orders" in headings
    assert "### Bills" in headings
    assert all(arn.startswith(("${Orders", "${Bills")) and arn.endswith(".Arn}") for arn in alarms)
    assert len(alarms) == 2


def test_text_that_looks_like_a_reference_stays_text() -> None:
    """A title with a dollar and a brace is no CloudFormation reference."""
    stack = Stack(App(), "Shop")
    monitor(stack, signals=[], section=dataclasses.replace(SECTION, title="${Orders}"), on_call=None)

    (found,) = Template.from_stack(stack).find_resources("AWS::CloudWatch::Dashboard").values()
    assert "### ${!Orders}" in found["Properties"]["DashboardBody"]["Fn::Sub"]


def test_each_stack_has_its_own_dashboard() -> None:
    """Two stacks of one app do not mix."""
    app = App()
    for name in ("Shop", "Bank"):
        monitor(Stack(app, name), signals=[OLD], section=SECTION, on_call=None)

    for stack in app.node.children:
        assert isinstance(stack, Stack)
        assert len(dashboards_of(stack)) == 1


def test_no_section_no_dashboard() -> None:
    """Whoever draws their own dashboards opts out and keeps the alarms."""
    stack = Stack(App(), "Shop")
    monitor(stack, signals=[OLD], section=None, on_call=None)

    Template.from_stack(stack).resource_count_is("AWS::CloudWatch::Dashboard", 0)
    Template.from_stack(stack).resource_count_is("AWS::CloudWatch::Alarm", 1)


def test_a_dashboard_that_is_full_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past CloudWatch's number of widgets a second dashboard begins instead of a failed deployment."""
    monkeypatch.setattr(dashboard, "DASHBOARD_WIDGETS", dataclasses.replace(DASHBOARD_WIDGETS, high=13))
    stack = Stack(App(), "Shop")
    for name in ("A", "B", "C"):
        section = dataclasses.replace(SECTION, title=name)
        monitor(sqs.Queue(stack, name), signals=[OLD], section=section, on_call=None)

    assert list(dashboards_of(stack)) == ["ResilientConstructsDashboard", "ResilientConstructsDashboard2"]


def test_the_saved_queries_search_the_logs_of_every_section(template: Template) -> None:
    """Four questions are saved per stack, in a folder of the stack's name, over all its log groups."""
    stack = Stack(App(), "Shop")
    for name in ("Orders", "Bills"):
        section = dataclasses.replace(SECTION, log_groups=(f"{name}-logs", "shared"))
        monitor(sqs.Queue(stack, name), signals=[], section=section, on_call=None)

    found = Template.from_stack(stack).find_resources("AWS::Logs::QueryDefinition")
    assert len(found) == 4
    for resource in found.values():
        assert resource["Properties"]["LogGroupNames"] == ["Orders-logs", "shared", "Bills-logs"]
    names = [resource["Properties"]["Name"]["Fn::Join"][1] for resource in found.values()]
    assert names == [
        [{"Ref": "AWS::StackName"}, "/The story of one correlation id"],
        [{"Ref": "AWS::StackName"}, "/Started but never completed"],
        [{"Ref": "AWS::StackName"}, "/Interrupted before the timeout"],
        [{"Ref": "AWS::StackName"}, "/What leaks, and what was done about it"],
    ]


def test_what_leaks_is_asked_of_functions_only() -> None:
    """An API's access log has no LEAK or DEADLINE records, so nothing is saved that searches it for them."""
    stack = Stack(App(), "Shop")
    section = dataclasses.replace(SECTION, lane=Lane.ENTRY, log_groups=("access",))
    monitor(stack, signals=[], section=section, on_call=None)

    found = Template.from_stack(stack).find_resources("AWS::Logs::QueryDefinition")
    assert set(found) == {"ResilientConstructsStoryQuery", "ResilientConstructsNeverCompletedQuery"}


def test_a_query_over_more_log_groups_than_it_may_search_is_split() -> None:
    """The 51st log group goes to a second set of queries."""
    stack = Stack(App(), "Shop")
    section = dataclasses.replace(SECTION, log_groups=tuple(f"group-{number}" for number in range(51)))
    monitor(stack, signals=[], section=section, on_call=None)

    found = Template.from_stack(stack).find_resources("AWS::Logs::QueryDefinition")
    assert sorted(len(resource["Properties"]["LogGroupNames"]) for resource in found.values()) == [
        *[1] * 4,
        *[50] * 4,
    ]


def test_values_that_only_cloudformation_knows_pass() -> None:
    """Tokens in dimensions, thresholds and log groups end up as references."""
    stack = Stack(App(), "Shop")
    queue = sqs.Queue(stack, "Orders")
    limit = CfnParameter(stack, "Limit", type="Number").value_as_number
    metric = dataclasses.replace(AGE, dimensions={"QueueName": queue.queue_name})
    section = Section(
        title="Orders",
        lane=Lane.WORK,
        panels=(Panel(title="Age", left=(metric,), threshold=limit),),
        log_groups=(queue.queue_name,),
    )
    signal = dataclasses.replace(OLD, metric=metric, threshold=limit)
    monitor(queue, signals=[signal], section=section, on_call=None)

    name = {"Fn::GetAtt": [Match.any_value(), "QueueName"]}
    template = Template.from_stack(stack)
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {"Dimensions": [{"Name": "QueueName", "Value": name}], "Threshold": {"Ref": "Limit"}},
    )
    template.has_resource_properties("AWS::Logs::QueryDefinition", {"LogGroupNames": [name]})


def test_the_names_of_all_log_groups_are_read_together() -> None:
    """However many constructs give a log group instead of its name, synth asks for no single name."""
    stack = Stack(App(), "Shop")
    groups: list[LogGroup | str] = [logs.LogGroup(stack, f"Group{number}") for number in range(4)]
    imported = logs.LogGroup.from_log_group_name(stack, "Imported", "/shop/legacy")
    groups += [imported, "access", "/shop/legacy"]
    for number, group in enumerate(groups):
        section = dataclasses.replace(SECTION, log_groups=(group,))
        monitor(sqs.Queue(stack, f"Q{number}"), signals=[], section=section, on_call=None)

    with count_jsii() as requests:
        template = Template.from_stack(stack)

    assert requests.by_target["get logGroupName"] == 0
    references = [{"Ref": stack.get_logical_id(group.node.default_child)} for group in groups[:4]]  # type: ignore[union-attr]
    for query in template.find_resources("AWS::Logs::QueryDefinition").values():
        assert query["Properties"]["LogGroupNames"] == [*references, "/shop/legacy", "access"]
    (body,) = dashboards_of(stack).values()
    searches = [widget["properties"]["query"] for widget in body["widgets"] if widget["type"] == "log"]
    assert searches
    assert all("SOURCE '/shop/legacy' | SOURCE 'access'" in search for search in searches)


def test_a_log_group_of_another_stack_is_searched_too() -> None:
    """Its name crosses as an export, as it would have where it had been asked for."""
    app = App()
    group = logs.LogGroup(Stack(app, "Logs"), "Group")
    stack = Stack(app, "Shop")
    section = dataclasses.replace(SECTION, log_groups=(group,))
    monitor(sqs.Queue(stack, "Q"), signals=[], section=section, on_call=None)

    for query in Template.from_stack(stack).find_resources("AWS::Logs::QueryDefinition").values():
        assert list(query["Properties"]["LogGroupNames"][0]) == ["Fn::ImportValue"]


def test_a_construct_costs_one_request_per_alarm_and_one_for_its_stack() -> None:
    """Once the dashboard is there, a section costs one round trip to Node, whatever is on it."""
    stack = Stack(App(), "Shop")
    monitor(sqs.Queue(stack, "First"), signals=[OLD], section=SECTION, on_call=None)
    queue = sqs.Queue(stack, "Second")

    with count_jsii() as requests:
        monitor(queue, signals=[OLD, SLOW, LOST], section=SECTION, on_call=None)

    assert requests.count == 4
