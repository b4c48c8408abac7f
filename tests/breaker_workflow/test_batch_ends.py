"""Batches: their width, their turns, their cost, and what becomes of them when AWS itself fails."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from batch_runs import FORMS, Batches, batch_plan, ready, sent
from machine_runs import START
from resilient_runtime.breaker import Circuit, CircuitState
from resilient_runtime.call import Call
from resilient_runtime.work_envelope import work_of

from resilient_constructs.breaker_workflow.machine import RetryRule
from resilient_constructs.breaker_workflow.parallel.machine import Given, Grouped
from resilient_constructs.breaker_workflow.parallel.machine.turn import OF_AN_ITEM
from resilient_constructs.testing.states import StatesError, TaskCall


@pytest.mark.parametrize("most", [1, 3, 7])
@pytest.mark.parametrize("form", ["inline", "distributed"])
def test_no_more_items_are_under_way_than_allowed(form: str, most: int) -> None:
    """At any moment at most so many calls are open, and as many as that while there is work."""
    source = Given(is_distributed=form == "distributed")
    batches = Batches(batch_plan(source=source, max_concurrency=most, item={"downstream": None}))
    execution = batches.machine.start({"items": list(range(9))}, clock=lambda: START, name="night")
    ended = 0
    while ended < 9:
        calls = [one for one in execution.pending if one.state == "Call"]
        assert len(calls) == min(most, 9 - ended)
        call = calls[0]
        assert isinstance(call, TaskCall)
        call.succeed({"Payload": 1})
        ended += 1


def test_batches_take_turns_in_their_order() -> None:
    """A batch goes on when fewer than allowed that began before it still run, however many pages tell so."""
    batches = Batches(batch_plan(batches_at_once=2))
    batches.running = ["newer", "me", "older-1", "older-2", "older-3"]
    execution = batches.run({"items": [1]})
    assert execution.status == "SUCCEEDED"
    assert execution.visited.count("BatchWait") == 1
    alone = Batches(batch_plan(batches_at_once=1))
    alone.running = ["me"]
    assert alone.run({"items": [1]}).visited.count("BatchWait") == 0


@pytest.mark.parametrize("form", ["inline", "distributed"])
def test_items_that_were_sent_back_hold_no_batch_up(form: str) -> None:
    """However many of them began before it and wait for the circuit; a batch begun again does."""
    batches = Batches(batch_plan(batches_at_once=1, source=Given(is_distributed=form == "distributed")))
    items = [f"arn:aws:states:e:1:execution:Pages:night-again-{index}" for index in range(30)]
    batches.running = ["me", *items, "arn:aws:states:e:1:execution:Pages:night-again-4-again"]
    batches.tasks["arn:aws:states:::aws-sdk:sfn:listExecutions"] = lambda _: {
        "Executions": [
            {"ExecutionArn": arn.replace("me", batches.last.context["Execution"]["Id"])}
            for arn in batches.running
        ]
    }
    execution = batches.run({"items": [1]})
    assert (execution.status, execution.visited.count("BatchWait")) == ("SUCCEEDED", 0)

    batches.running.append("arn:aws:states:e:1:execution:Pages:night-again")
    assert batches.run({"items": [1]}).error == "Resilient.NoTurn"


@pytest.mark.parametrize("form", ["inline", "distributed"])
def test_the_starter_names_what_was_sent_back_so_that_it_is_told_from_a_batch(form: str) -> None:
    """An item's letter by what failed and its index; that of a batch as a whole has none."""
    batches = Batches(batch_plan(source=Given(is_distributed=form == "distributed")))
    batches.fails_for("bad")
    batches.run({"items": [1, 2, "bad"]})
    batches.run({"pages": []})
    item, whole = batches.dead
    call = Call(idempotency_key="7", message_id="2")
    assert re.search(OF_AN_ITEM, work_of(item, call).name)
    assert not re.search(OF_AN_ITEM, work_of(whole, Call(idempotency_key="7", message_id="m")).name)


def test_whoever_has_enough_ahead_reads_no_further() -> None:
    """The rest of thousands that run would only fill its history."""
    batches = Batches(batch_plan(batches_at_once=1))
    asked: list[Any] = []

    def pages(call: TaskCall) -> Any:
        asked.append(call.arguments)
        me = batches.last.context["Execution"]["Id"]
        if len(asked) == 1:
            return {"Executions": [{"ExecutionArn": me}, {"ExecutionArn": "a:older"}], "NextToken": "more"}
        return {"Executions": [{"ExecutionArn": me}]}

    batches.tasks["arn:aws:states:::aws-sdk:sfn:listExecutions"] = pages
    assert batches.run({"items": [1]}).status == "SUCCEEDED"
    assert ["NextToken" in one for one in asked] == [False, False]


@pytest.mark.parametrize("form", ["inline", "distributed"])
def test_a_batch_that_may_not_look_is_dead_lettered_before_its_history_is_full(form: str) -> None:
    """The letter names what AWS said; each look with its nine attempts is 34 events."""
    batches = Batches(batch_plan(batches_at_once=1, source=Given(is_distributed=form == "distributed")))

    def refuse(_: TaskCall) -> Any:
        raise StatesError("Sfn.AccessDeniedException", "no ListExecutions")

    batches.tasks["arn:aws:states:::aws-sdk:sfn:listExecutions"] = refuse
    execution = batches.run({"items": [1]})
    (letter,) = batches.dead
    assert (execution.error, letter["error"], batches.calls) == ("Resilient.NoTurn",) * 2 + ([],)
    assert "cannot be listed: Sfn.AccessDeniedException" in letter["cause"]
    # 9 attempts of three events, what is around them, the Choice and the Wait
    assert execution.visited.count("BatchTurn") * (9 * 3 + 7) < 25_000


def test_many_pages_spend_a_history_like_many_looks() -> None:
    """With twenty pages a look, a batch gives up after fewer looks, not with a full history."""
    batches = Batches(batch_plan(batches_at_once=1))
    asked = 0

    def pages(_: TaskCall) -> Any:
        nonlocal asked
        asked += 1
        page = {"Executions": [{"ExecutionArn": "a:newer"}]}
        return page if asked % 20 == 0 else {**page, "NextToken": "more"}

    batches.tasks["arn:aws:states:::aws-sdk:sfn:listExecutions"] = pages
    execution = batches.run({"items": [1]})
    assert (execution.error, len(batches.dead)) == ("Resilient.NoTurn", 1)
    assert execution.visited.count("BatchLook") * 8 + execution.visited.count("BatchWait") * 2 <= 6_010


def test_a_batch_that_never_gets_its_turn_is_dead_lettered() -> None:
    """After 600 looks it is given up, whole, before the history that it shares with its items is full."""
    batches = Batches(batch_plan(batches_at_once=1))
    batches.running = ["me", "for-ever"]
    batches.tasks["arn:aws:states:::aws-sdk:sfn:listExecutions"] = lambda _: {
        "Executions": [{"ExecutionArn": "other"}]
    }
    execution = batches.run({"items": [1]})
    assert (execution.error, len(batches.dead)) == ("Resilient.NoTurn", 1)
    assert execution.visited.count("BatchWait") == 600


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"max_concurrency": 41}, "max_concurrency is 41; allowed: whole numbers, 1 to 40"),
        ({"max_concurrency": 10_001, "source": Given(is_distributed=True)}, "1 to 10,000"),
        ({"tolerated_percent": 101}, "tolerated_percent is 101"),
        ({"tolerated_count": -1}, "tolerated_count is -1"),
        ({"grouped": Grouped(items=2)}, "only if distributed"),
        ({"source": Given(most=400)}, "25,000 events"),
        ({"item": {"retries": (RetryRule(errors=("States.ALL",), attempts=30),)}}, "25,000 events"),
    ],
)
def test_an_impossible_plan_is_refused(more: dict[str, Any], said: str) -> None:
    """The message names property, value and what is allowed."""
    with pytest.raises(ValueError, match="BatchPlan") as refused:
        Batches(batch_plan(**more))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("form", "of_an_item", "of_a_batch"), [("inline", 5, 6), ("distributed", 3, 7), ("from S3", 3, 7)]
)
def test_what_goes_well_passes_few_states(form: str, of_an_item: int, of_a_batch: int) -> None:
    """Each is paid for: three for an item, two for its place in an inline manifest, and the batch's own."""
    batches = ready(form)
    batches.fails_for()
    counts = [batches.run(sent(batches, form, list(range(number)))).transitions for number in (1, 2)]
    assert counts == [of_a_batch + of_an_item, of_a_batch + 2 * of_an_item]


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_of_nothing_is_done(form: str) -> None:
    """It has a manifest, and nobody is called."""
    batches = ready(form)
    batches.calls.clear()
    execution = batches.run(sent(batches, form, []))
    assert (execution.status, execution.output["total"], batches.calls) == ("SUCCEEDED", 0, [])


def test_a_result_that_cannot_be_stored_makes_a_dead_letter() -> None:
    """The work is done, the letter says so, and the batch counts it as failed."""
    batches = Batches(batch_plan())
    batches.does = lambda _: "x" * 60_000

    def refuse(call: TaskCall) -> Any:
        if "/results/" in call.arguments["Key"]:
            raise StatesError("S3.S3Exception", "down")
        return {}

    batches.tasks["arn:aws:states:::aws-sdk:s3:putObject"] = refuse
    execution = batches.run({"items": [1]})
    (letter,) = batches.dead
    assert (execution.status, letter["error"]) == ("FAILED", "Resilient.ResultNotKept")
    assert "the work is done" in letter["cause"]


@pytest.mark.parametrize(
    ("task", "form", "error"),
    [
        ("arn:aws:states:::aws-sdk:s3:putObject", "inline", "Resilient.ManifestNotStored"),
        ("arn:aws:states:::aws-sdk:sfn:describeMapRun", "distributed", "Resilient.NotCounted"),
    ],
)
def test_a_batch_that_cannot_tell_its_end_fails_and_says_so(task: str, form: str, error: str) -> None:
    """After its items have ended: none of them is dead-lettered for it."""
    batches = Batches(batch_plan(source=Given(is_distributed=form == "distributed")))

    def refuse(_: TaskCall) -> Any:
        raise StatesError("States.TaskFailed", "down")

    batches.tasks[task] = refuse
    execution = batches.run({"items": [1, 2]})
    assert (execution.error, batches.calls, batches.dead) == (error, [1, 2], [])


def test_an_item_waits_from_when_it_began() -> None:
    """However long its batch had run by then: the second begins when the first has waited in vain."""
    item = {"keep_parked_seconds": 3_600}
    batches = Batches(batch_plan(item=item, max_concurrency=1))
    batches.circuit_is(Circuit(state=CircuitState.FORCED_OPEN, changed_at=START))
    batches.run({"items": [0, 1]})
    first, second = (datetime.fromisoformat(letter["first_started_at"]) for letter in batches.dead)
    assert second - first > timedelta(hours=1)
    assert [letter["error"] for letter in batches.dead] == ["Resilient.ParkedTooLong"] * 2


def test_counts_that_never_are_complete_are_not_waited_for_for_ever() -> None:
    """After ten minutes the batch fails and says so, and none of its items is done again."""
    batches = Batches(batch_plan(source=Given(is_distributed=True)))
    counts = {"Total": 2, "Succeeded": 1, "Failed": 0, "TimedOut": 0, "Aborted": 0}
    batches.tasks["arn:aws:states:::aws-sdk:sfn:describeMapRun"] = lambda _: {"ItemCounts": counts}
    execution = batches.run({"items": [1, 2]})
    assert (execution.error, batches.dead) == ("Resilient.NotCounted", [])
    assert "1 of 2" in str(execution.cause)
    assert execution.visited.count("BatchRecount") == 300


@pytest.mark.parametrize("tolerated", [0, 100])
@pytest.mark.parametrize(("timed_out", "aborted"), [(2, 0), (0, 1), (1, 2)])
def test_items_that_left_no_letter_are_told_and_never_tolerated(
    tolerated: float, timed_out: int, aborted: int
) -> None:
    """Whoever is stopped sends none: the batch fails, its cause says how many, and claims no letter."""
    batches = Batches(batch_plan(source=Given(is_distributed=True), tolerated_percent=tolerated))
    counts = {"Total": 9, "Succeeded": 8 - timed_out - aborted, "Failed": 1}
    batches.tasks["arn:aws:states:::aws-sdk:sfn:describeMapRun"] = lambda _: {
        "ItemCounts": {**counts, "TimedOut": timed_out, "Aborted": aborted}
    }
    execution = batches.run({"items": list(range(9))})
    assert execution.error == "Resilient.ItemsWithoutLetter"
    lost = timed_out + aborted
    assert f"{1 + lost} of 9 items failed; {lost} of these ran out of time" in str(execution.cause)
    assert "each is a dead letter" not in str(execution.cause)
