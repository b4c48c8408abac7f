"""What Parameter Store and Secrets Manager are asked, counted on moto."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoRegionError
from moto import mock_aws
from resilient_runtime.configured import Configuration
from resilient_runtime.configured.asking import Answer, Found, Store, ask_all, calls_for
from resilient_runtime.settings import ConfigurationEntry
from resilient_runtime.stores.parameters import ParameterStore
from resilient_runtime.stores.secrets_manager import SecretsManager

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module", autouse=True)
def aws() -> Iterator[None]:
    """Parameters and secrets on moto."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        ssm = boto3.client("ssm")
        for number in range(25):
            ssm.put_parameter(Name=f"/shop/p{number}", Value=f"value {number}", Type="String")
        ssm.put_parameter(Name="/shop/password", Value=PASSWORD, Type="SecureString")
        secrets = boto3.client("secretsmanager")
        for number in range(25):
            secrets.create_secret(Name=f"shop/s{number}", SecretString=f"secret {number}")
        secrets.create_secret(Name="shop/bytes", SecretBinary=b"\x00\x01")
        yield


class Counted:
    """A client whose calls are counted, and fail when they are told to."""

    def __init__(self, service: str) -> None:
        self.client = boto3.client(service)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failing: dict[str, Exception] = {}
        self.only_refuses: str | None = None

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            if name in self.failing and (self.only_refuses is None or self.only_refuses in str(arguments)):
                raise self.failing[name]
            return getattr(self.client, name)(**arguments)

        return call

    @property
    def names(self) -> list[str]:
        """The operations that were called."""
        return [name for name, _ in self.calls]


@pytest.fixture
def ssm() -> Counted:
    """Parameter Store."""
    return Counted("ssm")


@pytest.fixture
def secrets() -> Counted:
    """Secrets Manager."""
    return Counted("secretsmanager")


def entries(kind: Any, *sources: str) -> list[ConfigurationEntry]:
    """An entry for each source, named after it."""
    return [ConfigurationEntry(name=source, kind=kind, source=source) for source in sources]


def load(store: Store, wanted: list[ConfigurationEntry]) -> Answer:
    """Everything that the store brings."""
    return ask_all([one.name for one in wanted], store.asks(wanted), start=None)


def error(code: str, operation: str = "GetParameters") -> ClientError:
    """What AWS answers when it refuses."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


def test_ten_parameters_are_one_call(ssm: Counted) -> None:
    """GetParameters takes ten names: 25 parameters are three calls, and 10 are one."""
    answer = load(ParameterStore(lambda: ssm), entries("parameter", *(f"/shop/p{n}" for n in range(25))))
    assert [len(arguments["Names"]) for _, arguments in ssm.calls] == [10, 10, 5]
    assert (len(answer.found), answer.faults) == (25, {})

    load(ParameterStore(lambda: ssm), entries("parameter", *(f"/shop/p{n}" for n in range(10))))
    assert len(ssm.calls) == 4


def test_twenty_secrets_are_one_call(secrets: Counted) -> None:
    """BatchGetSecretValue takes twenty: 25 secrets are two calls."""
    answer = load(SecretsManager(lambda: secrets), entries("secret", *(f"shop/s{n}" for n in range(25))))

    assert secrets.names == ["batch_get_secret_value"] * 2
    assert (len(answer.found), answer.faults) == (25, {})


def test_one_secret_needs_no_batch(secrets: Counted) -> None:
    """A function with one secret calls GetSecretValue, and needs no permission for more."""
    answer = load(SecretsManager(lambda: secrets), entries("secret", "shop/s1"))

    assert secrets.names == ["get_secret_value"]
    assert answer.found == {"shop/s1": Found("secret 1", is_secret=True)}


def test_entries_that_share_a_source_share_its_call() -> None:
    """Two names for one parameter, read in two forms, are asked for once."""
    one = ConfigurationEntry(name="a", kind="parameter", source="/x")
    other = ConfigurationEntry(name="b", kind="parameter", source="/x", form="json")

    assert calls_for([one, other], per_call=10) == [{"/x": [one, other]}]


def test_an_encrypted_parameter_is_decrypted_and_a_secret_from_then_on(ssm: Counted) -> None:
    """A SecureString counts as secret, a String does not."""
    answer = load(ParameterStore(lambda: ssm), entries("parameter", "/shop/password", "/shop/p1"))

    assert answer.found["/shop/password"] == Found(PASSWORD, is_secret=True)
    assert answer.found["/shop/p1"] == Found("value 1", is_secret=False)


def test_a_secret_is_known_by_name_by_arn_and_by_half_an_arn(secrets: Counted) -> None:
    """However the construct names it, the answer finds its entry."""
    arn = secrets.client.describe_secret(SecretId="shop/s2")["ARN"]
    answer = load(SecretsManager(lambda: secrets), entries("secret", "shop/s2", arn, arn[:-7]))

    assert {found.text for found in answer.found.values()} == {"secret 2"}
    assert len(answer.found) == 3


def test_versions_and_labels_come_back_apart_from_the_name() -> None:
    """``name:3`` and ``name:live`` are answered as name and selector, and each finds its entry."""

    class Answering:
        def get_parameters(self, **arguments: Any) -> Any:
            arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/x"
            return {
                "Parameters": [
                    {"Name": "/x", "ARN": arn, "Selector": ":3", "Value": "third"},
                    {"Name": "/x", "ARN": arn, "Selector": "live", "Value": "live"},
                    {"Name": "/x", "ARN": arn, "Value": "latest"},
                    {"Name": "/y", "ARN": "arn:aws:ssm:eu-west-1:210987654321:parameter/y", "Value": "y"},
                ]
            }

    shared = "arn:aws:ssm:eu-west-1:210987654321:parameter/y"
    answer = load(ParameterStore(Answering), entries("parameter", "/x:3", "/x:live", "/x", shared))

    assert {name: found.text for name, found in answer.found.items()} == {
        "/x:3": "third",
        "/x:live": "live",
        "/x": "latest",
        shared: "y",
    }


def test_all_that_is_missing_is_named_at_once(ssm: Counted, secrets: Counted) -> None:
    """Parameters and secrets that do not exist are each told by name, and the others are found."""
    parameters = load(ParameterStore(lambda: ssm), entries("parameter", "/shop/p1", "/nope", "/neither"))
    batch = load(SecretsManager(lambda: secrets), entries("secret", "shop/s1", "nope", "shop/bytes"))
    alone = load(SecretsManager(lambda: secrets), entries("secret", "nope"))

    assert set(parameters.found) == {"/shop/p1"}
    assert set(parameters.faults) == {"/nope", "/neither"}
    assert "there is no such parameter" in parameters.faults["/nope"]
    assert set(batch.found) == {"shop/s1"}
    assert "there is no such secret" in batch.faults["nope"]
    assert "store it as a string" in batch.faults["shop/bytes"]
    assert alone.faults["nope"] == batch.faults["nope"]


def test_one_forbidden_parameter_spoils_no_other(ssm: Counted) -> None:
    """IAM refuses the whole call for one name, so each is asked for alone, and only that one is missing."""
    ssm.failing["get_parameters"] = error("AccessDeniedException")
    ssm.only_refuses = "/shop/p3"
    answer = load(ParameterStore(lambda: ssm), entries("parameter", "/shop/p2", "/shop/p3", "/shop/p4"))

    assert set(answer.found) == {"/shop/p2", "/shop/p4"}
    assert answer.faults == {
        "/shop/p3": "parameter '/shop/p3': AccessDeniedException: no. Allow the function's role "
        "ssm:GetParameters on it, and kms:Decrypt on its key where it has a customer key (encryption_key, "
        "where the function's configuration is declared)"
    }


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        (error("ThrottlingException"), "raise the throughput"),
        (ConnectTimeoutError(endpoint_url="https://ssm"), "interface endpoint for ssm"),
        (error("InternalServerError"), "asked again after a pause"),
        (error("ExpiredTokenException"), "has its role been deleted"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_store_in_trouble_is_asked_once(ssm: Counted, refusal: Exception, remedy: str) -> None:
    """Throttling and an unreachable network are not answered with more calls, and each has its remedy."""
    ssm.failing["get_parameters"] = refusal
    answer = load(ParameterStore(lambda: ssm), entries("parameter", "/shop/p1", "/shop/p2"))

    assert len(ssm.calls) == 1
    assert set(answer.faults) == {"/shop/p1", "/shop/p2"}
    assert all(remedy in fault for fault in answer.faults.values())


def test_what_aws_said_ends_once(ssm: Counted) -> None:
    """botocore ends some of its sentences with a full stop, and the remedy begins after ours."""
    ssm.failing["get_parameters"] = NoRegionError()
    answer = load(ParameterStore(lambda: ssm), entries("parameter", "/shop/p1"))

    assert "You must specify a region. " in answer.faults["/shop/p1"]
    assert ".." not in answer.faults["/shop/p1"]


def test_without_the_batch_permission_secrets_are_read_one_by_one(secrets: Counted) -> None:
    """A role that allows only GetSecretValue works too, and is not asked for the batch again."""
    secrets.failing["batch_get_secret_value"] = error("AccessDeniedException")
    store = SecretsManager(lambda: secrets)
    for _ in range(2):
        assert len(load(store, entries("secret", "shop/s1", "shop/s2")).found) == 2

    assert secrets.names == ["batch_get_secret_value", *["get_secret_value"] * 4]


def test_a_throttled_batch_is_no_reason_for_many_calls(secrets: Counted) -> None:
    """Throttling refuses the batch as a whole, and every entry is told."""
    secrets.failing["batch_get_secret_value"] = error("ThrottlingException")
    answer = load(SecretsManager(lambda: secrets), entries("secret", "shop/s1", "shop/s2"))

    assert secrets.names == ["batch_get_secret_value"]
    assert set(answer.faults) == {"shop/s1", "shop/s2"}


def test_a_long_batch_is_read_to_its_end() -> None:
    """Where Secrets Manager answers in pages, all pages are read, and a refusal inside names its secret."""

    class Paged:
        def batch_get_secret_value(self, **arguments: Any) -> Any:
            if "NextToken" not in arguments:
                return {
                    "SecretValues": [{"Name": "a", "ARN": "arn:a-AbCdEf", "SecretString": "1"}],
                    "NextToken": "more",
                }
            refusal = {"SecretId": "c", "ErrorCode": "AccessDeniedException", "Message": "kms says no"}
            return {
                "SecretValues": [{"Name": "b", "ARN": "arn:b-AbCdEf", "SecretString": "2"}],
                "Errors": [refusal],
            }

        def get_secret_value(self, **arguments: Any) -> Any:
            raise NotImplementedError

    answer = load(SecretsManager(Paged), entries("secret", "a", "b", "c"))

    assert {name: found.text for name, found in answer.found.items()} == {"a": "1", "b": "2"}
    assert "kms says no. Allow the function's role secretsmanager:GetSecretValue" in answer.faults["c"]


def test_the_default_stores_load_everything_and_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """With botocore at DEBUG, which logs response bodies, no value is in the log, and the rest still is."""
    configuration = Configuration()
    lines: list[str] = []
    with caplog.at_level(logging.DEBUG):
        configuration.load(
            [
                *entries("parameter", *(f"/shop/p{n}" for n in range(12)), "/shop/password"),
                *entries("secret", "shop/s1", "shop/s2"),
            ],
            service="shop",
            function_name="Delivery",
            emit=lines.append,
        )
        boto3.client("ssm").get_parameters(Names=["/shop/p20"])

    assert configuration["/shop/password"] == PASSWORD
    assert configuration["shop/s2"] == "secret 2"
    assert configuration["/shop/p11"] == "value 11"
    assert lines == []
    assert "value 20" in caplog.text
    assert PASSWORD not in caplog.text
    assert "secret 2" not in caplog.text
    assert "value 11" not in caplog.text


def test_a_client_that_cannot_be_made_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region there is no client; that is told like any refusal, and starting goes on."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setattr("resilient_runtime.stores.clients._session", None)
    lines: list[str] = []
    Configuration().load(
        entries("parameter", "/shop/p1"), service="shop", function_name="Delivery", emit=lines.append
    )

    assert "NoRegionError" in json.loads(lines[0])["faults"]["/shop/p1"]
