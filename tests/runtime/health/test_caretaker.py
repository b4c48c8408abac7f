from __future__ import annotations

import json

import pytest
from bodies import FRESH, LIMITS, MB, ON_LAMBDA, Body, Context
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from resilient_runtime.health.probe import RESOURCES, Reading
from resilient_runtime.health.state import STATE_VARIABLE
from resilient_runtime.settings import HealthSettings
from resilient_runtime.stores.own_function import OwnFunction


def test_a_healthy_environment_says_how_it_is_once_and_then_once_a_minute() -> None:
    """Its figures are told at the first invocation and every 60 seconds, not in every invocation."""
    body = Body()
    for _ in range(50):
        body.invoke()
    assert len(body.told("HEALTH")) == 1
    body.seconds += 60
    body.invoke()
    assert len(body.told("HEALTH")) == 2


def test_a_figure_that_moves_by_a_point_is_told() -> None:
    """Ten more of 1,024 descriptors are less than a point, eleven are one."""
    body = Body()
    body.invoke()
    body.invoke(descriptors=10)
    assert len(body.told("HEALTH")) == 1
    body.invoke(descriptors=1)
    assert [line["DescriptorsUsed"] for line in body.told("HEALTH")] == [1.0, 2.1]


def test_the_figures_are_metrics_in_percent_of_lambdas_limits() -> None:
    """A HEALTH line is a metric document with one metric per figure that is known."""
    body = Body()
    body.invoke()
    line = body.told("HEALTH")[0]
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "ResilientConstructs"
    assert directive["Dimensions"] == [["FunctionName"]]
    assert directive["Metrics"] == [
        {"Name": name, "Unit": "Percent"} for name in ("DescriptorsUsed", "MemoryUsed", "ThreadsUsed")
    ]
    assert line["FunctionName"] == line["function_name"] == "orders"
    assert line["request_id"] == "request-1"
    assert line["MemoryUsed"] == 31.2


def test_a_leak_is_told_cleaned_and_recycled() -> None:
    """Half of the headroom used up: first what leaked, then the cleaning, then a fresh interpreter."""
    body = Body()
    while not body.recycles:
        body.invoke(descriptors=1)
    assert 500 < body.invocations < 530
    order = [line["status"] for line in body.lines if line["status"] in ("LEAK", "CLEANED", "RECYCLED")]
    assert order == ["LEAK", "CLEANED", "RECYCLED"]
    recycled = body.told("RECYCLED")[0]
    assert recycled["Recycled"] == 1
    assert recycled["resources"] == ["descriptors"]
    assert recycled["before"]["descriptors"] == "518 of 1,024"
    assert recycled["after"]["descriptors"] == "10 of 1,024"
    assert recycled["request_id"] == f"request-{body.invocations}"
    assert recycled["took_ms"] == 200


def test_a_cleaning_that_helps_is_not_followed_by_a_recycle() -> None:
    """An environment whose callbacks end its leak is cleaned again and again, and never recycled."""
    from resilient_runtime.health import callbacks

    body = Body()
    close = callbacks.on_recycle(lambda: body.use(descriptors=10 - body.reading.descriptors))
    try:
        for _ in range(2000):
            body.invoke(descriptors=1)
            assert not body.failed
    finally:
        callbacks._registered.remove(close)
    assert body.recycles == 0
    assert len(body.told("CLEANED")) == 3


def test_age_and_invocations_are_those_of_the_environment_not_of_the_interpreter() -> None:
    """After a recycle, the invocations go on being counted, and the environment is as old as before."""
    body = Body()
    while body.recycles < 2:
        body.invoke(memory=MB)
    body.invoke()
    facts = body.caretaker.facts()
    assert facts["invocation"] == body.invocations
    assert facts["recycles"] == 2
    assert facts["last_recycle"] == "memory"
    assert facts["container_age_s"] == pytest.approx(body.seconds - 1_000_000, abs=0.1)
    assert facts["health"] == {
        "descriptors": "10 of 1,024",
        "memory": "40.0 of 128 MB",
        "threads": "1 of 1,024",
    }


def test_an_invocation_with_too_little_time_left_is_not_recycled_in() -> None:
    """Recycling waits for an invocation that has the time, and says so once."""
    body = Body(remaining=0.9)
    for _ in range(600):
        body.invoke(descriptors=1)
    assert body.recycles == 0
    assert sum("not recycled for descriptors" in line.get("note", "") for line in body.lines) == 1
    body.remaining = 30.0
    body.invoke()
    body.invoke()
    assert body.recycles == 1


def test_a_function_that_needs_nearly_all_its_memory_from_the_start_is_not_recycled() -> None:
    """127 of 128 MB in a fresh environment, and not a byte more afterwards: nothing is done about it."""
    body = Body(fresh=FRESH._replace(memory=127 * MB))
    for number in range(1000):
        body.invoke(memory=4096 if number % 2 else -4096)
    assert body.recycles == 0
    assert body.told("CLEANED") == []


def test_what_a_recycle_does_not_free_is_not_recycled_for_again() -> None:
    """Threads that come back with every interpreter: one recycle, and then the alarm is a person's."""
    body = Body(recycles_free=("descriptors", "memory"))
    for _ in range(900):
        body.invoke(threads=1)
    assert body.recycles == 1


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.55, 0.95), steps=st.integers(1, 60), name=st.sampled_from(("descriptors", "memory")))
def test_an_environment_that_settles_at_a_high_level_is_left_in_peace(
    share: float, steps: int, name: str
) -> None:
    """It settles where two more steps would still fit, however fast: then it is not recycled for ever."""
    body = Body()
    start, limit = getattr(FRESH, name), getattr(LIMITS, name)
    level = int(start + (limit - start) * share)
    step = max((level - start) // steps, 1)
    assume(level + 2 * step < limit)
    for _ in range(700):
        now = getattr(body.reading, name)
        body.invoke(**{name: min(step, level - now)})
        assert not body.failed
    assert body.recycles <= 6


@settings(max_examples=30, deadline=None)
@given(
    per_call=st.dictionaries(
        st.sampled_from(("descriptors", "memory", "threads")), st.integers(1, 60), min_size=1
    ),
    data=st.data(),
)
def test_no_leak_reaches_its_limit(per_call: dict[str, int], data: st.DataObject) -> None:
    """A leak of up to six percent of the limit per call, steady or not, never fails an invocation."""
    body = Body()
    for _ in range(200):
        growth = {
            name: data.draw(st.integers(0, most), label=name) * (MB // 8 if name == "memory" else 1)
            for name, most in per_call.items()
        }
        body.invoke(**growth)
        assert not body.failed


def test_it_never_ends_a_process_whose_source_does_not_repeat() -> None:
    """Where nothing can be recycled and nobody repeats, the environment is only reported."""
    body = Body(settings=HealthSettings(reexec=False, retried=False))
    for _ in range(1013):
        body.invoke(descriptors=1)
    assert body.exits == 0
    assert any("nothing that is allowed here cures" in line.get("note", "") for line in body.lines)


def test_the_last_resort_of_a_repeated_source_is_to_end_before_an_event() -> None:
    """Where no interpreter can be re-executed, the process ends just before it would fail, and says so."""
    body = Body(settings=HealthSettings(reexec=False, retried=True))
    for _ in range(3000):
        body.invoke(descriptors=1)
        assert not body.failed
    assert body.exits == 2
    (exited, _) = body.told("EXITED")
    assert exited["Exited"] == 1
    assert exited["resources"] == ["descriptors"]


def test_a_message_that_came_back_before_is_not_sent_back_by_us() -> None:
    """A batch with a message's second receive is served, however sick the environment is."""
    body = Body(settings=HealthSettings(reexec=False, retried=True))
    again = {"Records": [{"messageId": "1", "attributes": {"ApproximateReceiveCount": "2"}}]}
    for _ in range(1013):
        body.invoke(again, descriptors=1)
    body.invoke(again)
    assert body.exits == 0
    body.invoke({"Records": [{"messageId": "1", "attributes": {"ApproximateReceiveCount": "1"}}]})
    assert body.exits == 1


@pytest.mark.parametrize("kind", ["snap-start", "lambda-managed-instances", "something-new"])
def test_only_plain_environments_are_re_executed(kind: str) -> None:
    """Where one memory image serves many environments, or many invocations at once, nothing is replaced."""
    body = Body(env={**ON_LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": kind})
    for _ in range(900):
        body.invoke(descriptors=1)
    assert body.recycles == 0


def test_without_the_interface_client_it_cleans_in_the_invocations_own_time() -> None:
    """In a test, or on another runtime, nobody calls between invocations; what can be cleaned still is."""
    body = Body(env={})
    body.caretaker._asked_before = False
    body.caretaker._ladder.between = False
    for number in range(600):
        body.caretaker.begin({}, Context(number))
        body.use(descriptors=1)
        body.caretaker.end(lambda: 30_000)
    assert len(body.told("CLEANED")) >= 1
    assert body.recycles == 0


def test_a_health_check_is_answered_with_the_figures() -> None:
    """The answer says healthy or degraded, and by which figures."""
    body = Body()
    body.invoke()
    answer = body.caretaker.answer()
    assert (answer["status"], answer["degraded"]) == ("healthy", [])
    assert answer["percent"]["memory"] == 31.2
    assert answer["invocation"] == 1
    body.use(descriptors=900)
    assert body.caretaker.answer()["degraded"] == ["descriptors"]
    json.dumps(answer)


def test_the_leak_of_one_resource_is_told_every_ten_minutes_at_most() -> None:
    """An environment that is recycled every minute does not fill the log with the same suspects."""
    body = Body()
    while body.recycles < 5:
        body.invoke(memory=2 * MB)
    assert len(body.told("LEAK")) == 1
    body.seconds += 600
    while body.recycles < 6:
        body.invoke(memory=2 * MB)
    assert len(body.told("LEAK")) == 2
    assert body.told("LEAK")[0]["since_invocation"] == 1


def test_another_processs_state_is_nobodys() -> None:
    """A process that the handler starts inherits the variable, but it is no recycled environment."""
    body = Body()
    state = json.dumps({"pid": 1, "recycles": 9})
    body.env = {**ON_LAMBDA, STATE_VARIABLE: state}
    body.start()
    assert body.caretaker.facts()["recycles"] == 0


@settings(deadline=None)
@given(st.text())
def test_an_unreadable_state_is_a_fresh_start(text: str) -> None:
    """Whatever stands in the variable, the environment starts."""
    body = Body(env={**ON_LAMBDA, STATE_VARIABLE: text.replace("\0", "")})
    body.invoke()
    assert body.caretaker.facts()["invocation"] == 1


def test_what_is_not_known_is_neither_told_nor_judged() -> None:
    """On a system without /proc there are no figures, no metrics and no cures, and no errors."""
    nothing = Reading(*([None] * len(RESOURCES)))
    body = Body(limits=nothing, fresh=nothing)
    for _ in range(100):
        body.invoke()
    (line,) = body.told("HEALTH")
    assert "_aws" not in line
    assert body.caretaker.facts()["health"] == {}


def test_an_error_between_two_invocations_is_told_once_and_goes_no_further() -> None:
    """The next event is asked for, whatever happens here."""
    body = Body()
    body.invoke()

    def break_down() -> None:
        raise RuntimeError("no idea")

    body.caretaker._do_what_is_due = break_down  # type: ignore[method-assign]
    body.caretaker.between()
    body.caretaker.between()
    assert [line["note"] for line in body.lines if "note" in line] == ["health failed: RuntimeError: no idea"]


@pytest.mark.parametrize("outcome", ["replaced", "replaced by another environment"])
def test_the_function_is_updated_when_nothing_else_is_left_and_it_is_allowed(
    outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once per environment, just before it would fail; it is counted when it was this one that did it."""
    calls: list[int] = []

    def replace(self: OwnFunction) -> str:
        calls.append(1)
        return outcome

    monkeypatch.setattr(OwnFunction, "replace_environments", replace)
    body = Body(settings=HealthSettings(reexec=False, exit=False, update_function=True))
    for _ in range(1300):
        body.invoke(descriptors=1 if body.reading.descriptors < 1023 else 0)  # type: ignore[operator]
    assert calls == [1]
    (told,) = body.told("REPLACED")
    assert told["outcome"] == outcome
    assert told.get("Replaced") == (1 if outcome == "replaced" else None)


def test_an_update_that_is_refused_is_told_and_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing permission is one line in the log."""

    def refuse(self: OwnFunction) -> str:
        raise PermissionError("lambda:UpdateFunctionConfiguration")

    monkeypatch.setattr(OwnFunction, "replace_environments", refuse)
    body = Body(settings=HealthSettings(reexec=False, exit=False, update_function=True))
    for _ in range(1300):
        body.invoke(descriptors=1 if body.reading.descriptors < 1023 else 0)  # type: ignore[operator]
    notes = [line["note"] for line in body.lines if "UpdateFunctionConfiguration" in line.get("note", "")]
    assert len(notes) == 1


def test_a_function_that_is_not_told_to_never_updates_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last rung is off by default."""
    monkeypatch.setattr(OwnFunction, "replace_environments", lambda self: pytest.fail("it must not"))
    body = Body(settings=HealthSettings(reexec=False, exit=False))
    for _ in range(1010):
        body.invoke(descriptors=1)
    assert body.told("REPLACED") == []
