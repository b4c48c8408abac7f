"""Batches: what becomes of every item, and of the whole, whatever fails."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from batch_runs import FORMS, Batches, batch_plan, json_source, ready, sent, told
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_runs import START, plan
from resilient_runtime.breaker import Circuit, CircuitState
from resilient_runtime.call import Call
from resilient_runtime.work_envelope import begun_anew, work_of, wrapped

from resilient_constructs.breaker_workflow.machine import Constant
from resilient_constructs.breaker_workflow.machine import definition as workflow
from resilient_constructs.breaker_workflow.parallel.machine import (
    Given,
    Grouped,
    Read,
    definition,
    inline_waits,
)
from resilient_constructs.breaker_workflow.work_aws import NAME_OF_CHILD
from resilient_constructs.breaker_workflow.work_http import KEY_OF_WORK
from resilient_constructs.operate.redrive import TAKES_ENVELOPES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_item_succeeds_or_is_dead_lettered_and_never_both(form: str, data: st.DataObject) -> None:
    """Any items, any of them failing, any tolerated share: each is in exactly one place, with its index."""
    items = data.draw(st.lists(JSON, max_size=7))
    poison = data.draw(st.sets(st.integers(0, max(0, len(items) - 1)), max_size=len(items)))
    numbered = [{"n": n, "item": item} for n, item in enumerate(items)]
    batches = ready(form)
    batches.fails_for(*[numbered[n] for n in poison])
    execution = batches.run(sent(batches, form, numbered))

    failed = {letter["index"] for letter in batches.dead}
    assert failed == {n for n in poison if n < len(items)}
    assert len(batches.dead) == len(failed)
    assert execution.status == ("FAILED" if failed else "SUCCEEDED")
    if not failed:
        done, not_done = told(batches, execution)
        assert done == dict(enumerate(numbered))
        assert not_done == set()
        assert execution.output["succeeded"] == execution.output["total"] == len(items)


@pytest.mark.parametrize("form", ["inline", "distributed"])
@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 12),
    failing=st.sets(st.integers(0, 11)),
    share=st.sampled_from([0, 10, 25, 50, 100]),
    most=st.none() | st.integers(0, 4),
)
def test_the_tolerated_share_decides_how_the_whole_ends(
    form: str, count: int, failing: set[int], share: float, most: int | None
) -> None:
    """The batch fails when more items fail than either limit tolerates, and its manifest is complete."""
    source = Given(is_distributed=form == "distributed")
    batches = Batches(batch_plan(source=source, tolerated_percent=share, tolerated_count=most))
    batches.fails_for(*failing)
    execution = batches.run({"items": list(range(count))})

    failed = {n for n in failing if n < count}
    is_fine = len(failed) * 100 <= share * count and (most is None or len(failed) <= most)
    assert (execution.status == "SUCCEEDED") == is_fine
    assert {letter["index"] for letter in batches.dead} == failed
    if is_fine:
        assert told(batches, execution) == ({n: n for n in range(count) if n not in failed}, failed)
        assert execution.output["failed"] == len(failed)
    else:
        assert execution.error == "Resilient.TooManyItemsFailed"
        assert f"{len(failed)} of {count} items" in str(execution.cause)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("item", [5, None, [1, [2]], [], {"resilient": 1}, "", {"a": [1]}], ids=repr)
def test_the_work_gets_the_item_as_it_is(form: str, item: Any) -> None:
    """One item, whatever JSON it is, reaches the work unchanged, and its result comes back so."""
    batches = ready(form)
    batches.fails_for()
    batches.calls.clear()
    execution = batches.run(sent(batches, form, [item]))
    assert batches.calls == [item]
    assert told(batches, execution) == ({0: item}, set())


@pytest.mark.parametrize("form", FORMS)
def test_a_dead_letter_tells_what_it_is_about(form: str) -> None:
    """Item, index, error, cause, execution and batch are in it."""
    batches = ready(form)
    batches.fails_for({"page": 8}, error="BadPage")
    batches.run(sent(batches, form, [{"page": 7}, {"page": 8}]), name="night")
    (letter,) = batches.dead
    assert letter["input"]["input"] == {"page": 8}
    assert (letter["index"], letter["error"], letter["cause"]) == (1, "BadPage", "no to {'page': 8}")
    assert letter["batch"].endswith(":execution:Pages:night")
    assert ":execution:Pages" in letter["execution"]
    assert letter["attempts"] == 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("item", [{"page": 8}, [1, 2], None], ids=repr)
def test_a_dead_letter_sent_back_is_one_item_again(form: str, item: Any) -> None:
    """Its input, as the starter wraps it, is worked on under its old index and name, and nothing else is."""
    batches = ready(form)
    batches.fails_for(item)
    batches.run(sent(batches, form, ["first", item]), name="night")
    batches.fails_for()
    batches.calls.clear()
    (letter,) = batches.dead
    again = work_of(letter, Call())
    assert again.name.endswith("-again-1")
    execution = batches.run(wrapped(again), name=again.name)

    assert batches.calls == [item]
    assert letter["input"]["resilient"]["name"] == "night-1"
    assert told(batches, execution) == ({1: item}, set())


@pytest.mark.parametrize("form", FORMS)
def test_a_dead_letter_that_fails_again_is_dead_lettered_again(form: str) -> None:
    """The second letter can be sent back like the first."""
    batches = ready(form)
    batches.fails_for("b")
    batches.run(sent(batches, form, ["a", "b"]))
    execution = batches.run({"resilient": {}, "input": batches.dead[0]["input"]}, name="again")
    first, second = batches.dead
    assert execution.status == "FAILED"
    assert (second["index"], second["input"]["input"]) == (1, "b") == (first["index"], "b")


@pytest.mark.parametrize("form", FORMS)
def test_items_wait_while_the_circuit_is_open(form: str) -> None:
    """No item is called before its recovery time, none is given up, and the batch ends well."""
    source = ready(form).plan.source
    batches = Batches(batch_plan(source=source))
    batches.circuit_is(Circuit(state=CircuitState.OPEN, retry_at=START + 120, openings=1))
    execution = batches.run(sent(batches, form, [1, 2, 3, 4, 5]))
    assert execution.status == "SUCCEEDED"
    assert sorted(batches.calls) == [1, 2, 3, 4, 5]
    assert batches.dead == []
    assert execution.visited.count("WaitUntilRecovery") >= 3


def test_an_outage_without_end_is_dead_lettered_within_an_inline_history() -> None:
    """Each item waits as often as its part of 25,000 events has room for, and is then a dead letter."""
    batches = Batches(batch_plan(source=Given(most=40)))
    batches.circuit_is(Circuit(state=CircuitState.FORCED_OPEN))
    execution = batches.run({"items": [1, 2]})
    waits = inline_waits(batches.plan)
    assert execution.visited.count("WaitUntilRecovery") == 2 * waits
    assert 40 * (waits * 9 + 3 * 30) < 25_000
    assert [letter["error"] for letter in batches.dead] == ["Resilient.ParkedTooLong"] * 2


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"items": list(range(41))}, "Resilient.TooManyItems"),
        ({"pages": []}, "Resilient.NoItems"),
        ({"items": 5}, "Resilient.NoItems"),
        ("text", "Resilient.NoItems"),
        ({"resilient": {"name": "n", "claim": {"key": "k"}}, "input": None}, "Resilient.BatchTooLarge"),
    ],
)
def test_a_batch_that_cannot_be_begun_is_dead_lettered_whole(data: Any, error: str) -> None:
    """No item is called; the letter has the batch's input, or its claim, and says what to do."""
    batches = Batches(batch_plan())
    execution = batches.run(data)
    (letter,) = batches.dead
    assert (execution.error, letter["error"], batches.calls) == (error, error, [])
    assert letter["input"] == (None if "Large" in error else data)
    assert letter["resilient"].get("claim") == ({"key": "k"} if "Large" in error else None)
    assert letter["cause"]


def test_a_batch_whose_object_is_not_there_is_dead_lettered_whole() -> None:
    """It can be sent back once the object has come."""
    batches = Batches(batch_plan(source=json_source()))
    execution = batches.run({"key": "late.json"})
    (letter,) = batches.dead
    assert (execution.status, letter["error"]) == ("FAILED", "States.ItemReaderFailed")
    assert letter["input"] == {"key": "late.json"}


def test_a_bare_array_is_a_batch() -> None:
    """Items need no object around them, and an envelope of the starter is taken off."""
    batches = Batches(batch_plan())
    assert batches.run([1, 2]).output["total"] == 2
    assert batches.run({"resilient": {"name": "n"}, "input": {"items": [1]}}).output["total"] == 1


@pytest.mark.parametrize(
    ("source", "objects", "works"),
    [
        (json_source("JSONL"), {"k": b'{"n":1}\n{"n":2}\n'}, [{"n": 1}, {"n": 2}]),
        (json_source("CSV"), {"k": b"n,who\n1,a\n"}, [{"n": "1", "who": "a"}]),
        (
            Read(
                reader={
                    "Resource": "arn:aws:states:::s3:listObjectsV2",
                    "Arguments": {"Bucket": "in", "Prefix": "{% $batch.key %}"},
                }
            ),
            {"k/a": b"x", "k/b": b"yy", "l": b""},
            [{"Key": "k/a", "Size": 1}, {"Key": "k/b", "Size": 2}],
        ),
    ],
    ids=["lines", "rows", "listing"],
)
def test_items_come_from_lines_rows_and_listings(
    source: Read, objects: dict[str, bytes], works: list[Any]
) -> None:
    """Whatever Step Functions reads, each of it is one item."""
    batches = Batches(batch_plan(source=source))
    batches.objects.update({("in", key): content for key, content in objects.items()})
    execution = batches.run({"key": "k"})
    assert execution.output["succeeded"] == len(works)
    assert batches.calls == works


def test_groups_are_one_call_and_one_dead_letter() -> None:
    """Five items in groups of two are three works; a group that fails counts with all of its items."""
    source = Given(is_distributed=True)
    batches = Batches(batch_plan(source=source, grouped=Grouped(items=2), tolerated_percent=50))
    groups = [
        [{"index": 0, "item": "a"}, {"index": 1, "item": ["b"]}],
        [{"index": 2, "item": "c"}, {"index": 3, "item": "d"}],
        [{"index": 4, "item": ["e"]}],
    ]
    batches.fails_for(groups[1])
    execution = batches.run({"items": ["a", ["b"], "c", "d", ["e"]]})
    assert [group for group in batches.calls if group != groups[1]] == [groups[0], groups[2]]
    assert (execution.output["succeeded"], execution.output["failed"]) == (3, 2)
    (letter,) = batches.dead
    assert (letter["index"], letter["input"]["input"]) == (2, groups[1])
    batches.fails_for()
    batches.calls.clear()
    again = batches.run({"resilient": {}, "input": letter["input"]}, name="again")
    assert (again.status, batches.calls) == ("SUCCEEDED", [groups[1]])


def test_a_large_result_of_an_inline_item_has_its_own_object() -> None:
    """The manifest says where, and the results of all items together never burst a state's result."""
    batches = Batches(batch_plan())
    batches.does = lambda work: "é" * 40_000 if work < 10 else work
    execution = batches.run({"items": list(range(40))})
    items = batches.manifest(execution)["items"]
    large = [one for one in items if "stored" in one]
    assert [one["index"] for one in large] == list(range(10))
    stored = json.loads(batches.objects[large[3]["stored"]["bucket"], large[3]["stored"]["key"]])
    assert stored == {"index": 3, "result": "é" * 40_000}


@pytest.mark.parametrize("form", ["inline", "distributed"])
def test_a_constant_stands_in_for_items_that_fail(form: str) -> None:
    """Then nothing is dead-lettered, and the batch ends well."""
    item = {"fallback": Constant(value={"words": [], "why": "{% $failure.error %}"})}
    batches = Batches(batch_plan(item=item, source=Given(is_distributed=form == "distributed")))
    batches.fails_for(2)
    execution = batches.run({"items": [1, 2]})
    assert told(batches, execution) == ({0: 1, 1: {"words": [], "why": "Reject"}}, set())
    assert batches.dead == []


def test_whoever_redrives_knows_workflows_and_batches_of_ours() -> None:
    """Their definitions say that they take an envelope off their input."""
    for ours in (workflow(plan()), definition(batch_plan())):
        assert TAKES_ENVELOPES in json.dumps(ours)


@pytest.mark.parametrize("form", ["inline", "distributed"])
def test_a_batch_begun_anew_gives_its_items_the_keys_that_they_had(form: str) -> None:
    """It has another name, and an API that knows keys knows each item again; so does it one sent back."""
    named = replace(plan().work, arguments={"Payload": {"key": KEY_OF_WORK, "item": "{% $work %}"}})
    source = Given(is_distributed=form == "distributed")
    batches = Batches(batch_plan(item={"work": named}, source=source))
    batches.run({"items": ["a", "b"]}, "night")
    batches.fails_for({"key": "night-1", "item": "b"})
    again = begun_anew("night", {"items": ["a", "b"]})
    batches.run(wrapped(again), again.name)
    (letter,) = batches.dead
    batches.run(wrapped(work_of(letter, Call())), "once more")
    assert sorted(one["key"] for one in batches.calls) == ["night-0"] * 2 + ["night-1"] * 3


@pytest.mark.parametrize("form", ["inline", "distributed"])
def test_each_item_has_a_key_and_a_child_of_its_own(form: str) -> None:
    """An API that knows keys, and a workflow that is started by name, take no item for another one."""
    named = replace(plan().work, arguments={"Payload": {"key": KEY_OF_WORK, "child": NAME_OF_CHILD}})
    source = Given(is_distributed=form == "distributed")
    batches = Batches(batch_plan(item={"work": named}, source=source))
    batches.run({"items": ["a", "b", "c"]}, "n" * 80)
    for what in ("key", "child"):
        assert len({call[what] for call in batches.calls}) == 3, what
    assert all(len(call["child"]) <= 80 for call in batches.calls)
