# ruff: noqa: D103, PTH123  (handlers as users write them; their names say what they do)
"""Handlers that lose something in each invocation, one kind each."""

import os
import socket
import threading
import time

_kept = []
_calls = 0


def descriptor(event, context):
    _kept.append(os.open("/dev/null", os.O_RDONLY))


def cycle(event, context):
    """A socket in a reference cycle: freed by the garbage collector, or never."""
    session = {"socket": socket.socket()}
    session["self"] = session


def cycle_without_collector(event, context):
    import gc

    gc.disable()  # as is recommended here and there against its pauses
    cycle(event, context)


def tmp(event, context):
    with open(f"/tmp/{context.aws_request_id}.bin", "wb") as file:
        file.write(bytes(1 << 20))


def memory(event, context):
    _kept.append(bytearray(b"x") * (1 << 20))


def small_objects(event, context):
    _kept.append([str(number) for number in range(6_000)])


def now_and_then(event, context):
    global _calls
    _calls += 1
    if _calls % 5 == 0:
        _kept.append(os.open("/dev/null", os.O_RDONLY))


def thread(event, context):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


def connection(event, context):
    host, _, port = event["address"].partition(":")
    _kept.append(socket.create_connection((host, int(port))))


def needs_more_while_it_runs(event, context):
    """Leaves one descriptor behind, and has a hundred open for a moment."""
    _kept.append(os.open("/dev/null", os.O_RDONLY))
    for number in [os.open("/dev/zero", os.O_RDONLY) for _ in range(100)]:
        os.close(number)


def fails_the_third_time(event, context):
    _kept.append(1)
    if len(_kept) == 3:
        raise ValueError("the third one")


def message(body, call):
    _kept.append(os.open("/dev/null", os.O_RDONLY))


def returned(body, call):
    raise ValueError("come back later")
