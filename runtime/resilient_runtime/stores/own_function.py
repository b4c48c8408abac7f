"""The function itself: Lambda replaces all of its environments when its configuration changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, cast

from .refusals import code_of

__all__ = ["RECYCLED_AT_VARIABLE", "ChangesFunctions", "Outcome", "OwnFunction", "lambda_client"]

RECYCLED_AT_VARIABLE = "RESILIENT_REPLACED_AT"
_NOT_AGAIN_WITHIN = 900.0
"""Seconds. Whoever is sick again sooner is not cured by it, and each time every environment starts cold."""

Outcome = Literal["replaced", "replaced by another environment", "replaced a short time ago", "not possible"]


class ChangesFunctions(Protocol):
    """The two calls of boto3's Lambda client that are used here."""

    def get_function_configuration(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html."""
        ...

    def update_function_configuration(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html."""
        ...


def lambda_client() -> ChangesFunctions:
    """A client that gives up soon: it is asked between two invocations, in the time of the first."""
    # Late on purpose: importing boto3 takes 150 ms, and hardly an environment ever comes here.
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1})
    return cast("ChangesFunctions", boto3.client("lambda", config=config))


class OwnFunction:
    """The function that this process runs; no other can be named.

    It needs ``lambda:GetFunctionConfiguration`` and ``lambda:UpdateFunctionConfiguration`` on itself, and
    ``kms:Decrypt`` where a customer key encrypts its variables.

    :param env: the process's environment variables
    :param now: seconds since 1970
    :param connect: makes the client when it is needed
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        now: Callable[[], float] = time.time,
        connect: Callable[[], ChangesFunctions] = lambda_client,
    ) -> None:
        self._env = env
        self._now = now
        self._connect = connect

    def replace_environments(self) -> Outcome:
        """Change one variable of the function, so that Lambda starts new environments for what comes next.

        Many environments may want this at the same moment. The configuration is read first, and written only
        if nobody has written it since: one of them succeeds, and the others see that it did.
        https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html

        :raises Exception: what the client raises, unless it says that somebody else is changing the function
        """
        name = self._env.get("AWS_LAMBDA_FUNCTION_NAME")
        # A published version never changes, and an update of the function does not replace its environments.
        if not name or self._env.get("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST") != "$LATEST":
            return "not possible"
        client = self._connect()
        found = client.get_function_configuration(FunctionName=name)
        environment = found.get("Environment", {})
        variables = environment.get("Variables")
        if environment.get("Error") or not isinstance(variables, Mapping) or not found.get("RevisionId"):
            # The variables could not be decrypted: writing what we have would take all the others away.
            return "not possible"
        last = variables.get(RECYCLED_AT_VARIABLE)
        if last != self._env.get(RECYCLED_AT_VARIABLE):
            return "replaced by another environment"
        if self._now() - _seconds(last) < _NOT_AGAIN_WITHIN:
            return "replaced a short time ago"
        try:
            client.update_function_configuration(
                FunctionName=name,
                RevisionId=found["RevisionId"],
                Environment={"Variables": {**variables, RECYCLED_AT_VARIABLE: f"{self._now():.0f}"}},
            )
        except Exception as error:
            if code_of(error) in ("PreconditionFailedException", "ResourceConflictException"):
                return "replaced by another environment"
            raise
        return "replaced"


def _seconds(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
