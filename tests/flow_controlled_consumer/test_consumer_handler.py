"""A flow-controlled consumer with a handler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aws_cdk import App, Stack, assertions
from aws_cdk import aws_kms as kms
from consumer_parts import only

from resilient_constructs import Downstream, FlowControlledConsumer, Handler, OnCall
from resilient_constructs.testing import count_jsii

Match = assertions.Match


@pytest.fixture(scope="module")
def handled(tmp_path_factory: pytest.TempPathFactory) -> tuple[assertions.Template, FlowControlledConsumer]:
    """A consumer with a handler and a customer key."""
    code = tmp_path_factory.mktemp("handlers")
    (code / "delivery.py").write_text("def deliver(order, call): ...\n")
    stack = Stack(App(), "Shop")
    consumer = FlowControlledConsumer(
        stack,
        "Delivery",
        handler=Handler.from_directory(code, "delivery.deliver"),
        downstream=Downstream(stack, "Courier", requests_per_second=10, burst=20),
        encryption_key=kms.Key(stack, "Key"),
    )
    return assertions.Template.from_stack(stack), consumer


def test_a_handler_is_told_its_dead_letter_queue_and_downstream(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """The environment names the dead-letter queue, and the downstream with this consumer's share."""
    template, _ = handled
    environment = only(template, "AWS::Lambda::Function")["Environment"]["Variables"]
    assert environment["RESILIENT_MODE"] == "messages"
    assert "DeadLetterQueue" in environment["RESILIENT_DEAD_LETTER_QUEUE_URL"]["Ref"]
    assert json.loads(environment["RESILIENT_DOWNSTREAMS"]) == [
        {"name": "Courier", "requests_per_second": 10, "burst": 20, "max_concurrency": "15"}
    ]


def test_a_handlers_queue_hides_messages_for_six_times_30_seconds(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """The default timeout of 30 seconds gives a visibility timeout of three minutes."""
    template, consumer = handled
    assert only(template, "AWS::Lambda::Function")["Timeout"] == 30
    assert consumer.visibility_timeout_seconds == 180


def test_a_handlers_role_may_poll_reject_and_use_the_key(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """The role may take from the queue, send to the dead-letter queue and use the key; no wildcard."""
    template, _ = handled
    statements = only(template, "AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    actions = {
        action
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    assert {name for name in actions if name.startswith(("sqs:", "kms:"))} == {
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    }
    assert all("*" not in action for action in actions)


def test_the_mapping_is_made_after_the_permission_to_poll(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """Lambda checks the role when the mapping is made, so the function stands after its policy."""
    template, _ = handled
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    (policy,) = template.find_resources("AWS::IAM::Policy")
    assert policy in function["DependsOn"]


def test_every_signal_has_its_alarm(handled: tuple[assertions.Template, FlowControlledConsumer]) -> None:
    """Age, dead letters, failures, saturation, errors, throttles, unfinished work, health: one alarm each."""
    _, consumer = handled
    assert set(consumer.alarms) == {
        "OldestMessageAge",
        "DeadLetters",
        "FailingMessages",
        "ConcurrencySaturated",
        "Errors",
        "Throttles",
        "Unfinished",
        "ContainerHealth",
    }


def test_one_dead_letter_is_seen_within_a_minute(
    handled: tuple[assertions.Template, FlowControlledConsumer],
) -> None:
    """Waiting, sent or taken out: one dead letter in one minute is enough."""
    template, _ = handled
    alarm = only(
        template,
        "AWS::CloudWatch::Alarm",
        Metrics=Match.array_with([Match.object_like({"Expression": "MAX([waiting, sent, received])"})]),
    )
    assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (1, 1)
    measured = {
        one["MetricStat"]["Metric"]["MetricName"]: one["MetricStat"]["Period"]
        for one in alarm["Metrics"]
        if "MetricStat" in one
    }
    assert measured == {
        "ApproximateNumberOfMessagesVisible": 60,
        "NumberOfMessagesSent": 60,
        "NumberOfMessagesReceived": 60,
    }


def test_handler_faults_are_told_with_all_the_others(stack: Stack, tmp_path: Path) -> None:
    """A missing handler file and an impossible concurrency are two faults of one error."""
    with pytest.raises(ValueError, match="FlowControlledConsumer 'Delivery' has 2 faults"):
        FlowControlledConsumer(
            stack,
            "Delivery",
            handler=Handler.from_directory(tmp_path / "nowhere", "delivery.deliver"),
            max_concurrency=1,
        )


def test_a_copy_costs_at_most_25_round_trips(tmp_path: Path) -> None:
    """Queues, function, mapping, alarms and dashboard of one further consumer, its folder its own or not."""
    (tmp_path / "delivery.py").write_text("def deliver(order, call): ...\n")
    handler = Handler.from_directory(tmp_path, "delivery.deliver")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "billing.py").write_text("def bill(order, call): ...\n")
    another = Handler.from_directory(tmp_path / "other", "billing.bill")
    stack = Stack(App(), "Shop")
    courier = Downstream(stack, "Courier", requests_per_second=100)
    on_call = OnCall(stack, "OnCall", email="ops@example.com")

    def make(name: str, handler: Handler) -> None:
        FlowControlledConsumer(
            stack, name, handler=handler, downstream=courier, max_concurrency=10, on_call=on_call
        )

    make("First", handler)
    with count_jsii() as same:
        make("Second", handler)
    with count_jsii() as own:
        make("Third", another)
    assert same.count <= 24, same.by_target
    assert own.count <= 25, own.by_target


def test_a_dependency_that_cannot_be_packed_names_its_consumer(stack: Stack, tmp_path: Path) -> None:
    """Among twenty consumers, the error says whose function it is."""
    (tmp_path / "delivery.py").write_text("def deliver(order, call): ...\n")
    (tmp_path / "requirements.txt").write_text("-e ../shared\n")
    with pytest.raises(ValueError, match="ResilientFunction 'Delivery/Function'"):
        FlowControlledConsumer(
            stack, "Delivery", handler=Handler.from_directory(tmp_path, "delivery.deliver")
        )
