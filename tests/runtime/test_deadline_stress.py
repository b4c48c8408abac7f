"""The deadline at every moment: thousands of invocations that end just when it comes, with stray signals."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

_RUNTIME = Path(__file__).parents[2] / "runtime"

_INVOCATIONS = """
import _thread, json, random, signal, sys, threading, time, types
from resilient_runtime import deadline, watchdog
from resilient_runtime.application import build

deadline._LEAST_MARGIN = margin = 0.005  # so that there are hundreds in a few seconds
# The timer's signal as ever, but without the dump: it comes while frames move, which may crash CPython, and
# here not because nothing else had a turn in a tenth of a second but in a few milliseconds.
watchdog.Signals.renew = lambda signals: None

mode, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
random.seed(seed)
lines, done, faults, invocations = [], set(), [], []

class HandlersOwn(Exception):
    pass

def spin(until):
    while time.perf_counter() < until:
        pass

def wait(until):
    time.sleep(max(until - time.perf_counter(), 0))

def compute(until):
    while time.perf_counter() < until:
        sorted(range(300), key=lambda one: -one)

def pool(until):
    lock = threading.Lock()
    while time.perf_counter() < until:
        with lock:
            str(until)

def work(name, until):
    random.choice((spin, wait, compute, pool))(until)
    kind = random.random()
    if kind < 0.1:
        raise HandlersOwn(name)
    done.add(name)
    return None if mode == "messages" else name

def a_message(body, call):
    return work(call.message_id, time.perf_counter() + budget * 1.5 * random.random() ** 3)

def an_event(event, context):
    return work(context.aws_request_id, ends - margin + random.uniform(-0.004, 0.002))

class Safe:
    def store(self, record, rejection):
        raise AssertionError

sys.modules["function"] = types.SimpleNamespace(a_message=a_message, an_event=an_event)
function = "function.a_message" if mode == "messages" else "function.an_event"
handler = build(
    {"RESILIENT_HANDLER": function, "RESILIENT_MODE": mode, "AWS_LAMBDA_FUNCTION_NAME": "f"},
    emit=lines.append,
    dead_letters=Safe(),
)
over = False

def stray():
    while not over:
        time.sleep(random.uniform(0, 0.004))
        _thread.interrupt_main(signal.SIGALRM)

number = 0
end = time.perf_counter() + seconds
strays = None
while time.perf_counter() < end:
    number += 1
    budget = random.uniform(0.01, 0.03)
    began = time.perf_counter()
    ends = began + budget
    context = types.SimpleNamespace(
        aws_request_id=f"r{number}",
        get_remaining_time_in_millis=lambda: (ends - time.perf_counter()) * 1000,
    )
    names = [f"m{number}-{index}" for index in range(5)]
    event = {"Records": [{"messageId": one, "body": "{}", "attributes": {}} for one in names]}
    error = answer = None
    try:
        answer = handler(event if mode == "messages" else {}, context)
    except BaseException as raised:
        error = raised
    for _ in range(random.randrange(40)):
        pass  # a late one would come here, or in the next invocation
    invocations.append((context.aws_request_id, names, answer, error))
    if number == 1:
        strays = threading.Thread(target=stray, daemon=True)
        strays.start()
over = True
strays.join()
time.sleep(0.05)
of = {}
for line in lines:
    record = json.loads(line)
    of.setdefault(record.get("request_id"), []).append(record)
interrupted = 0
for number, (request_id, names, answer, error) in enumerate(invocations, 1):
    # The record of a deadline may come late, when its invocation is over, but it is told of that one.
    records = of.pop(request_id)
    told = {}
    for record in records:
        if record["status"] not in ("DEADLINE", "HEALTH"):
            told.setdefault(record.get("message_id", record["request_id"]), []).append(record)
    deadlines = [record for record in records if record["status"] == "DEADLINE"]
    cut = [r for r in records if r["status"] == "FAILED" and "DeadlineExceeded" in r["error"]]
    interrupted += bool(cut)
    if sum(record["DeadlineExceeded"] for record in deadlines) > 1:
        faults.append(f"{number}: counted twice")
    if len(cut) > 1:
        faults.append(f"{number}: interrupted {len(cut)} messages")
    for record in cut:
        left = float(record["error"].split(" s, ")[1].split(" s before")[0])
        if left > margin + 0.0051:
            faults.append(f"{number}: interrupted {left} s before the end")
        if not deadlines and "before the handler began" not in record["error"]:
            faults.append(f"{number}: interrupted untold")
    for name in names if mode == "messages" else [request_id]:
        statuses = [record["status"] for record in told.get(name, [])]
        if mode == "messages":
            returned = [one["itemIdentifier"] for one in answer["batchItemFailures"]] if answer else names
            expected = ["STARTED", "FAILED" if name in returned else "COMPLETED"]
            if statuses == ["HELD"]:
                expected = ["HELD"]
            if error is not None or returned.count(name) > 1:
                faults.append(f"{number}: {error!r} {returned}")
            if name not in returned and name not in done:
                faults.append(f"{number}: {name} is lost")
            if statuses == ["HELD"] and name not in returned:
                faults.append(f"{number}: {name} is held and not returned")
        else:
            expected = ["STARTED", "FAILED" if error is not None else "COMPLETED"]
            late = type(error).__name__ == "InvocationTimedOut"
            if error is not None and not late and not isinstance(error, HandlersOwn):
                faults.append(f"{number}: {error!r} reached Lambda")
            if bool(cut) != late or (error is None and answer != name):
                faults.append(f"{number}: told {cut}, but the caller saw {error!r} {answer!r}")
        if statuses != expected:
            faults.append(f"{number}: {name} is told as {statuses}, not {expected}")
if of:
    faults.append(f"records of {sorted(of)}")
print(json.dumps({"invocations": number, "interrupted": interrupted, "faults": faults[:20]}))
"""


def _hammered(mode: str, seed: int, seconds: float) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_INVOCATIONS), mode, str(seed), str(seconds)],
        env={"PYTHONPATH": str(_RUNTIME)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + seconds,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("mode", ["event", "messages"])
def test_whatever_the_moment_each_outcome_is_told_once_and_is_what_the_caller_saw(mode: str) -> None:
    """No interruption is lost, doubled, told of another invocation or raised outside of the handler."""
    said = _hammered(mode, seed=1, seconds=3)
    assert said["faults"] == []
    assert said["invocations"] > 30
    assert said["interrupted"] > 5
