"""Parameters, secrets and the memory of what is done, as users declare them, and what they grant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_ssm as ssm
from aws_cdk.assertions import Template
from resilient_runtime.settings import ConfigurationEntry, IdempotencySettings

from resilient_constructs.limits import Faults
from resilient_constructs.resilient_function.configuration import (
    Parameter,
    Secret,
    check_configuration,
    entries_of,
    grant_reading,
)
from resilient_constructs.resilient_function.idempotency import Idempotency, grant_remembering, make_table

WHOLE = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/key-AbCdEf"
KEY = "arn:aws:kms:eu-west-1:111122223333:key/12345678-1234-1234-1234-123456789012"


@pytest.fixture
def stack() -> Stack:
    """A stack in a known place, so that ARNs can be read."""
    from aws_cdk import Environment

    return Stack(App(), "Shop", env=Environment(account="111122223333", region="eu-west-1"))


def faults_of(*configuration: Parameter | Secret) -> list[str]:
    """What is wrong with a configuration."""
    faults = Faults("ResilientFunction 'Delivery'")
    check_configuration(faults, configuration)
    return faults.found


def granted(stack: Stack, configuration: Sequence[Parameter | Secret]) -> list[dict[str, Any]]:
    """The statements of a role that may read a configuration."""
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    grant_reading(configuration, role)
    return statements_of(stack)


def statements_of(stack: Stack) -> list[dict[str, Any]]:
    """The statements of the one policy in a stack."""
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    statements: list[dict[str, Any]] = policy["Properties"]["PolicyDocument"]["Statement"]
    return statements


def test_a_parameter_can_be_a_name_or_a_construct(stack: Stack) -> None:
    """Both become the entry that the runtime reads, with five minutes and text by default."""
    made = ssm.StringParameter(stack, "Url", string_value="http://courier")
    entries = entries_of(
        [
            Parameter("rate", parameter="/shop/rate", form="int", expires_after=Duration.minutes(1)),
            Parameter("url", parameter=made),
        ]
    )

    assert entries[0] == ConfigurationEntry(
        name="rate", kind="parameter", source="/shop/rate", form="int", expires_after=60
    )
    assert (entries[1].form, entries[1].expires_after) == ("text", 300)
    assert stack.resolve(entries[1].source) == {"Ref": stack.get_logical_id(made.node.default_child)}  # type: ignore[arg-type]


def test_a_secret_can_be_a_name_or_a_construct(stack: Stack) -> None:
    """A secret of this app is named by its whole ARN, which also works from another account."""
    made = secretsmanager.Secret(stack, "Key")
    entries = entries_of([Secret("key", secret="shop/key", form="json"), Secret("made", secret=made)])

    assert entries[0] == ConfigurationEntry(name="key", kind="secret", source="shop/key", form="json")
    assert stack.resolve(entries[1].source) == {"Ref": stack.get_logical_id(made.node.default_child)}  # type: ignore[arg-type]


def test_exactly_these_parameters_may_be_read(stack: Stack) -> None:
    """One action on the parameters' own ARNs, without versions and labels, and nothing for keys of AWS."""
    shared = "arn:aws:ssm:eu-west-1:999999999999:parameter/shared/url:7"
    (statement,) = granted(
        stack,
        [
            Parameter("rate", parameter="/shop/rate:3"),
            Parameter("plain", parameter="rate"),
            Parameter("shared", parameter=shared),
            Parameter("again", parameter="/shop/rate", form="int"),
        ],
    )

    assert statement["Action"] == "ssm:GetParameters"
    own = "arn:{0}:ssm:{1}:{2}:parameter/{3}"
    assert [flat(one) for one in statement["Resource"]] == [
        own.format("AWS::Partition", "AWS::Region", "AWS::AccountId", "shop/rate"),
        own.format("AWS::Partition", "AWS::Region", "AWS::AccountId", "rate"),
        shared.removesuffix(":7"),
    ]


def flat(value: Any) -> str:
    """A resolved string with its references written in."""
    if isinstance(value, str):
        return value
    if "Ref" in value:
        return str(value["Ref"])
    return "".join(map(flat, value["Fn::Join"][1]))


def test_one_secret_needs_one_action(stack: Stack) -> None:
    """GetSecretValue on that secret, found by its name and the six characters that AWS appends."""
    (statement,) = granted(stack, [Secret("key", secret="shop/key")])

    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert flat(statement["Resource"]).endswith(":secret:shop/key-??????")


def test_several_secrets_are_read_in_a_batch_that_reads_nothing_else(stack: Stack) -> None:
    """IAM knows no resource for the batch; each secret in it is still decided by its own ARN."""
    reading, batch = granted(
        stack, [Secret("a", secret=WHOLE), Secret("b", secret=WHOLE.replace("key", "b"))]
    )

    assert reading["Action"] == "secretsmanager:GetSecretValue"
    assert reading["Resource"] == [WHOLE, WHOLE.replace("key", "b")]
    assert (batch["Action"], batch["Resource"]) == ("secretsmanager:BatchGetSecretValue", "*")


def test_half_an_arn_and_an_imported_name_are_matched_with_their_ends(stack: Stack) -> None:
    """Where the last six characters are unknown, a policy names their number and no more."""
    by_name = secretsmanager.Secret.from_secret_name_v2(stack, "ByName", "shop/other")
    reading, _ = granted(stack, [Secret("a", secret=WHOLE[:-7]), Secret("b", secret=by_name)])

    assert [flat(one)[-17:] for one in reading["Resource"]] == ["t:shop/key-??????", "shop/other-??????"]


def test_a_key_decrypts_these_values_and_no_others(stack: Stack) -> None:
    """kms:Decrypt is bound to the encryption context in which the services use the key for these values."""
    key = kms.Key.from_key_arn(stack, "Key", KEY)
    secret = secretsmanager.Secret(stack, "Secret", encryption_key=key)
    statements = granted(
        stack,
        [
            Parameter("a", parameter="/shop/a", encryption_key=key),
            Parameter("b", parameter="/shop/b", encryption_key=key),
            Parameter("open", parameter="/shop/open"),
            Secret("made", secret=secret),
            Secret("named", secret="shop/key", encryption_key=key),
        ],
    )
    of_parameters, of_secrets = [one for one in statements if one["Action"] == "kms:Decrypt"]

    assert of_parameters["Resource"] == of_secrets["Resource"] == KEY
    arns = of_parameters["Condition"]["StringEquals"]["kms:EncryptionContext:PARAMETER_ARN"]
    assert [flat(arn).rpartition(":")[2] for arn in arns] == ["parameter/shop/a", "parameter/shop/b"]
    arns = of_secrets["Condition"]["StringLike"]["kms:EncryptionContext:SecretARN"]
    assert [flat(arn).rpartition(":")[2] for arn in arns][1] == "shop/key-??????"


def test_no_wildcard_but_the_one_that_iam_demands(stack: Stack) -> None:
    """Nothing is granted on everything except the batch, and no action is a pattern."""
    statements = granted(
        stack,
        [
            Parameter("url", parameter="/shop/url"),
            Secret("a", secret="a"),
            Secret("b", secret="b", encryption_key=kms.Key(stack, "Key")),
        ],
    )

    assert [one["Action"] for one in statements if one["Resource"] == "*"] == [
        "secretsmanager:BatchGetSecretValue"
    ]
    assert not [one for one in statements if "*" in str(one["Action"])]


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (Parameter("a b", parameter="/x"), "configuration name is 'a b'; allowed: a letter or _"),
        (Parameter("", parameter="/x"), "configuration name is ''"),
        (Parameter("a", parameter="shop/rate"), "parameter of 'a' is 'shop/rate'; allowed: letters"),
        (Parameter("a", parameter=WHOLE), "parameter of 'a' is 'arn:aws:secretsmanager"),
        (Parameter("a", parameter="/x", form="yaml"), "form of 'a' is 'yaml'; allowed: 'text', 'json'"),  # type: ignore[arg-type]
        (Parameter("a", parameter="/x", expires_after=Duration.seconds(5)), "expires_after of 'a' is 5"),
        (Parameter("a", parameter="/x", expires_after=Duration.days(2)), "10 to 86,400 seconds"),
        (Secret("a", secret="my secret"), "secret of 'a' is 'my secret'; allowed: up to 512 letters"),
        (Secret("a", secret="arn:aws:ssm:eu-west-1:1:parameter/x"), "an ARN, or the secret itself"),
    ],
)
def test_what_aws_would_refuse_is_refused_at_synth(wrong: Parameter | Secret, fault: str) -> None:
    """Each fault names the value, what it is, what is allowed, and an AWS page."""
    (found,) = faults_of(wrong)

    assert fault in found
    assert "(https://docs.aws.amazon.com/" in found


@pytest.mark.parametrize(
    "wrong", ["/shop/rate", ["/shop/rate"], Parameter("a", parameter="/x")], ids=["text", "texts", "no list"]
)
def test_what_is_no_list_of_parameters_and_secrets_is_told(wrong: Any) -> None:
    """Of all slips the most likely: the name of a parameter alone."""
    faults = Faults("ResilientFunction 'Delivery'")
    check_configuration(faults, wrong)
    (found,) = faults.found
    assert found.startswith("configuration is ")
    assert "Parameter(" in found.partition("allowed:")[2]


def test_all_faults_are_told_at_once(stack: Stack) -> None:
    """Tokens that cannot be read, and names given twice, are among them."""
    name = CfnParameter(stack, "Name").value_as_string
    age = Duration.seconds(CfnParameter(stack, "Age", type="Number").value_as_number)
    found = faults_of(
        Parameter("a", parameter=name),
        Parameter("a", parameter="/x"),
        Secret("b", secret="x", expires_after=age),
    )

    assert len(found) == 3
    assert "or the parameter itself" in found[0]
    assert "each name once" in found[1]
    assert "a duration known at synth" in found[2]


def test_a_table_remembers_for_a_day(stack: Stack) -> None:
    """Paid per request, encrypted, restorable, with items that expire; and it goes with its stack."""
    make_table(stack)
    (table,) = Template.from_stack(stack).find_resources("AWS::DynamoDB::Table").values()

    assert table["DeletionPolicy"] == "Delete"
    assert table["Properties"] == {
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "expiration", "Enabled": True},
    }
    assert Idempotency().settings("T") == IdempotencySettings(table_name="T", expires_after=86_400)


def test_a_function_may_note_and_forget_and_read_nothing(stack: Stack) -> None:
    """Three actions on this table alone."""
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    grant_remembering(make_table(stack), role)
    (statement,) = statements_of(stack)

    assert statement["Action"] == ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"]
    assert "GetAtt" in str(statement["Resource"])


def test_a_table_with_a_customer_key_is_granted_with_it(stack: Stack) -> None:
    """DynamoDB uses the key in the caller's name."""
    table = dynamodb.Table(
        stack,
        "Own",
        partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
        encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
    )
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    grant_remembering(table, role)

    assert [one for one in statements_of(stack) if "kms:Decrypt" in one["Action"]]


def idempotency_faults(idempotency: Idempotency, **more: Any) -> list[str]:
    """What is wrong with it."""
    faults = Faults("ResilientFunction 'Delivery'")
    idempotency.check(faults, **more)
    return faults.found


def test_a_message_is_remembered_longer_than_it_stays_away(stack: Stack) -> None:
    """A window within the visibility timeout would forget a message before it can come back."""
    hour = Idempotency(expires_after=Duration.hours(1))

    assert idempotency_faults(hour, visibility_timeout=1800) == []
    (fault,) = idempotency_faults(hour, visibility_timeout=5400)
    assert "more than the queue's visibility timeout, 5400 seconds" in fault
    (fault,) = idempotency_faults(Idempotency(expires_after=Duration.days(29)))
    assert "60 to 2,419,200 seconds" in fault
    age = Duration.seconds(CfnParameter(stack, "Age", type="Number").value_as_number)
    (fault,) = idempotency_faults(Idempotency(expires_after=age))
    assert "a duration known at synth" in fault


def test_a_table_with_other_keys_is_refused(stack: Stack) -> None:
    """The key must be ``id`` alone; of an imported table nobody knows at synth."""
    other = dynamodb.Table(
        stack,
        "Other",
        partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
        sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
    )
    imported = dynamodb.Table.from_table_name(stack, "Imported", "theirs")

    (fault,) = idempotency_faults(Idempotency(table=other))
    assert "a table with the key pk and sk" in fault
    assert idempotency_faults(Idempotency(table=imported)) == []
    assert idempotency_faults(Idempotency(table=make_table(stack))) == []
