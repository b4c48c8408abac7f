"""Secrets Manager: twenty secrets per call, one alone without the batch.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from resilient_runtime.configured.asking import Answer, Ask, Found, Wanted, calls_for
from resilient_runtime.settings import ConfigurationEntry

from .clients import Once, client, unlogged
from .refusals import code_of, said_by
from .remedies import remedy_for

__all__ = ["GetsSecrets", "SecretsManager"]

_PER_CALL = 20

_NO_SUCH = (
    "there is no such secret in this account and region, or it has no current value: give it one, or correct "
    "its name where the function's configuration is declared"
)
_BINARY = "it holds bytes, and only text can be read: store it as a string"


class GetsSecrets(Protocol):
    """The two calls of botocore's client that are used here."""

    def batch_get_secret_value(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html."""
        ...

    def get_secret_value(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html."""
        ...


class SecretsManager:
    """Reads the current versions of secrets.

    :param connect: makes the client when the first secret is read
    """

    def __init__(self, connect: Callable[[], GetsSecrets] = lambda: client("secretsmanager")) -> None:
        self._client = Once(connect)
        self._may_batch = True

    def asks(self, entries: Sequence[ConfigurationEntry]) -> list[Ask]:
        """One call for every twenty secrets; one that several entries name is asked for once."""
        return [partial(self._get, wanted) for wanted in calls_for(entries, per_call=_PER_CALL)]

    def _get(self, wanted: Wanted) -> Answer:
        if len(wanted) == 1 or not self._may_batch:
            return self._one_by_one(wanted)
        secrets: list[Mapping[str, Any]] = []
        errors: list[Mapping[str, Any]] = []
        arguments: dict[str, Any] = {"SecretIdList": list(wanted)}
        try:
            while True:
                with unlogged():
                    answer = self._client().batch_get_secret_value(**arguments)
                secrets += answer.get("SecretValues", ())
                errors += answer.get("Errors", ())
                if not answer.get("NextToken"):
                    break
                arguments["NextToken"] = answer["NextToken"]
        except Exception as error:  # noqa: BLE001  whatever keeps it from us, the values that are there stay
            if "AccessDenied" in code_of(error):
                # A role of the user's own, or a VPC endpoint's policy, may allow only the single call.
                self._may_batch = False
                return self._one_by_one(wanted)
            said = f"{said_by(error)}. {remedy_for(error, 'secretsmanager:BatchGetSecretValue')}"
            return Answer({}, _faults(wanted, dict.fromkeys(wanted, said)))
        return _sorted_out(wanted, secrets, errors)

    def _one_by_one(self, wanted: Wanted) -> Answer:
        secrets: dict[str, Mapping[str, Any]] = {}
        faults: dict[str, str] = {}
        for source in wanted:
            try:
                with unlogged():
                    secrets[source] = self._client().get_secret_value(SecretId=source)
            except Exception as error:  # noqa: BLE001  see above
                if code_of(error) == "ResourceNotFoundException":
                    faults[source] = _NO_SUCH
                else:
                    faults[source] = f"{said_by(error)}. {remedy_for(error, 'secretsmanager:GetSecretValue')}"
        return _read(wanted, secrets, faults)


def _sorted_out(
    wanted: Wanted, secrets: Sequence[Mapping[str, Any]], errors: Sequence[Mapping[str, Any]]
) -> Answer:
    by_source = {source: one for source in wanted for one in secrets if _is_named(one, source)}
    faults = dict.fromkeys((source for source in wanted if source not in by_source), _NO_SUCH)
    for error in errors:
        code = error.get("ErrorCode", "")
        for source in wanted:
            if source == error.get("SecretId") and code != "ResourceNotFoundException":
                refused = _Refused(code, error.get("Message", ""))
                faults[source] = f"{said_by(refused)}. {remedy_for(refused, 'secretsmanager:GetSecretValue')}"
    return _read(wanted, by_source, faults)


def _read(wanted: Wanted, secrets: Mapping[str, Mapping[str, Any]], faults: dict[str, str]) -> Answer:
    found: dict[str, Found] = {}
    for source, secret in secrets.items():
        text = secret.get("SecretString")
        if not isinstance(text, str):
            faults[source] = _BINARY
            continue
        for entry in wanted[source]:
            found[entry.name] = Found(text, is_secret=True)
    return Answer(found, _faults(wanted, faults))


def _faults(wanted: Wanted, faults: Mapping[str, str]) -> dict[str, str]:
    return {
        entry.name: f"secret {source!r}: {fault}"
        for source, fault in faults.items()
        for entry in wanted[source]
    }


def _is_named(secret: Mapping[str, Any], source: str) -> bool:
    """Whether a secret is what the request meant: by name, by ARN, or by ARN without its last characters."""
    arn = str(secret.get("ARN", ""))
    return source in (secret.get("Name"), arn, arn[: -len("-AbCdEf")])


class _Refused(Exception):  # noqa: N818  carries what a batch says of one secret, in the shape of a ClientError
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.response = {"Error": {"Code": code, "Message": message}}
