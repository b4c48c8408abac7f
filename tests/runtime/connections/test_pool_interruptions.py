from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
from pretended import Connection, Server
from resilient_runtime.connections import Pool, pool


def apart(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a thread of its own.

    An exception out of a trace function leaves CPython's stack of handled exceptions unbalanced, and every
    later exception of that thread would have a strange context.
    """

    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        with ThreadPoolExecutor(1) as alone:
            alone.submit(test, *args, **named).result()

    return run


class Interrupt(BaseException):
    """What a deadline raises, at any place."""


def interrupted_at(line: int, work: Callable[[], None]) -> bool:
    """Do the work, and interrupt it before the so-manieth line of the pool's; whether it was."""
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename != pool.__file__:
            return None
        if event == "line":
            seen += 1
            if seen == line:
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def fresh(server: Server, lent: Pool[Connection]) -> None:
    """The first block opens a connection."""


def kept(server: Server, lent: Pool[Connection]) -> None:
    """A later block finds one."""
    with lent():
        pass


def asked(server: Server, lent: Pool[Connection]) -> None:
    """After a pause the connection is asked."""
    kept(server, lent)
    server.time.passes(10)


def dead(server: Server, lent: Pool[Connection]) -> None:
    """After a pause the connection is dead."""
    asked(server, lent)
    server.open[0].alive = False


def old(server: Server, lent: Pool[Connection]) -> None:
    """The connection has reached its age."""
    kept(server, lent)
    server.time.passes(1000)


@pytest.mark.parametrize("before", [fresh, kept, asked, dead, old])
@pytest.mark.parametrize("end", [None, ValueError])
@apart
def test_an_interruption_at_any_line_loses_no_place(
    before: Callable[[Server, Pool[Connection]], None], end: type[Exception] | None
) -> None:
    """Wherever in the pool a deadline strikes, the next block gets a connection, and one alone is open."""
    line, struck = 0, True
    while struck:
        line += 1
        server = Server()
        lent = server.pool(limit=1)
        before(server, lent)

        def work(lent: Pool[Connection] = lent) -> None:
            with lent():
                if end is not None:
                    raise end

        try:
            struck = interrupted_at(line, work)
        except ValueError:
            struck = False
        with lent() as connection:
            assert not connection.closed
            assert len(server.open) == 1
        lent.close()
        assert server.open == []
    assert line > 30


@apart
def test_an_interruption_while_waiting_leaves_the_pool_to_the_others() -> None:
    """Whoever is interrupted in the queue is out of it, and the lock is free."""
    server = Server()
    lent = server.pool(limit=1)
    entered, until = threading.Event(), threading.Event()

    def hold() -> None:
        with lent():
            entered.set()
            until.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(10)

    def work() -> None:
        with lent():
            pytest.fail("there was none to give")

    # the lines before the wait are struck one after the other, and with them the one that waits
    struck = [interrupted_at(line, work) for line in range(1, 25)]
    until.set()
    thread.join(10)
    assert all(struck)
    with lent() as connection:
        assert len(server.open) == 1
        assert not connection.closed
