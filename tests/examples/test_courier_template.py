"""What the courier example asks AWS for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration
from aws_cdk.assertions import Match, Template

from examples.courier import CourierStack
from resilient_constructs.testing import assert_alarms_explain_themselves

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template() -> Template:
    """The example with its documented defaults."""
    return Template.from_stack(CourierStack(App(), "Courier"))


@pytest.fixture(scope="module")
def short() -> Template:
    """The example fitted to the demonstration's courier."""
    return Template.from_stack(
        CourierStack(
            App(),
            "Courier",
            courier_url="http://127.0.0.1:9/deliveries",
            courier_latency=Duration.millis(300),
            courier_timeout=Duration.millis(1000),
            max_receive_count=7,
        )
    )


def test_concurrency_follows_littles_law(template: Template, short: Template) -> None:
    """Ten calls a second that take five seconds keep 75 slots busy; that take 0.3 s, five."""
    template.has_resource_properties(
        "AWS::Lambda::EventSourceMapping", {"ScalingConfig": {"MaximumConcurrency": 75}}
    )
    short.has_resource_properties(
        "AWS::Lambda::EventSourceMapping", {"ScalingConfig": {"MaximumConcurrency": 5}}
    )


@pytest.mark.parametrize(
    ("which", "timeout", "visibility", "receives"), [("template", 22, 132, 10), ("short", 4, 24, 7)]
)
def test_a_message_comes_back_after_six_timeouts(
    which: str, timeout: int, visibility: int, receives: int, request: pytest.FixtureRequest
) -> None:
    """A turn's wait, the courier's time and two seconds; the visibility timeout is six times that."""
    template: Template = request.getfixturevalue(which)
    template.has_resource_properties("AWS::Lambda::Function", {"Timeout": timeout})
    template.has_resource_properties(
        "AWS::SQS::Queue",
        {"VisibilityTimeout": visibility, "RedrivePolicy": Match.object_like({"maxReceiveCount": receives})},
    )


def test_the_handler_learns_where_the_courier_is(template: Template, short: Template) -> None:
    """The courier's URL and how long to wait for it are in the function's environment."""
    for made, url, patience in (
        (template, "https://courier.example.com/deliveries", "12.0"),
        (short, "http://127.0.0.1:9/deliveries", "1.0"),
    ):
        made.has_resource_properties(
            "AWS::Lambda::Function",
            {
                "Environment": {
                    "Variables": Match.object_like({"COURIER_URL": url, "COURIER_TIMEOUT_SECONDS": patience})
                }
            },
        )


def test_nothing_stands_between_api_and_bus(template: Template) -> None:
    """The only functions are the consumer's and the circuit controller's: the API stores without one."""
    functions = template.find_resources("AWS::Lambda::Function")
    assert {name[:-8] for name in functions} == {"DeliveryFunction", "ResilientCircuitsControllerFunction"}
    template.has_resource_properties(
        "AWS::ApiGateway::Method", {"HttpMethod": "POST", "Integration": Match.object_like({"Type": "AWS"})}
    )


def test_the_courier_is_left_alone_while_it_is_down(template: Template) -> None:
    """The consumer's one mapping is what the circuit's controller pauses, and an open circuit rings."""
    (controller,) = [
        each["Properties"]["Environment"]["Variables"]
        for name, each in template.find_resources("AWS::Lambda::Function").items()
        if "Controller" in name
    ]
    (mapping,) = [
        name
        for name, each in template.find_resources("AWS::Lambda::EventSourceMapping").items()
        if each["Properties"].get("ScalingConfig", {}).get("MaximumConcurrency") == 75
    ]
    assert {"Ref": mapping} in controller["RESILIENT_FEEDS"]["Fn::Join"][1]
    assert json.loads(controller["RESILIENT_CIRCUITS"]) == ["Courier"]
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm", {"MetricName": "CircuitState", "AlarmActions": [Match.any_value()]}
    )


def test_only_placed_orders_are_delivered(template: Template) -> None:
    """The rule takes the events of detail type OrderPlaced from the stack's own bus."""
    template.has_resource_properties(
        "AWS::Events::Rule",
        {
            "EventPattern": Match.object_like({"detail-type": ["OrderPlaced"]}),
            "EventBusName": Match.any_value(),
        },
    )


def test_every_alarm_reaches_somebody(template: Template) -> None:
    """Every alarm explains itself and goes to the on-call topic."""
    assert_alarms_explain_themselves(template)


def test_the_apis_url_is_an_output(template: Template) -> None:
    """Whoever deploys it is told where to post orders."""
    template.has_output("ApiUrl", {"Value": Match.any_value()})


def test_the_app_takes_its_context(tmp_path: Path) -> None:
    """``cdk -c courier-url=…`` and the latencies reach the stack through ``examples/app.py``."""
    context = {
        "courier-url": "http://x/",
        "courier-latency-ms": "400",
        "courier-timeout-ms": "2500",
        "courier-recovery-ms": "3000",
    }
    environment = os.environ | {
        "CDK_OUTDIR": str(tmp_path),
        "CDK_CONTEXT_JSON": json.dumps(context),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "runtime")]),
    }
    subprocess.run(
        [sys.executable, "examples/app.py"], cwd=REPOSITORY, env=environment, check=True, timeout=120
    )
    resources: dict[str, Any] = json.loads((tmp_path / "Courier.template.json").read_text())["Resources"]
    made = {name: resource.get("Properties", {}) for name, resource in resources.items()}
    (mapping,) = [each for name, each in made.items() if name.startswith("DeliveryEventSource")]
    assert mapping["ScalingConfig"]["MaximumConcurrency"] == 6
    (function,) = [each for name, each in made.items() if name[:-8] == "DeliveryFunction"]
    assert function["Timeout"] == 6
    variables = function["Environment"]["Variables"]
    assert variables["COURIER_URL"] == "http://x/"
    (courier,) = json.loads(variables["RESILIENT_DOWNSTREAMS"])
    assert courier["breaker"] == {
        "recovery_seconds": 3.0,
        "longest_recovery_seconds": 6.0,
        "successes_to_close": 2,
    }
