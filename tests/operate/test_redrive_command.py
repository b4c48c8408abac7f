"""``resilient redrive``: failed executions run once more, with AWS's answers stubbed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import typer
from botocore.stub import Stubber
from resilient_runtime.work_envelope import as_text
from typer.testing import CliRunner

from resilient_constructs.operate import redrive_command
from resilient_constructs.operate.errors import OperateError
from resilient_constructs.operate.redrive import (
    TAKES_ENVELOPES,
    Found,
    Way,
    parse_since,
    run_again,
    user_agent,
)

MACHINE = "arn:aws:states:eu-west-1:111122223333:stateMachine:Pages"
OURS = json.dumps({"Assign": f"{{% $exists($given{TAKES_ENVELOPES}) %}}"})
STOPPED = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def arn_of(name: str) -> str:
    """The execution's ARN."""
    return f"arn:aws:states:eu-west-1:111122223333:execution:Pages:{name}"


class Aws:
    """Step Functions with prepared answers."""

    def __init__(self) -> None:
        self.client = boto3.client(
            "stepfunctions", region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        self.stub = Stubber(self.client)
        self.agents: list[str] = []

    def connect(self, user_agent: str) -> Any:
        """The client, as the command asks for it."""
        self.agents.append(user_agent)
        return self.client

    def describes(self, name: str, status: str = "FAILED", **more: Any) -> None:
        """One answer of DescribeExecution."""
        answer = {
            "executionArn": arn_of(name),
            "stateMachineArn": MACHINE,
            "name": name,
            "status": status,
            "startDate": STOPPED,
            "stopDate": STOPPED,
            "input": '{"page":3}',
            "redriveStatus": "REDRIVABLE",
            **more,
        }
        self.stub.add_response("describe_execution", answer, {"executionArn": arn_of(name)})

    def ended_with(self, name: str, *types: str) -> None:
        """The last events, the last one first."""
        events = [{"timestamp": STOPPED, "type": one, "id": n} for n, one in enumerate(types, 1)]
        asked = {
            "executionArn": arn_of(name),
            "reverseOrder": True,
            "maxResults": 2,
            "includeExecutionData": False,
        }
        self.stub.add_response("get_execution_history", {"events": events}, asked)

    def failed_in_task(self, name: str, **more: Any) -> None:
        """An execution whose task failed for good."""
        self.describes(name, error="SQS.Down", **more)
        self.ended_with(name, "ExecutionFailed", "TaskFailed")

    def gave_up(self, name: str, *, definition: str = OURS, **more: Any) -> None:
        """An execution that ended in a Fail state, of a machine that is asked for."""
        self.describes(name, error="Unreadable", **more)
        self.ended_with(name, "ExecutionFailed", "FailStateEntered")
        machine = {
            "stateMachineArn": MACHINE,
            "name": "Pages",
            "definition": definition,
            "roleArn": "arn:aws:iam::111122223333:role/Pages",
            "type": "STANDARD",
            "creationDate": STOPPED,
        }
        self.stub.add_response("describe_state_machine", machine, {"stateMachineArn": MACHINE})

    def starts(self, name: str, given: str) -> None:
        """One answer of StartExecution."""
        self.stub.add_response(
            "start_execution",
            {"executionArn": arn_of(name), "startDate": STOPPED},
            {"stateMachineArn": MACHINE, "name": name, "input": given},
        )

    def redrives(self, name: str) -> None:
        """One answer of RedriveExecution."""
        self.stub.add_response("redrive_execution", {"redriveDate": STOPPED}, {"executionArn": arn_of(name)})


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Every prepared answer has to be asked for, in order."""
    made = Aws()
    monkeypatch.setattr(redrive_command, "_connect", made.connect)
    with made.stub:
        yield made
        made.stub.assert_no_pending_responses()


def run(*arguments: str, code: int = 0) -> str:
    """What the command prints."""
    app = typer.Typer()
    app.command()(redrive_command.redrive)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    return done.output


def test_an_execution_that_stopped_in_the_middle_is_redriven(aws: Aws) -> None:
    """It continues with the task that failed; the reason goes along."""
    aws.failed_in_task("a")
    aws.redrives("a")
    told = run(arn_of("a"), "--reason", "queue is back, see #12")
    assert "(FAILED): redrive" in told
    assert "1 run once more, 0 not; their dead letters are still in the queue" in told
    assert aws.agents == ["resilient-redrive/queue-is-back,-see-12"]


def test_an_execution_that_gave_up_is_started_anew(aws: Aws) -> None:
    """A redrive would re-enter its Fail state and fail again; the new one has the same input and key."""
    aws.gave_up("a")
    aws.starts("a-again", '{"resilient":{"key":"a"},"input":{"page":3}}')
    assert "new execution a-again" in run(arn_of("a"), "-r", "mended")


def test_parked_work_that_gave_up_has_its_attempts_and_its_time_again(aws: Aws) -> None:
    """Else it would be dead-lettered at its first failure, and parked too long at the first open circuit."""
    about = {
        "name": "a",
        "key": "k",
        "parked": 2,
        "first_started_at": "2026-11-01T00:00:00Z",
        "tries": [5],
        "attempts": 5,
        "probes": 99,
        "claim": {"bucket": "b", "key": "work/1.json"},
    }
    aws.gave_up("a-p2", input=json.dumps({"resilient": about, "input": None}))
    kept = {"key": "k", "claim": about["claim"]}
    aws.starts("a-p2-again", as_text({"resilient": kept, "input": None}))
    assert "new execution a-p2-again" in run(arn_of("a-p2"), "-r", "mended")


def test_a_workflow_that_is_not_ours_gets_its_input_as_it_was(aws: Aws) -> None:
    """It would take our envelope for its input."""
    aws.gave_up("a", definition='{"States": {}}', input='{"resilient": {"attempts": 5}, "input": 1}')
    aws.starts("a-again", '{"resilient": {"attempts": 5}, "input": 1}')
    assert "new execution a-again" in run(arn_of("a"), "-r", "mended")


def test_each_state_machine_is_looked_at_once(aws: Aws) -> None:
    """However many executions of it gave up."""
    aws.gave_up("a")
    aws.describes("b", error="Unreadable")
    aws.ended_with("b", "ExecutionFailed", "FailStateEntered")
    assert "2 would be run once more" in run(arn_of("a"), arn_of("b"), "--dry-run")


def test_who_orders_twice_starts_one(aws: Aws) -> None:
    """The new execution's name is the same for the same failure."""
    aws.gave_up("x" * 80)
    aws.stub.add_client_error("start_execution", "ExecutionAlreadyExists")
    told = run(arn_of("x" * 80), "-r", "mended", "--json", code=2)
    line = json.loads(told)
    assert len(line["new_execution"]) == 80
    assert (line["done"], line["fault"]) == (
        False,
        f"it was started once more already, as {line['new_execution']}",
    )


def test_everything_that_cannot_be_run_is_told_and_the_rest_is_run(aws: Aws) -> None:
    """Six executions, four reasons, each in a line of its own."""
    aws.describes("done", "SUCCEEDED", redriveStatus="NOT_REDRIVABLE")
    aws.failed_in_task("old", redriveStatus="NOT_REDRIVABLE", redriveStatusReason="past 14 days")
    aws.stub.add_client_error("describe_execution", "ExecutionDoesNotExist", "no such execution")
    aws.describes("late", "TIMED_OUT")
    aws.redrives("late")
    express = "arn:aws:states:eu-west-1:111122223333:express:Pages:a:6c3b"
    told = run(arn_of("done"), arn_of("old"), arn_of("gone"), arn_of("late"), express, "x", "-r", "r", code=2)
    for said in (
        "it is SUCCEEDED",
        "past 14 days",
        "no such execution",
        "dead letter once more",
        "no execution's ARN",
    ):
        assert said in told
    assert "1 run once more, 5 not" in told


def test_all_that_failed_since_then_are_found(aws: Aws) -> None:
    """Failed and timed out, the oldest first, each once; what failed before is left alone."""
    now = datetime.now(UTC)

    def page(**stopped: timedelta) -> dict[str, Any]:
        return {
            "executions": [
                {
                    "executionArn": arn_of(name),
                    "stateMachineArn": MACHINE,
                    "name": name,
                    "status": "FAILED",
                    "startDate": now,
                    "stopDate": now - ago,
                }
                for name, ago in stopped.items()
            ]
        }

    minute = timedelta(minutes=1)
    failed, timed_out = page(new=minute, older=60 * minute, before=180 * minute), page(late=30 * minute)
    for status, answer in (("FAILED", failed), ("TIMED_OUT", timed_out)):
        aws.stub.add_response("list_executions", answer, {"stateMachineArn": MACHINE, "statusFilter": status})
    for name in ("older", "late", "new"):
        aws.failed_in_task(name)
    told = run("--state-machine", MACHINE, "--failed-since", "2h", "--dry-run")
    assert [line.split("Pages:")[1].split(" ")[0] for line in told.splitlines()[:3]] == [
        "older",
        "late",
        "new",
    ]
    assert "3 would be run once more, 0 not" in told


def test_nothing_failed(aws: Aws) -> None:
    """Then there is nothing to do, and that is no error."""
    for status in ("FAILED", "TIMED_OUT"):
        aws.stub.add_response(
            "list_executions", {"executions": []}, {"stateMachineArn": MACHINE, "statusFilter": status}
        )
    assert "no execution failed" in run("--state-machine", MACHINE, "--failed-since", "2h", "-r", "r")


def test_every_fault_of_the_order_is_told_at_once() -> None:
    """And AWS is not asked."""
    told = run(code=2)
    assert "name executions" in told
    assert "--reason is empty" in told
    assert "go together" in run(arn_of("a"), "--failed-since", "2h", "-r", "r", code=2)


def test_what_aws_refuses_is_one_line(aws: Aws) -> None:
    """A redrive that AWS refuses is told with its execution, without a traceback."""
    aws.failed_in_task("a")
    aws.stub.add_client_error("redrive_execution", "ExecutionNotRedrivable", "too many events")
    assert "too many events" in run(arn_of("a"), "-r", "r", code=2)


def test_they_come_back_one_after_the_other(aws: Aws) -> None:
    """What failed together does not return together; what is not run takes no time."""
    pauses: list[float] = []
    found = [Found(arn=arn_of(name), way=Way.REDRIVE) for name in "ab"]
    found.insert(1, Found(arn="x", why="no"))
    aws.redrives("a")
    aws.redrives("b")
    told = list(run_again(found, aws.client, per_second=4, sleep=pauses.append))
    assert [fault for _, fault in told] == ["", "no", ""]
    assert pauses == [0.25]


def test_a_moment_is_told_in_several_ways() -> None:
    """So long ago, or then; without a zone it is UTC."""
    now = STOPPED.timestamp()
    assert [now - parse_since(text, now=now) for text in ("30m", "2h", "1d")] == [1_800, 7_200, 86_400]
    assert parse_since("2026-11-21T08:00", now=now) == now - 3_600
    assert parse_since("2026-11-21T09:00+01:00", now=now) == now - 3_600
    for wrong in ("yesterday", "2026-11-22", "5 h"):
        with pytest.raises(OperateError, match="--failed-since"):
            parse_since(wrong, now=now)


def test_a_reason_cannot_end_a_header() -> None:
    """Only letters, digits and a few signs of it go along, and not too many."""
    assert user_agent("a\r\nX-Evil: 1 ✓") == "resilient-redrive/a-X-Evil-1"
    assert len(user_agent("x" * 1_000)) < 150


@pytest.mark.parametrize(
    "error", ["Resilient.TooManyItemsFailed", "Resilient.NotCounted", "Resilient.ManifestNotStored"]
)
def test_a_batch_whose_items_have_ended_is_not_started_anew(aws: Aws, error: str) -> None:
    """It would do all of them again; those that failed are dead letters, and these can be sent back."""
    aws.describes("night", error=error)
    assert "move those to the batch's work queue" in run(arn_of("night"), "-r", "mended", code=2)


def test_an_item_of_a_batch_is_not_started_by_itself(aws: Aws) -> None:
    """A child execution's state machine cannot be started; its dead letter is the item."""
    child = arn_of("one").replace(":Pages:", ":Pages/Items:")
    answer = {
        "executionArn": child,
        "stateMachineArn": f"{MACHINE}/Items",
        "name": "one",
        "status": "FAILED",
        "startDate": STOPPED,
        "stopDate": STOPPED,
        "error": "Reject",
    }
    aws.stub.add_response("describe_execution", answer, {"executionArn": child})
    assert "move those to the batch's work queue" in run(child, "-r", "mended", code=2)
