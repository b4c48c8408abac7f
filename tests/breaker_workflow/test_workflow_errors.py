"""What the errors of endpoints and of AWS's services mean: no, fewer, or a failure that counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aws_cdk import App, Stack
from machine_runs import World, failing_with, plan
from workflow_kinds import make_connection

from resilient_constructs import Work
from resilient_constructs.breaker_workflow.machine import RetryRule

Meaning = Callable[[str, str], str]


def meaning_in(work: Work) -> Meaning:
    """What becomes of a call of this work that fails so, in its state machine."""
    rules = (RetryRule(errors=("States.ALL",), attempts=1, interval_seconds=0),)
    world = World(plan(work=work.task, rejects=work.rejects, throttles=work.throttles, retries=rules))

    def meaning(error: str, cause: str) -> str:
        world.table.items.clear()
        world.tasks[work.task.resource] = failing_with(error, cause)
        execution = world.run(7)
        calls = sum(state in ("Call", "CallAndTell") for state in execution.visited)
        counted = "Count" in execution.visited
        assert execution.error == error
        assert world.dead.pop()["cause"] == cause
        return {(1, False): "no", (2, False): "fewer", (2, True): "counted"}[calls, counted]

    return meaning


@pytest.fixture(scope="module")
def endpoint() -> Meaning:
    """A call of an endpoint."""
    return meaning_in(Work.http("https://api.example.com/", connection=make_connection(Stack(App(), "Shop"))))


@pytest.fixture(scope="module")
def secrets() -> Meaning:
    """A call of a service whose name is two words."""
    return meaning_in(Work.action("secretsmanager", "getSecretValue", {}, resources=["*"]))


@pytest.mark.parametrize(
    ("statuses", "meaning"),
    [
        ([*range(400, 408), *range(409, 425), *range(426, 429), *range(430, 500)], "no"),
        ([501, 505, 511], "no"),
        ([429], "fewer"),
        ([408, 425, 500, 502, 503, 504, 507], "counted"),
    ],
    ids=["4xx", "never", "fewer", "trouble"],
)
def test_an_answers_status_says_what_becomes_of_the_work(
    endpoint: Meaning, statuses: list[int], meaning: str
) -> None:
    """A no is dead-lettered, fewer is waited for, trouble is counted and tried again."""
    assert {endpoint(f"States.Http.StatusCode.{one}", "why") for one in statuses} == {meaning}


REFUSED = (
    "User: arn:aws:sts::111122223333:assumed-role/throttled/x is not authorized to perform:"
    " secretsmanager:GetSecretValue on resource: s because no identity-based policy allows the"
    " secretsmanager:GetSecretValue action (Service: SecretsManager, Status Code: 400, Request ID: 1)"
)


@pytest.mark.parametrize(
    ("error", "cause", "meaning"),
    [
        ("AccessDeniedException", "why", "no"),
        ("ValidationException", "why", "no"),
        ("SecretsManagerException", REFUSED, "no"),
        ("SecretsManagerException", "Access Denied (Service: S3, Status Code: 403, …)", "no"),
        ("SecretsManagerException", "Bad (Service: SecretsManager, Status Code: 400, …)", "no"),
        ("SecretsManagerException", "The token has expired (Status Code: 400)", "counted"),
        ("SecretsManagerException", "Late (Service: SecretsManager, Status Code: 408, …)", "counted"),
        ("ThrottlingException", "why", "fewer"),
        ("SecretsManagerException", "Rate exceeded (Service: …, Status Code: 400, …)", "fewer"),
        ("SecretsManagerException", "Please reduce your request rate. (Status Code: 503)", "fewer"),
        ("SecretsManagerException", "SlowDown (Status Code: 503)", "fewer"),
        ("SecretsManagerException", "Too Many Requests (Status Code: 429)", "fewer"),
        ("SecretsManagerException", "Internal (Service: …, Status Code: 500, …)", "counted"),
        ("SecretsManagerException", "", "counted"),
        ("InternalServiceErrorException", "(Service: …, Status Code: 500)", "counted"),
        ("ResourceNotFoundException", "(Service: …, Status Code: 400)", "counted"),
    ],
)
@pytest.mark.parametrize("family", ["SecretsManager", "secretsManager"])
def test_an_actions_error_is_judged_by_its_name_or_else_by_its_cause(
    secrets: Meaning, family: str, error: str, cause: str, meaning: str
) -> None:
    """However the service is spelled; an error without a class of its own is told by its cause alone."""
    assert secrets(f"{family}.{error.replace('SecretsManager', family)}", cause) == meaning


def test_the_sdks_own_trouble_counts_against_nobody(secrets: Meaning) -> None:
    """Where Step Functions' own retries do not know the service's spelling, the rules try again."""
    assert secrets("Secretsmanager.SdkClientException", "why") == "fewer"
