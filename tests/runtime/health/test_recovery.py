"""After an interruption: what a handler left half done in memory is left behind with its interpreter."""

from __future__ import annotations

import pytest
from bodies import ON_LAMBDA, Body
from resilient_runtime.settings import HealthSettings


def interrupted(body: Body, *, left: float = 30.0) -> None:
    """One invocation whose handler was ended at its deadline, with so many seconds left."""
    remaining, body.remaining = body.remaining, left
    body.invoke(work=body.caretaker.broken_off)
    body.remaining = remaining


def test_an_interpreter_whose_handler_was_broken_off_is_replaced() -> None:
    """Where there is time, it happens before the next event; told with its cause, and for no resource."""
    body = Body()
    body.invoke()
    interrupted(body)
    assert body.recycles == 1
    (told,) = body.told("RECYCLED")
    assert (told["cause"], told["resources"], told["Recycled"]) == ("interruption", [], 1)
    assert told["request_id"] == "request-2"
    body.invoke()
    assert body.recycles == 1
    assert not body.told("CLEANED")


def test_it_waits_for_an_invocation_that_has_the_time() -> None:
    """An interrupted invocation has little time left: that is no news, and the next one's time is taken."""
    body = Body()
    interrupted(body, left=0.2)
    assert body.recycles == 0
    assert not any("note" in line for line in body.lines)
    body.invoke()
    assert body.recycles == 1


def test_lack_of_time_in_an_ordinary_invocation_is_told_once() -> None:
    """Where no invocation has the time, a person is told why nothing was done, and nothing fails."""
    body = Body(remaining=0.5)
    interrupted(body, left=0.2)
    for _ in range(9):
        body.invoke()
    assert body.recycles == 0
    notes = [line["note"] for line in body.lines if "note" in line]
    assert len(notes) == 1
    assert notes[0].startswith("not recycled for interruption: that may take")
    body.remaining = 30.0
    body.invoke()
    body.invoke()
    assert body.recycles == 1


def test_what_is_known_of_leaks_outlives_it() -> None:
    """An environment that has learned to wait nearer to its limit does not forget that."""
    body = Body()
    for _ in range(3):
        body.invoke(descriptors=300)
    assert body.recycles == 1
    shares = [course.share for course in body.caretaker._vitals.courses.values()]
    interrupted(body)
    assert body.recycles == 2
    assert [course.share for course in body.caretaker._vitals.courses.values()] == shares
    assert not any(course.incurable for course in body.caretaker._vitals.courses.values())


@pytest.mark.parametrize("env", [{}, {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}])
def test_where_nothing_can_be_recycled_nothing_is_done(env: dict[str, str]) -> None:
    """Without re-execution the environment stays as it is, and goes on."""
    body = Body(settings=HealthSettings(reexec=bool(env)), env={**ON_LAMBDA, **env})
    interrupted(body)
    body.invoke()
    assert (body.recycles, body.exits) == (0, 0)
    assert not any("note" in line for line in body.lines)


def test_a_thread_at_work_is_waited_for() -> None:
    """The worker that an interrupted pool left behind may be in the middle of something."""
    body = Body(working=["writer"])
    interrupted(body)
    body.invoke()
    assert body.recycles == 0
    assert any("these threads may be at work: writer" in line.get("note", "") for line in body.lines)
    body.working = []
    for _ in range(32):
        body.invoke()
    assert body.recycles == 1


def test_what_could_not_be_had_again_keeps_its_interpreter() -> None:
    """While a store does not answer, values that only this interpreter has are not thrown away."""
    body = Body(irreplaceable="the store of courier_key does not answer")
    interrupted(body)
    assert body.recycles == 0
    assert any("courier_key" in line.get("note", "") for line in body.lines)
    body.irreplaceable = None
    for _ in range(32):
        body.invoke()
    assert body.recycles == 1


def test_an_environment_about_to_fail_is_recycled_whatever_is_lost() -> None:
    """Who fails in a few invocations keeps no values either."""
    body = Body(irreplaceable="the store of courier_key does not answer")
    while not body.recycles and not body.failed:
        body.invoke(descriptors=1)
    assert body.recycles == 1
    assert not body.failed
    assert body.invocations > 900


def test_the_cause_is_known_afterwards() -> None:
    """Records of later failures say why the environment was last recycled."""
    body = Body()
    interrupted(body)
    assert body.caretaker.facts()["last_recycle"] == "interruption"
