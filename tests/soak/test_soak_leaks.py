"""What a soak says of leaking and of clean handlers, on AWS's own runtime binary."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from resilient_constructs.soak import ExecutionEnvironment
from resilient_constructs.soak.options import orders_from
from resilient_constructs.soak.orders import Orders
from resilient_constructs.soak.run import soak
from resilient_constructs.soak.story import Story

pytestmark = pytest.mark.rie

HANDLERS = Path(__file__).parent / "handlers"
_OF_THEM = {
    "descriptor": "descriptors",
    "cycle_without_collector": "descriptors",
    "tmp": "tmp",
    "memory": "memory",
    "small_objects": "memory",
    "needs_more_while_it_runs": "descriptors",
}


def orders(handler: str, invocations: int, **others: object) -> Orders:
    """Orders for a handler of these tests, with little /tmp and time enough for a busy machine."""
    given = Orders(
        handler=handler, path=HANDLERS, event={}, invocations=invocations, tmp=64, timeout=20, engine="rie"
    )
    return replace(given, **others)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def failures() -> dict[str, int]:
    """The invocations at which the leaky handlers really fail."""
    found = {}
    for handler in _OF_THEM:
        with ExecutionEnvironment(f"leaky.{handler}", path=HANDLERS, tmp=64, timeout=20) as environment:
            found[handler] = next(n for n in range(1, 3000) if environment.invoke({}).error is not None)
    return found


def _is_near(story: Story, failed_at: int) -> bool:
    foretold = story.predicted
    assert foretold is not None
    assert foretold.fails_at is not None
    return abs(foretold.fails_at - failed_at) <= 0.1 * failed_at


@pytest.mark.parametrize("handler", list(_OF_THEM))
def test_a_tenth_of_the_way_tells_the_failing_invocation(handler: str, failures: dict[str, int]) -> None:
    """After a tenth of the invocations that it survives, a handler's failure is foretold within a tenth."""
    story = soak(orders(f"leaky.{handler}", failures[handler] // 10))
    assert story.leak == _OF_THEM[handler]
    assert story.failed_at is None
    assert _is_near(story, failures[handler])


def test_what_leaks_is_put_down_to_its_line() -> None:
    """The line that opened, wrote or allocated what stays is named, with how much it was."""
    descriptor = soak(orders("leaky.descriptor", 20)).culprits[0]
    assert (descriptor.what, descriptor.count) == ("/dev/null", 20)
    assert descriptor.where.startswith("leaky.py:")
    assert descriptor.where.endswith(" in descriptor")
    tmp = soak(orders("leaky.tmp", 6)).culprits[0]
    assert tmp.what == "/tmp/*.bin"
    assert tmp.size == tmp.count << 20
    assert tmp.where.endswith(" in tmp")
    memory = soak(orders("leaky.memory", 11)).culprits[0]
    assert memory.where.startswith("leaky.py:")
    assert memory.size >= 20 << 20


def test_a_connection_is_put_down_to_its_peer() -> None:
    """A socket that stays open is told with the address at its other end."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        accepted: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    accepted.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        story = soak(orders("leaky.connection", 20, event={"address": address}))
        for one in accepted:
            one.close()
    assert story.leak == "descriptors"
    assert story.culprits[0].what == f"socket to {address}"


def test_threads_that_stay_are_a_leak() -> None:
    """A thread per invocation that never ends is foretold from Lambda's 1,024."""
    story = soak(orders("leaky.thread", 100))
    assert story.leak == "threads"
    assert story.predicted is not None
    assert 1020 <= (story.predicted.fails_at or 0) <= 1027


def test_a_leak_now_and_then_has_a_wide_interval() -> None:
    """A descriptor in one of five invocations is found, and its failure lies in the interval."""
    story = soak(orders("leaky.now_and_then", 400))
    assert story.leak == "descriptors"
    assert story.predicted is not None
    assert story.predicted.interval is not None
    low, high = story.predicted.interval
    assert low <= 1019 * 5 <= high


def test_garbage_that_is_collected_in_time_is_no_leak() -> None:
    """Sockets in reference cycles pile up until the collector comes, which is known before it has come."""
    story = soak(orders("leaky.cycle", 60))
    assert story.clean
    assert "garbage collector" in story.notes[0]
    assert soak(orders("leaky.cycle", 600)).clean


@pytest.mark.parametrize(
    ("handler", "invocations"),
    [
        ("boto3_client", 120),
        ("powertools", 300),
        ("files", 300),
        ("temporary_files", 300),
        ("threads", 200),
        ("urllib3_pool", 200),
        ("json_churn", 200),
        ("filling_cache", 800),
        ("sqlite", 200),
        ("gzipped", 200),
        ("child_process", 100),
        ("uneven_memory", 200),
        ("cycles", 500),
    ],
)
def test_a_clean_handler_is_called_clean(handler: str, invocations: int, stub: str) -> None:
    """Clients, pools, threads, files, caches that fill up and garbage that is collected are no leak."""
    story = soak(orders(f"clean.{handler}", invocations, memory=256, env={"STUB": stub}))
    assert story.error is None
    assert story.clean, story.to_json()
    assert story.culprits == []


def test_a_failure_without_a_leak_is_a_failure() -> None:
    """A handler that raises has failed at that invocation, and nothing is said to leak."""
    story = soak(orders("leaky.fails_the_third_time", 50))
    assert story.to_json() == {"leak": None, "fails_at": None, "interval": None, "failed_at": 3}
    assert story.error is not None
    assert story.error.message == "the third one"


_NUMBERS = {"invocations": 60, "memory": 256, "tmp": 64, "descriptors": 1024, "timeout": 20}


@pytest.mark.parametrize(("function", "clean"), [("message", False), ("returned", False)])
def test_a_handler_of_messages_is_soaked_by_the_runtime(function: str, clean: bool, tmp_path: Path) -> None:
    """A handler that takes (body, call) is given messages; one that is returned is a failure."""
    event = tmp_path / "body.json"
    event.write_text('{"order": 1}')
    given = orders_from(
        f"leaky:{function}",
        event=event,
        path=HANDLERS,
        env=[],
        engine="rie",
        wrapped=False,
        mode="messages",
        numbers=_NUMBERS,
    )
    story = soak(given)
    assert story.clean == clean
    if function == "message":
        assert story.leak == "descriptors"
    else:
        assert story.failed_at == 1


def test_a_wrapped_handler_that_leaks_is_cured() -> None:
    """Under the runtime a leak is recycled before it fails: no failure, and it is told all the same."""
    given = orders_from(
        "leaky:descriptor",
        event=None,
        path=HANDLERS,
        env=[],
        engine="rie",
        wrapped=True,
        mode="event",
        numbers={**_NUMBERS, "invocations": 300, "descriptors": 128},
    )
    story = soak(given)
    assert story.clean
    assert story.recycles > 0
    assert "each invocation leaves 1 descriptor behind" in story.notes[0]
