from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from resilient_runtime.stores.own_function import RECYCLED_AT_VARIABLE, OwnFunction

ENV = {"AWS_LAMBDA_FUNCTION_NAME": "orders", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST"}


class ClientError(Exception):
    """What botocore raises, by its shape."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


class Lambda:
    """Lambda's two calls, as one function's many environments see them."""

    def __init__(self, **variables: str) -> None:
        self.variables: dict[str, str] = dict(variables)
        self.revision = 1
        self.updates = 0
        self.fails: str | None = None
        self.before_update: Any = None
        self.undecrypted = False

    def get_function_configuration(self, **arguments: Any) -> Mapping[str, Any]:
        """The configuration."""
        assert arguments == {"FunctionName": "orders"}
        if self.undecrypted:
            return {"RevisionId": "1", "Environment": {"Error": {"ErrorCode": "AccessDeniedException"}}}
        return {"RevisionId": str(self.revision), "Environment": {"Variables": dict(self.variables)}}

    def update_function_configuration(self, **arguments: Any) -> Mapping[str, Any]:
        """Change it, if it is still the one that was read."""
        if self.before_update:
            act, self.before_update = self.before_update, None
            act()
        if self.fails:
            raise ClientError(self.fails)
        if arguments["RevisionId"] != str(self.revision):
            raise ClientError("PreconditionFailedException")
        self.variables = arguments["Environment"]["Variables"]
        self.revision += 1
        self.updates += 1
        return {}


def environment(client: Lambda, *, now: float = 10_000.0, **env: str) -> OwnFunction:
    """One environment of the function."""
    return OwnFunction({**ENV, **env}, now=lambda: now, connect=lambda: client)


def test_one_variable_changes_and_all_others_stay() -> None:
    """The update carries every variable that the function has."""
    client = Lambda(TABLE="orders", KEY="secret")
    assert environment(client).replace_environments() == "replaced"
    assert client.variables == {"TABLE": "orders", "KEY": "secret", RECYCLED_AT_VARIABLE: "10000"}


def test_of_a_herd_one_succeeds() -> None:
    """Ten environments that want it at once change the function once, also when they read it together."""
    client = Lambda()
    client.before_update = lambda: environment(client).replace_environments()
    outcomes = [environment(client).replace_environments() for _ in range(10)]
    assert client.updates == 1
    assert set(outcomes) == {"replaced by another environment"}


def test_it_is_not_done_again_within_a_quarter_of_an_hour() -> None:
    """An environment that the last replacement made, and that is sick already, is not cured by the next."""
    client = Lambda()
    environment(client).replace_environments()
    marked = {RECYCLED_AT_VARIABLE: "10000"}
    assert environment(client, now=10_899, **marked).replace_environments() == "replaced a short time ago"
    assert environment(client, now=10_901, **marked).replace_environments() == "replaced"


def test_variables_that_cannot_be_read_are_not_written() -> None:
    """Without the key that encrypts them, an update would take them all away."""
    client = Lambda(TABLE="orders")
    client.undecrypted = True
    assert environment(client).replace_environments() == "not possible"
    assert client.updates == 0


def test_a_published_version_is_not_touched() -> None:
    """Its environments would not be replaced, only those of the latest."""
    client = Lambda()
    assert environment(client, AWS_LAMBDA_FUNCTION_VERSION="7").replace_environments() == "not possible"
    assert client.updates == 0


def test_an_update_in_progress_is_somebody_elses() -> None:
    """A deployment that runs replaces every environment anyway."""
    client = Lambda()
    client.fails = "ResourceConflictException"
    assert environment(client).replace_environments() == "replaced by another environment"


@pytest.mark.parametrize("code", ["TooManyRequestsException", "AccessDeniedException"])
def test_what_lambda_refuses_is_raised_to_be_told(code: str) -> None:
    """A missing permission or a throttle is an error that the caretaker tells."""
    client = Lambda()
    client.fails = code
    with pytest.raises(ClientError, match=code):
        environment(client).replace_environments()


@pytest.mark.parametrize("text", ["", "soon", "nan"])
def test_a_spoilt_time_does_not_keep_it_from_working(text: str) -> None:
    """Whatever somebody wrote into the variable, the function can be replaced."""
    client = Lambda(**{RECYCLED_AT_VARIABLE: text})
    assert environment(client, **{RECYCLED_AT_VARIABLE: text}).replace_environments() == "replaced"
