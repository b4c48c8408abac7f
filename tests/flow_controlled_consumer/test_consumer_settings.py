"""What a consumer tells the runtime of its handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import CfnParameter, Duration, Stack, assertions
from aws_cdk import aws_sqs as sqs
from consumer_parts import make_function, only
from resilient_runtime.settings import Settings

from resilient_constructs import (
    ContainerHealth,
    FlowControlledConsumer,
    Handler,
    Idempotency,
    Parameter,
    Redaction,
)

Make = Callable[..., FlowControlledConsumer]


@pytest.fixture
def make(stack: Stack, handler: Handler) -> Make:
    """Makes a consumer with the handler in the stack."""

    def make(**given: Any) -> FlowControlledConsumer:
        return FlowControlledConsumer(stack, "Delivery", handler=handler, **given)

    return make


def told(stack: Stack) -> Settings:
    """What the runtime reads, references apart."""
    function = only(assertions.Template.from_stack(stack), "AWS::Lambda::Function")
    variables = function["Environment"]["Variables"].items()
    return Settings.from_env({name: text for name, text in variables if isinstance(text, str)})


def test_everything_reaches_the_handlers_function(stack: Stack, make: Make) -> None:
    """Health, deadline, redaction, configuration, idempotency and storage are those of its function."""
    consumer = make(
        health=ContainerHealth(threshold=0.25),
        deadline_margin=Duration.millis(800),
        redact=Redaction(keys=("iban",)),
        configuration=[Parameter("url", parameter="/shop/url")],
        idempotency=Idempotency(),
        ephemeral_storage_size=1024,
    )
    settings = told(stack)
    assert settings.health.threshold == 0.25
    assert settings.health.retried
    assert settings.deadline_margin == 0.8
    assert settings.redaction.keys == ("iban",)
    assert [one.name for one in settings.configuration] == ["url"]
    template = assertions.Template.from_stack(stack)
    assert only(template, "AWS::Lambda::Function")["EphemeralStorage"] == {"Size": 1024}
    template.resource_count_is("AWS::DynamoDB::Table", 1)
    assert {"ConfigurationFailed", "NotRemembered"} <= set(consumer.alarms)
    assert consumer.resilient_function is not None
    assert consumer.resilient_function.idempotency_table is not None


def test_what_is_wrong_is_told_with_the_consumers_own_faults(make: Make) -> None:
    """The function's faults do not wait for the consumer's to be mended."""
    with pytest.raises(ValueError, match=r"FlowControlledConsumer 'Delivery' has 4 faults"):
        make(
            max_concurrency=1,
            health=ContainerHealth(threshold=0),
            deadline_margin=Duration.minutes(2),
            redact=Redaction(patterns=("(",)),
        )


def test_a_message_is_remembered_for_longer_than_it_is_hidden(make: Make) -> None:
    """A message that was done, but not deleted, comes back after the visibility timeout."""
    with pytest.raises(ValueError, match="visibility timeout, 180 seconds"):
        make(idempotency=Idempotency(expires_after=Duration.minutes(3)))


def test_a_given_function_takes_none_of_it(stack: Stack) -> None:
    """What only our runtime could do is refused for a function that does not have it."""
    with pytest.raises(ValueError, match="has 6 faults") as caught:
        FlowControlledConsumer(
            stack,
            "Delivery",
            function=make_function(stack),
            health=ContainerHealth(),
            deadline_margin=Duration.seconds(1),
            redact=Redaction(),
            configuration=[Parameter("url", parameter="/shop/url")],
            idempotency=Idempotency(),
            ephemeral_storage_size=512,
        )
    assert str(caught.value).count("set it on the given function itself") == 6


def test_an_only_receive_is_not_spent_on_a_cure(stack: Stack, make: Make) -> None:
    """With one receive an environment that exits would dead-letter a message that nobody has read."""
    make(max_receive_count=1)
    assert not told(stack).health.exit
    assert told(stack).health.reexec


def test_an_only_receive_of_a_given_queue_is_not_spent_either(stack: Stack, make: Make) -> None:
    """A given queue tells by its redrive policy how many receives a message has."""
    dead = sqs.Queue(stack, "Dead")
    redrive = sqs.DeadLetterQueue(queue=dead, max_receive_count=1)
    make(queue=sqs.Queue(stack, "Mine", dead_letter_queue=redrive, visibility_timeout=Duration.minutes(5)))
    assert not told(stack).health.exit


@pytest.mark.parametrize(("receives", "known"), [(None, 10), (3, 3)])
def test_the_function_knows_how_often_its_queue_gives_a_message_out(
    stack: Stack, make: Make, receives: int | None, known: int
) -> None:
    """So that one which fails in its last receive becomes a dead letter with its reason."""
    make(max_receive_count=receives)
    assert told(stack).max_receive_count == known


def test_of_a_given_queue_it_knows_what_the_redrive_policy_says(stack: Stack, make: Make) -> None:
    """Its receives are its own, not those that a queue made here would have."""
    redrive = sqs.DeadLetterQueue(queue=sqs.Queue(stack, "Dead"), max_receive_count=7)
    make(queue=sqs.Queue(stack, "Mine", dead_letter_queue=redrive, visibility_timeout=Duration.minutes(5)))
    assert told(stack).max_receive_count == 7


def test_of_an_imported_queue_nobody_knows(stack: Stack, make: Make) -> None:
    """SQS then moves what failed too often by itself, as it is."""
    queue = sqs.Queue.from_queue_arn(stack, "Mine", "arn:aws:sqs:eu-west-1:111122223333:orders")
    make(queue=queue, dead_letter_queue=sqs.Queue(stack, "Dead"))
    assert told(stack).max_receive_count is None


def test_a_number_that_only_cloudformation_knows_reaches_the_function_as_a_text(
    stack: Stack, make: Make
) -> None:
    """A token's number is written into the variable when the stack is deployed."""
    make(max_receive_count=CfnParameter(stack, "Receives", type="Number").value_as_number)
    (function,) = assertions.Template.from_stack(stack).find_resources("AWS::Lambda::Function").values()
    variables = function["Properties"]["Environment"]["Variables"]
    assert variables["RESILIENT_MAX_RECEIVE_COUNT"] == {"Ref": "Receives"}


def test_ten_receives_leave_one_for_the_cure(stack: Stack, make: Make) -> None:
    """By default an environment may exit: the message is received again."""
    make()
    assert told(stack).health.exit
