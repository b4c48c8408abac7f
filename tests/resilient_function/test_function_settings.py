"""What a ResilientFunction tells its runtime: health, deadline, redaction, configuration, idempotency."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm
from aws_cdk.assertions import Template
from resilient_runtime.settings import HealthSettings, Settings

from resilient_constructs import (
    ContainerHealth,
    Handler,
    Idempotency,
    Parameter,
    Redaction,
    ResilientFunction,
    Secret,
)

Make = Callable[..., ResilientFunction]


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> Handler:
    """A handler that works."""
    folder = tmp_path_factory.mktemp("handlers")
    (folder / "delivery.py").write_text("def deliver(order, call):\n    return None\n")
    return Handler.from_directory(folder, "delivery.deliver")


@pytest.fixture
def make(stack: Stack, handler: Handler) -> Make:
    """Makes a function in the stack."""

    def make(**given: Any) -> ResilientFunction:
        if given.get("mode") == "messages":
            given["dead_letter_queue"] = sqs.Queue(stack, "DeadLetters")
        return ResilientFunction(stack, "Delivery", handler=handler, **given)

    return make


def variables_of(stack: Stack) -> Mapping[str, Any]:
    """The environment of the one function."""
    (function,) = Template.from_stack(stack).find_resources("AWS::Lambda::Function").values()
    variables: Mapping[str, Any] = function["Properties"]["Environment"]["Variables"]
    return variables


def told(stack: Stack) -> Settings:
    """What the runtime reads; a reference is a text without meaning."""
    texts = {
        name: text if isinstance(text, str) else _joined(text) for name, text in variables_of(stack).items()
    }
    return Settings.from_env(texts)


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        return "".join(_joined(part) for part in value["Fn::Join"][1])
    return f"<{value.get('Ref', 'attribute')}>"


def statements_of(stack: Stack) -> dict[str, Any]:
    """The resources that each action is granted on, by all policies."""
    return {
        action: statement["Resource"]
        for policy in Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


def test_health_is_as_the_user_says(stack: Stack, make: Make) -> None:
    """Each choice reaches the runtime."""
    make(
        health=ContainerHealth(
            threshold=0.3, reexec=False, exit=False, update_function=True, allocations=True
        )
    )
    assert told(stack).health == HealthSettings(
        threshold=0.3, reexec=False, exit=False, update_function=True, allocations=True
    )


def test_health_is_on_by_default(stack: Stack, make: Make) -> None:
    """Nobody has to ask for the cure: the runtime's own defaults hold, and its last resort is off."""
    made = make()
    assert told(stack).health == HealthSettings()
    assert not told(stack).health.update_function
    assert "RESILIENT_HEALTH" not in variables_of(stack)
    assert "ContainerHealth" in made.alarms


@pytest.mark.parametrize(
    ("given", "retried"),
    [
        ({"mode": "messages"}, True),
        ({"asynchronous": True}, True),
        ({"asynchronous": True, "retry_attempts": 1}, True),
        ({"asynchronous": True, "retry_attempts": 0}, False),
        ({}, False),
    ],
)
def test_an_environment_exits_only_where_the_source_repeats(
    stack: Stack, make: Make, given: dict[str, Any], retried: bool
) -> None:
    """A queue and asynchronous events with retries repeat an invocation; a caller who waits does not."""
    make(**given)
    assert told(stack).health.retried is retried


def test_retries_that_nobody_knows_count_as_none(stack: Stack, make: Make) -> None:
    """Where only CloudFormation knows the retries, an exit might lose the event."""
    make(asynchronous=True, retry_attempts=CfnParameter(stack, "Retries", type="Number").value_as_number)
    assert not told(stack).health.retried


def test_a_function_may_update_itself_only_when_asked(stack: Stack, make: Make) -> None:
    """Without update_function no action of Lambda's own API is granted."""
    make(health=ContainerHealth())
    assert not [action for action in statements_of(stack) if action.startswith("lambda:")]


def test_a_function_may_update_itself_and_no_other(stack: Stack, make: Make) -> None:
    """The two actions that change a variable are granted on exactly this function; no role is passed."""
    make(health=ContainerHealth(update_function=True))
    granted = statements_of(stack)
    (function,) = Template.from_stack(stack).find_resources("AWS::Lambda::Function")
    assert {action: on for action, on in granted.items() if action.startswith(("lambda:", "iam:"))} == {
        "lambda:GetFunctionConfiguration": {"Fn::GetAtt": [function, "Arn"]},
        "lambda:UpdateFunctionConfiguration": {"Fn::GetAtt": [function, "Arn"]},
    }


def test_its_own_permission_is_no_circle(stack: Stack, make: Make) -> None:
    """The function waits for its role's policy, so the policy that names the function stands beside it."""
    make(health=ContainerHealth(update_function=True))
    template = Template.from_stack(stack)
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    naming = [
        name
        for name, policy in template.find_resources("AWS::IAM::Policy").items()
        if "UpdateFunctionConfiguration" in json.dumps(policy)
    ]
    assert naming
    assert not set(naming) & set(function["DependsOn"])


@pytest.mark.parametrize("threshold", [0, 0.09, 0.96, 50, float("nan"), True])
def test_a_threshold_out_of_range_is_refused(make: Make, threshold: float) -> None:
    """Below a tenth noise would cure a healthy environment; above 0.95 the cure would come too late."""
    with pytest.raises(ValueError, match=r"health.threshold is .*; allowed: 0.1 to 0.95 of the headroom"):
        make(health=ContainerHealth(threshold=threshold))


def test_a_threshold_is_known_at_synth(stack: Stack, make: Make) -> None:
    """The alarm is computed from it."""
    number = CfnParameter(stack, "Number", type="Number").value_as_number
    with pytest.raises(ValueError, match=r"health\.threshold is 'a token'"):
        make(health=ContainerHealth(threshold=number))


def test_the_alarm_stays_above_the_threshold_of_the_cure(make: Make) -> None:
    """It says that the cure did not help, so it goes off at 80 %, and later where the cure begins later."""
    made = make(health=ContainerHealth(threshold=0.9))
    assert made.full == 95
    assert made.alarms["ContainerHealth"].threshold == 95


@pytest.mark.parametrize(
    ("margin", "seconds"),
    [(Duration.millis(250), 0.25), (Duration.seconds(5), 5), (Duration.seconds(0), 0)],
)
def test_the_margin_reaches_the_runtime(stack: Stack, make: Make, margin: Duration, seconds: float) -> None:
    """Also below a second, and nothing, which switches the guard off."""
    make(deadline_margin=margin)
    assert told(stack).deadline_margin == seconds


def test_without_a_margin_the_runtime_decides(stack: Stack, make: Make) -> None:
    """The default depends on the timeout, so it is left to the runtime."""
    make()
    assert told(stack).deadline_margin is None


def test_a_margin_leaves_time_to_work(make: Make) -> None:
    """A margin of the whole timeout would interrupt the handler before it began."""
    with pytest.raises(
        ValueError, match=r"deadline_margin is 3; allowed: less than the timeout of 3 seconds"
    ):
        make(timeout=Duration.seconds(3), deadline_margin=Duration.seconds(3))


def test_a_margin_is_known_at_synth(stack: Stack, make: Make) -> None:
    """A number that only CloudFormation knows would be written out as nonsense."""
    number = CfnParameter(stack, "Number", type="Number").value_as_number
    with pytest.raises(ValueError, match="deadline_margin is 'a token'"):
        make(deadline_margin=Duration.seconds(number))


def test_a_long_margin_lowers_the_alarm_on_the_duration(make: Make) -> None:
    """Nothing takes longer than until it is interrupted, so the alarm goes off there."""
    made = make(timeout=Duration.seconds(60), deadline_margin=Duration.seconds(20))
    assert made.alarms["Duration"].threshold == 40_000


def test_redaction_reaches_the_runtime(stack: Stack, make: Make) -> None:
    """Names, places and patterns are told as they are given."""
    make(
        redact=Redaction(
            keys=("tax_id",),
            paths=("$.customer.address", "$.items[*].note", "$.lines[0]['post code']"),
            patterns=(r"\bDE\d{20}\b",),
        )
    )
    redaction = told(stack).redaction
    assert redaction.keys == ("tax_id",)
    assert len(redaction.paths) == 3
    assert redaction.patterns == (r"\bDE\d{20}\b",)


@pytest.mark.parametrize(
    ("redact", "told"),
    [
        (Redaction(patterns=("(",)), "missing \\), unterminated subpattern"),
        (Redaction(patterns=("x*",)), "does not match the empty text"),
        (
            Redaction(paths=("customer.address",)),
            r"redact.paths is 'customer.address'; allowed: a path such as",
        ),
        (Redaction(paths=("$",)), r"redact.paths is '\$'"),
        (Redaction(paths=("$.items[",)), "redact.paths"),
        (Redaction(keys=("_",)), "redact.keys is '_'; allowed: the name of a member"),
        (Redaction(keys="password"), "redact.keys is 'password'; allowed: a tuple of texts"),  # type: ignore[arg-type]
    ],
)
def test_redaction_that_hides_nothing_or_everything_is_refused(
    make: Make, redact: Redaction, told: str
) -> None:
    """What the runtime could not read, or what would never match, is told at synth."""
    with pytest.raises(ValueError, match=told):
        make(redact=redact)


def test_configuration_is_named_and_granted(stack: Stack, make: Make) -> None:
    """The runtime is told names and places, and the role may read exactly those."""
    url = ssm.StringParameter(stack, "Url", string_value="https://courier.example.com")
    key = secretsmanager.Secret(stack, "Key")
    make(configuration=[Parameter("courier_url", parameter=url), Secret("courier_key", secret=key)])
    assert [(one.name, one.kind) for one in told(stack).configuration] == [
        ("courier_url", "parameter"),
        ("courier_key", "secret"),
    ]
    granted = {action for action in statements_of(stack) if action.startswith(("ssm:", "secretsmanager:"))}
    assert granted == {"ssm:GetParameters", "secretsmanager:GetSecretValue"}


def test_configuration_is_granted_before_the_first_invocation(stack: Stack, make: Make) -> None:
    """It is loaded in the init phase, so the function is made after the policy that lets it."""
    make(configuration=[Parameter("url", parameter="/shop/url")])
    template = Template.from_stack(stack)
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    (policy,) = template.find_resources("AWS::IAM::Policy")
    assert policy in function["DependsOn"]


def test_a_name_is_configured_once(make: Make) -> None:
    """Two values of one name are refused."""
    with pytest.raises(ValueError, match="configuration is 'url'; allowed: each name once"):
        make(configuration=[Parameter("url", parameter="/a"), Parameter("url", parameter="/b")])


def test_configuration_counts_against_the_environment(make: Make) -> None:
    """What the runtime is told shares Lambda's 4 KB with the user's own variables."""
    many = [Parameter(f"name_{number}", parameter=f"/shop/{'x' * 60}/{number}") for number in range(40)]
    with pytest.raises(ValueError, match=r"environment is .*4,096 bytes"):
        make(configuration=many)


def test_a_token_in_the_configuration_leaves_the_rest_counted(stack: Stack, make: Make) -> None:
    """One reference in a long JSON does not hide how long the rest is."""
    secret = Secret("key", secret=secretsmanager.Secret(stack, "Key"))
    many = [Parameter(f"name_{number}", parameter=f"/shop/{'x' * 60}/{number}") for number in range(40)]
    with pytest.raises(ValueError, match=r"environment is .*4,096 bytes"):
        make(configuration=[*many, secret])


def test_idempotency_has_a_table(stack: Stack, make: Make) -> None:
    """A table is made that ends its items itself, and the function may use it and nothing else of it."""
    made = make(mode="messages", idempotency=Idempotency(expires_after=Duration.hours(6)))
    assert made.idempotency_table is not None
    template = Template.from_stack(stack)
    (table,) = template.find_resources("AWS::DynamoDB::Table")
    idempotency = told(stack).idempotency
    assert idempotency is not None
    assert (idempotency.table_name, idempotency.expires_after) == (f"<{table}>", 21_600)
    granted = {action: on for action, on in statements_of(stack).items() if action.startswith("dynamodb:")}
    assert granted
    assert all("*" not in action for action in granted)
    assert all(on == [{"Fn::GetAtt": [table, "Arn"]}] for on in granted.values())


def test_idempotency_takes_a_given_table(stack: Stack, make: Make) -> None:
    """Several functions may share one; then none is made."""
    table = dynamodb.Table(
        stack,
        "Shared",
        partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
        time_to_live_attribute="expiration",
    )
    made = make(mode="messages", idempotency=Idempotency(table=table))
    assert made.idempotency_table is table
    Template.from_stack(stack).resource_count_is("AWS::DynamoDB::Table", 1)


def test_idempotency_is_for_messages(make: Make) -> None:
    """An event has no key that stays the same when it comes again."""
    with pytest.raises(ValueError, match="idempotency is 'given'; allowed: None in mode 'event'"):
        make(idempotency=Idempotency())


def test_nothing_is_made_when_something_is_wrong(stack: Stack, make: Make) -> None:
    """The table is made only when all is well."""
    with pytest.raises(ValueError, match=r"health\.threshold"):
        make(mode="messages", idempotency=Idempotency(), health=ContainerHealth(threshold=1))
    Template.from_stack(stack).resource_count_is("AWS::DynamoDB::Table", 0)


@pytest.mark.parametrize(
    ("given", "alarms"),
    [
        ({}, set()),
        ({"configuration": [Parameter("url", parameter="/url")]}, {"ConfigurationFailed"}),
        ({"idempotency": Idempotency()}, {"NotRemembered"}),
    ],
)
def test_what_it_has_is_watched(make: Make, given: dict[str, Any], alarms: set[str]) -> None:
    """Configuration that is old and messages that are not noted wake someone, where there are any."""
    made = make(mode="messages", **given)
    assert set(made.alarms) & {"ConfigurationFailed", "NotRemembered"} == alarms


def test_storage(stack: Stack, make: Make) -> None:
    """The size of /tmp is said in MB."""
    make(ephemeral_storage_size=2048)
    Template.from_stack(stack).has_resource_properties(
        "AWS::Lambda::Function", {"EphemeralStorage": {"Size": 2048}}
    )


@pytest.mark.parametrize("size", [511, 10_241, 600.5])
def test_storage_out_of_range_is_refused(make: Make, size: float) -> None:
    """Lambda offers 512 to 10,240 MB."""
    with pytest.raises(
        ValueError, match=r"ephemeral_storage_size is .*; allowed: whole numbers, 512 to 10,240 MB"
    ):
        make(ephemeral_storage_size=size)


def test_all_faults_are_told_at_once(make: Make) -> None:
    """Whatever is wrong with what the runtime is told stands in one error, each with its page."""
    with pytest.raises(ValueError, match=r"ResilientFunction 'Delivery' has 6 faults") as caught:
        make(
            health=ContainerHealth(threshold=2),
            deadline_margin=Duration.minutes(1),
            redact=Redaction(patterns=("[",)),
            configuration=[Parameter("9", parameter="/url")],
            idempotency=Idempotency(),
            ephemeral_storage_size=1,
        )
    assert str(caught.value).count("(https://") == 6


def test_functions_of_one_folder_share_its_asset(handler: Handler, tmp_path: Path) -> None:
    """In one stack the folder is staged once; another stack has its own, also when it is made in between."""
    app = App()
    stacks = [Stack(app, name) for name in ("One", "Two")]
    for name in ("A", "B"):
        for stack in stacks:
            ResilientFunction(stack, name, handler=handler)
    for stack in stacks:
        functions = Template.from_stack(stack).find_resources("AWS::Lambda::Function").values()
        codes = [json.dumps(function["Properties"]["Code"], sort_keys=True) for function in functions]
        assert len(codes) == 2
        assert len(set(codes)) == 1
