"""What a workflow refuses and warns of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match
from workflow_kinds import EXPRESS_KINDS, KINDS, a_function, make_downstream, make_function

from resilient_constructs import BreakerWorkflow, Downstream, Parking, Retry, Work


@pytest.fixture
def stack() -> Stack:
    """An empty stack."""
    return Stack(App(), "Shop")


Given = dict[str, Any] | Callable[[Stack], dict[str, Any]]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"timeout": Duration.days(366)}, "timeout is 31622400; allowed: WHOLE1 to 31,536,000 seconds"),
        (
            {"timeout": Duration.minutes(6), "express": True},
            "timeout is 360; allowed: WHOLE1 to 300 seconds of an Express workflow",
        ),
        ({"parking": Parking.WAIT, "express": True}, "parking is 'WAIT'; allowed: Parking.QUEUE, because"),
        ({"parking": "nowhere"}, "parking is 'nowhere'; allowed: Parking.QUEUE or Parking.WAIT"),
        ({"keep_parked_for": Duration.days(15)}, "keep_parked_for is 1296000; allowed: WHOLE60 to"),
        ({"alarm_when_older_than": Duration.seconds(5)}, "alarm_when_older_than is 5; allowed: WHOLE60 to"),
        ({"starts_per_second": 0}, "starts_per_second is 0; allowed: 0.001 to 6,000 starts a second"),
        ({"max_concurrency": 3}, "max_concurrency is 3; allowed: only with a downstream"),
        ({"rejects": "Reject"}, "rejects is 'Reject'; allowed: a list of names of errors"),
        ({"throttles": [""]}, "throttles is ['']; allowed: a list of names of errors"),
        ({"retries": [Retry(attempts=-1)]}, "retries[0].attempts is -1; allowed: WHOLE0 to 250"),
        (
            {"retries": [Retry(errors=["A"], attempts=200), Retry(attempts=51)]},
            "retries is 251; allowed: at most 250 attempts of all rules together",
        ),
        ({"retries": [Retry(errors=[])]}, "retries[0].errors is (); allowed: at least one name"),
        ({"retries": [Retry(rate=0.5)]}, "retries[0].rate is 0.5; allowed: 1 to 100 times"),
        (
            {"retries": [Retry(interval=Duration.minutes(2), longest=Duration.minutes(1))]},
            "retries[0].longest is 60; allowed: at least interval, 120 seconds",
        ),
        (
            {"retries": [Retry(), Retry(errors=["Late"])]},
            "retries[0].errors is ['States.ALL']; allowed: States.ALL in the last rule only",
        ),
    ],
)
def test_what_aws_would_refuse_is_refused_at_construction(
    stack: Stack, given: dict[str, Any], told: str
) -> None:
    """Every impossible value is named with its owner, its range and its page."""
    with pytest.raises(ValueError, match="BreakerWorkflow 'Analyse'") as error:
        BreakerWorkflow(stack, "Analyse", work=a_function(stack), **given)
    assert told.replace("WHOLE", "whole numbers, ") in str(error.value)
    assert "https://" in str(error.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"work": print}, "work is <built-in function print>; allowed: a Work: Work.function"),
        ({"retries": Retry()}, "allowed: a list of Retry: [Retry(attempts=3)]"),
        ({"retries": [5]}, "retries is [5]; allowed: a list of Retry"),
        ({"downstream": "ocr"}, "downstream is 'ocr'; allowed: a Downstream"),
        ({"rejects": 5}, "rejects is 5; allowed: a list of names of errors"),
    ],
)
def test_what_is_of_another_kind_is_refused_by_name(stack: Stack, given: dict[str, Any], told: str) -> None:
    """A slip of the pen is told like any other fault, and not by a traceback out of the library."""
    wrong: dict[str, Any] = {"work": a_function(stack), **given}
    with pytest.raises(ValueError, match="BreakerWorkflow 'Analyse'") as error:
        BreakerWorkflow(stack, "Analyse", **wrong)
    assert told in str(error.value)
    assert "https://" in str(error.value)


@pytest.mark.parametrize("is_behind", [False, True], ids=["no downstream", "no breaker"])
def test_parking_is_refused_where_nothing_is_parked(stack: Stack, is_behind: bool) -> None:
    """Without a breaker a queue for parked work, its time and its kind would be taken in silence."""
    slow = Downstream(stack, "Slow", requests_per_second=1) if is_behind else None
    with pytest.raises(ValueError, match="3 faults") as error:
        BreakerWorkflow(
            stack,
            "Analyse",
            work=a_function(stack),
            downstream=slow,
            parking=Parking.WAIT,
            parked_queue=sqs.Queue(stack, "Mine", visibility_timeout=Duration.minutes(6)),
            keep_parked_for=Duration.days(1),
        )
    for prop in ("parking", "parked_queue", "keep_parked_for"):
        assert f"- {prop} is 'given'; allowed: only with a downstream that has a breaker" in str(error.value)


def test_a_queue_for_parked_work_is_refused_where_work_waits(stack: Stack) -> None:
    """With Parking.WAIT nothing would ever be sent to it."""
    mine = sqs.Queue(stack, "Mine", visibility_timeout=Duration.minutes(6))
    with pytest.raises(ValueError, match=r"parked_queue is 'given'; allowed: only with Parking\.QUEUE"):
        BreakerWorkflow(
            stack,
            "Analyse",
            work=a_function(stack),
            downstream=make_downstream(stack),
            parking=Parking.WAIT,
            parked_queue=mine,
        )


def test_work_that_waits_has_as_long_as_it_is_kept(stack: Stack) -> None:
    """With Parking.WAIT an execution does not run out of time before its work is given up for its age."""
    ocr = make_downstream(stack)
    wait: dict[str, Any] = {"downstream": ocr, "parking": Parking.WAIT, "retries": []}
    work = Work.function(make_function(stack), timeout=Duration.seconds(50))
    usual = BreakerWorkflow(stack, "Usual", work=work, **wait)
    assert usual.timeout_seconds == 14 * 86_400 + 2 * 50
    days = BreakerWorkflow(stack, "Days", work=work, keep_parked_for=Duration.days(2), **wait)
    assert days.timeout_seconds == 2 * 86_400 + 2 * 50
    long = Work.function(make_function(stack, "Long"), timeout=Duration.days(300))
    assert BreakerWorkflow(stack, "Long2", work=long, **wait).timeout_seconds == 365 * 86_400
    Annotations.from_stack(stack).has_no_warning("*", Match.string_like_regexp("Parking"))


def test_a_timeout_that_ends_the_waiting_is_warned_of(stack: Stack) -> None:
    """Both numbers are told, and what to do about them."""
    BreakerWorkflow(
        stack,
        "Analyse",
        work=a_function(stack),
        downstream=make_downstream(stack),
        parking=Parking.WAIT,
        timeout=Duration.days(1),
    )
    Annotations.from_stack(stack).has_warning(
        "/Shop/Analyse",
        Match.string_like_regexp(r"timeout is 86,400 s, .*Parking\.WAIT.* keep_parked_for, 1,209,600 s"),
    )


def test_all_faults_are_told_at_once(stack: Stack) -> None:
    """Work, rules and pace are judged together."""
    with pytest.raises(ValueError, match="4 faults") as error:
        BreakerWorkflow(
            stack,
            "Analyse",
            work=KINDS["a_workflow"](stack),
            express=True,
            retries=[Retry(attempts=-1)],
            starts_per_second=0,
        )
    for prop in ("express", "work.timeout", "retries[0].attempts", "starts_per_second"):
        assert f"- {prop} is" in str(error.value)


@pytest.mark.parametrize("prop", ["queue", "parked_queue", "dead_letter_queue"])
def test_a_fifo_queue_is_refused(stack: Stack, prop: str) -> None:
    """Executions run side by side, so no order could be kept."""
    given: dict[str, Any] = {prop: sqs.Queue(stack, "Mine", fifo=True)}
    with pytest.raises(ValueError, match=f"{prop} is 'a FIFO queue'; allowed: a standard queue"):
        BreakerWorkflow(stack, "Analyse", work=a_function(stack), **given)


@pytest.mark.parametrize(("visibility", "told"), [(None, 30), (Duration.seconds(45), 45)])
def test_a_given_queue_hides_its_messages_long_enough(
    stack: Stack, visibility: Duration | None, told: int
) -> None:
    """Lambda would refuse the mapping at deployment; SQS takes 30 seconds where nothing is said."""
    queue = sqs.Queue(stack, "Mine", visibility_timeout=visibility)
    expected = f"queue.visibility_timeout is {told}; allowed: at least the starter's timeout of 60"
    with pytest.raises(ValueError, match=expected):
        BreakerWorkflow(stack, "Analyse", work=a_function(stack), queue=queue)


@pytest.mark.parametrize("prop", ["timeout", "keep_parked_for", "alarm_when_older_than"])
def test_durations_have_to_be_known_at_synth(stack: Stack, prop: str) -> None:
    """They stand in the definition's text, where a token would be nonsense."""
    seconds = CfnParameter(stack, "Seconds", type="Number").value_as_number
    given: dict[str, Any] = {prop: Duration.seconds(seconds)}
    with pytest.raises(ValueError, match=f"{prop} is 'a token'; allowed: a duration known at synth"):
        BreakerWorkflow(stack, "Analyse", work=a_function(stack), **given)


def test_intervals_have_to_be_known_at_synth(stack: Stack) -> None:
    """They stand in the definition's expressions."""
    seconds = CfnParameter(stack, "Seconds", type="Number").value_as_number
    with pytest.raises(ValueError, match=r"retries\[0\].interval is 'a token'"):
        BreakerWorkflow(
            stack,
            "Analyse",
            work=a_function(stack),
            retries=[Retry(interval=Duration.seconds(seconds))],
        )


def test_a_day_is_the_usual_timeout_or_twice_all_attempts(stack: Stack) -> None:
    """An execution is never given less than all of its attempts may take."""
    short = BreakerWorkflow(stack, "Short", work=a_function(stack))
    assert short.timeout_seconds == 86_400
    long_work = Work.function(make_function(stack), timeout=Duration.hours(10))
    long = BreakerWorkflow(stack, "Long", work=long_work, retries=[Retry(attempts=1)])
    assert long.timeout_seconds == 2 * (2 * 36_000 + 2)


def test_a_timeout_that_is_shorter_than_all_attempts_is_warned_of(stack: Stack) -> None:
    """Both numbers are told, and what to do about them."""
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), timeout=Duration.minutes(2))
    Annotations.from_stack(stack).has_warning(
        "/Shop/Analyse", Match.string_like_regexp("timeout is 120 s, but all attempts .* may take 362 s")
    )


def test_a_timeout_has_room_for_one_call(stack: Stack) -> None:
    """An execution that ends before its only call could is refused."""
    with pytest.raises(ValueError, match="timeout is 10; allowed: at least the 50 seconds that one call"):
        BreakerWorkflow(stack, "Analyse", work=a_function(stack), timeout=Duration.seconds(10))


@pytest.mark.parametrize("kind", EXPRESS_KINDS)
def test_an_express_workflows_usual_attempts_fit_into_five_minutes(stack: Stack, kind: str) -> None:
    """Nothing is warned of where nothing was asked for."""
    BreakerWorkflow(stack, "Analyse", work=KINDS[kind](stack), express=True)
    Annotations.from_stack(stack).has_no_warning("/Shop/Analyse", Match.any_value())


def test_connections_are_only_held_on_average(stack: Stack) -> None:
    """Nothing counts executions under way, so connections are warned of, with the remedy."""
    database = Downstream(stack, "Database", connections=20, typical_latency=Duration.seconds(2))
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), downstream=database)
    Annotations.from_stack(stack).has_warning(
        "/Shop/Analyse", Match.string_like_regexp("'Database' has 20 connections.* 10 starts a second")
    )


def test_a_usual_workflow_warns_of_nothing(stack: Stack) -> None:
    """What the shortest call makes is in order."""
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), downstream=make_downstream(stack))
    Annotations.from_stack(stack).has_no_warning("*", Match.any_value())


def test_one_rule_is_the_default() -> None:
    """Any error, five times, from two seconds to a minute, doubling."""
    rule = Retry().rule()
    assert rule.errors == ("States.ALL",)
    assert (rule.attempts, rule.interval_seconds, rule.longest_seconds, rule.backoff_rate) == (5, 2, 60, 2)


def test_a_long_interval_is_its_own_end() -> None:
    """Where the first wait is longer than a minute, the growth ends with it."""
    assert Retry(interval=Duration.minutes(5)).rule().longest_seconds == 300


IMPORTED = "arn:aws:sqs:eu-west-1:111122223333:dead"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda stack: sqs.Queue.from_queue_arn(stack, "Dead", IMPORTED), "dead_letter_queue is imported"),
        (
            lambda stack: sqs.Queue(stack, "Dead", encryption=sqs.QueueEncryption.KMS_MANAGED),
            "dead_letter_queue has the AWS-managed key",
        ),
        (
            lambda stack: sqs.Queue(
                stack,
                "Dead",
                encryption_master_key=kms.Key.from_key_arn(
                    stack, "Key", "arn:aws:kms:eu-west-1:111122223333:key/1"
                ),
            ),
            "the key of dead_letter_queue is imported",
        ),
    ],
    ids=["imported queue", "key of AWS", "imported key"],
)
def test_dead_letters_that_events_cannot_reach_are_warned_of(
    stack: Stack, make: Callable[[Stack], sqs.IQueue], text: str
) -> None:
    """What ended without giving up would leave none, and nobody could tell from the template."""
    BreakerWorkflow(stack, "Analyse", work=a_function(stack), dead_letter_queue=make(stack))
    Annotations.from_stack(stack).has_warning("/Shop/Analyse", Match.string_like_regexp(text))
