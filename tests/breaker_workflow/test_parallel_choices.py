"""What ParallelWork chooses where nothing is said, what it refuses, and what it warns of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match, Template
from workflow_kinds import (
    a_function,
    machines_in,
    make_downstream,
    make_function,
    states_of,
)

from resilient_constructs import (
    BreakerPolicy,
    Downstream,
    Handler,
    Items,
    ParallelWork,
    ResilientFunction,
    Retry,
    Work,
)

KEY = "{% $batch.key %}"


@pytest.mark.parametrize(
    ("rate", "given", "width", "calls"),
    [
        (4, {}, 18, 20),
        (10, {}, 40, 45),
        (10, {"distributed": True}, 45, 50),
        (10, {"distributed": True, "batches_at_once": 5}, 9, 50),
        (10, {"distributed": True, "starts_per_second": 0.2}, 49, 50),
        (10, {"distributed": True, "starts_per_second": 20}, 45, 50),
        (4, {"max_concurrency": 7, "batches_at_once": 2}, 7, 16),
        (4, {"max_concurrency": 20}, 20, 20),
        (0.1, {}, 1, 2),
    ],
)
def test_its_width_is_what_keeps_the_downstream_busy(
    rate: float, given: dict[str, Any], width: int, calls: int
) -> None:
    """Rate times five seconds, less a tenth for items sent back, shared out among the batches at once.

    Never more than a Map can have, and what was asked for is not lessened.
    """
    stack = Stack(App(), "Shop")
    ocr = Downstream(stack, "Ocr", requests_per_second=rate, typical_latency=Duration.seconds(5))
    items = Items.given(distributed=given.pop("distributed", False))
    parallel = ParallelWork(stack, "Pages", work=a_function(stack), downstream=ocr, items=items, **given)
    ((_, found),) = machines_in(Template.from_stack(stack).to_json())
    assert found["States"]["Items"]["MaxConcurrency"] == parallel.max_concurrency == width
    assert ocr.registered_concurrency == calls


def test_its_calls_count_against_the_connections() -> None:
    """Synth fails when its batches together need more connections than there are."""
    app = App()
    stack = Stack(app, "Shop")
    database = Downstream(stack, "Db", connections=10)
    for number in range(2):
        ParallelWork(
            stack,
            f"Pages{number}",
            work=Work.function(make_function(stack, f"F{number}")),
            downstream=database,
            max_concurrency=6,
        )
    # six items of a batch, and one that was sent back
    with pytest.raises(Exception, match="adds up to 14; allowed: at most 10 connections"):
        app.synth()


@pytest.mark.parametrize(("rate", "starts"), [(100, 1.0), (4, 0.4), (0.1, 0.04), (0.01, 0.04)])
def test_what_is_sent_back_comes_no_faster_than_a_tenth_of_the_downstreams_rate(
    rate: float, starts: float
) -> None:
    """It waits for no turn, so the starter is what holds it: of two environments each has half of that."""
    stack = Stack(App(), "Shop")
    ocr = Downstream(stack, "Ocr", requests_per_second=rate, typical_latency=Duration.seconds(5))
    ParallelWork(stack, "Pages", work=a_function(stack), downstream=ocr)
    told = json.dumps(Template.from_stack(stack).find_resources("AWS::Lambda::Function"))
    environments = {1.0: 8, 0.4: 4, 0.04: 2}[starts]
    assert f'"{starts / environments:.6g}"' in told


@pytest.mark.parametrize(
    ("given", "timeout", "waits", "warned"),
    [
        ({}, 21 * 86_400, 14 * 86_400, False),
        ({"wait_for": Duration.hours(1)}, 14 * 86_400, 3_600, False),
        ({"timeout": Duration.hours(2)}, 7_200, 7_200 - 62 - 300, False),
        ({"timeout": Duration.hours(2), "wait_for": Duration.hours(1)}, 7_200, 3_600, False),
        ({"timeout": Duration.hours(2), "wait_for": Duration.hours(2)}, 7_200, 7_200, True),
        ({"timeout": Duration.minutes(5)}, 300, 60, True),
    ],
)
def test_an_item_gives_up_before_its_batch_runs_out_of_time(
    given: dict[str, Any], timeout: int, waits: int, warned: bool
) -> None:
    """It waits, and is called six times of 50 s with 62 s in between; what does not fit is warned of."""
    stack = Stack(App(), "Shop")
    parallel = ParallelWork(
        stack, "Pages", work=a_function(stack), downstream=make_downstream(stack), **given
    )
    ((_, found),) = machines_in(Template.from_stack(stack).to_json())
    assert parallel.timeout_seconds == found["TimeoutSeconds"] == timeout
    (park,) = [state for name, state in states_of(found) if name == "Park"]
    assert f"> {waits} * 1000" in json.dumps(park)
    raised = Match.string_like_regexp("Raise timeout, or lower wait_for")
    if warned:
        Annotations.from_stack(stack).has_warning("/Shop/Pages", raised)
    else:
        Annotations.from_stack(stack).has_no_warning("*", raised)


def longest_way(definition: Mapping[str, Any], attempts: int) -> float:
    """Seconds that a child execution takes at most from its call to its dead letter."""
    states = definition["States"]["Items"]["ItemProcessor"]["States"]

    def waits(name: str) -> float:
        return float(
            sum(
                min(retry["MaxDelaySeconds"], retry["IntervalSeconds"] * retry["BackoffRate"] ** number)
                for retry in states[name]["Retry"]
                for number in range(retry["MaxAttempts"])
            )
        )

    call, letter = states["Call"], states["DeadLetter"]
    sending = (1 + letter["Retry"][0]["MaxAttempts"]) * letter["TimeoutSeconds"] + waits("DeadLetter")
    between = sum(min(60, 2 * 2**number) for number in range(attempts))
    return float((1 + attempts) * (call["TimeoutSeconds"] + waits("Call")) + between + sending)


@pytest.mark.parametrize(("seconds", "attempts"), [(33, 2), (60, 2), (90, 1), (180, 0)])
def test_an_express_item_has_ended_before_aws_ends_it(seconds: int, attempts: int) -> None:
    """All attempts, the platform's own retries and the dead letter's take less than five minutes."""
    stack = Stack(App(), "Shop")
    made_of = Work.function(make_function(stack), timeout=Duration.seconds(seconds))
    ParallelWork(stack, "Pages", work=made_of, items=Items.given(distributed=True), express_items=True)
    ((_, found),) = machines_in(Template.from_stack(stack).to_json())
    assert f"< [{attempts}][$call.rule]" in json.dumps(found)
    assert longest_way(found, attempts) < 300


@pytest.mark.parametrize(
    ("seconds", "retries", "fallback", "said"),
    [
        (90, [Retry(attempts=5)], None, "6 calls of 90 s, 86 s between them, 85 s for a dead letter"),
        (90, [Retry(attempts=1)], 60, "2 calls of 90 s, a fallback of 60 s, 14 s between them"),
        (220, None, None, "1 calls of 220 s"),
    ],
)
def test_an_express_item_that_might_end_without_a_letter_is_refused(
    seconds: int, retries: list[Retry] | None, fallback: int | None, said: str
) -> None:
    """With the arithmetic: AWS ends it after five minutes past every Catch."""
    stack = Stack(App(), "Shop")
    function = make_function(stack)
    with pytest.raises(ValueError, match="at most 300 s in all") as refused:
        ParallelWork(
            stack,
            "Pages",
            work=Work.function(function, timeout=Duration.seconds(seconds)),
            items=Items.given(distributed=True),
            express_items=True,
            retries=retries,
            fallback=None
            if fallback is None
            else Work.function(function, timeout=Duration.seconds(fallback)),
        )
    assert said in str(refused.value)


@pytest.mark.parametrize(("given", "prefix"), [("out", "out/"), ("out/", "out/"), ("", "")])
def test_a_prefix_of_results_is_a_folder(given: str, prefix: str) -> None:
    """Without the slash its keys would run into the execution's name."""
    stack = Stack(App(), "Shop")
    parallel = ParallelWork(stack, "Pages", work=a_function(stack), results_prefix=given)
    assert parallel.results_prefix == prefix


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_concurrency": 41}, "max_concurrency is 41"),
        ({"max_concurrency": 10_001, "items": Items.given(distributed=True)}, "1 to 10,000"),
        ({"batches_at_once": 0}, "batches_at_once is 0"),
        ({"tolerated_percent": 101}, "tolerated_percent is 101"),
        ({"tolerated_count": -1}, "tolerated_count is -1"),
        ({"group": 5}, "group is 5; allowed: only of distributed items"),
        ({"express_items": True}, "express_items is True; allowed: only of distributed items"),
        ({"items": Items.given(most=501)}, "items.most is 501"),
        ({"items": Items.given("pages")}, "items is 'pages'"),
        ({"items": ["a"]}, "items is ['a']"),
        (
            {"wait_for": Duration.hours(1)},
            "wait_for is 3600; allowed: only with a downstream that has a breaker",
        ),
        ({"items": Items.given(distributed=True, most=5)}, "only of inline items"),
        ({"retries": [Retry(attempts=251)]}, "attempts"),
        ({"timeout": Duration.days(366)}, "timeout"),
    ],
)
def test_the_impossible_is_refused(given: dict[str, Any], said: str) -> None:
    """At synth, by name, value and what is allowed."""
    stack = Stack(App(), "Shop")
    with pytest.raises(ValueError, match="ParallelWork 'Pages'") as refused:
        ParallelWork(stack, "Pages", work=a_function(stack), **given)
    assert said in str(refused.value)


@pytest.mark.parametrize("columns", ["abc", [], ["a", ""]])
def test_columns_are_a_list_of_names(columns: Any) -> None:
    """A text would be taken for its letters."""
    stack = Stack(App(), "Shop")
    rows = Items.csv(s3.Bucket(stack, "In"), key=KEY, columns=columns, delimiter="?")
    with pytest.raises(ValueError, match="ParallelWork 'Pages' has 2 faults") as refused:
        ParallelWork(stack, "Pages", work=a_function(stack), items=rows)
    assert f"items.columns is {columns!r}" in str(refused.value)


def test_express_items_cannot_wait_for_a_circuit() -> None:
    """Nor can a work that takes longer than five minutes; both are said at once."""
    stack = Stack(App(), "Shop")
    function = ResilientFunction(
        stack,
        "Slow",
        handler=Handler.from_directory("examples/handlers/delivery", "delivery.deliver"),
        timeout=Duration.minutes(14),
    )
    ocr = Downstream(stack, "Ocr", requests_per_second=5, breaker=BreakerPolicy())
    with pytest.raises(ValueError, match="2 ") as refused:
        ParallelWork(
            stack,
            "Pages",
            work=Work.function(function),
            items=Items.given(distributed=True),
            downstream=ocr,
            express_items=True,
        )
    assert "cannot wait until the circuit closes" in str(refused.value)
    assert "work.timeout" in str(refused.value)
