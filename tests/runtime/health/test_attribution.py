from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.health.attribution import Suspects
from resilient_runtime.health.memory import Snapshot, grown, lines_of_open
from resilient_runtime.health.names import pattern_of
from resilient_runtime.health.tmp import Inventory

CACHE: list[bytes] = []


def counted(found: list[dict[str, Any]]) -> dict[str, int]:
    """The suspects and how many there are of each."""
    return {one["what"]: one["count"] for one in found}


def test_open_files_are_told_by_the_pattern_of_their_path(tmp_path: Path) -> None:
    """Twenty numbered files are one suspect; what was open before is none."""
    old = (tmp_path / "old.txt").open("w")
    suspects = Suspects(None)
    suspects.note()
    files = [(tmp_path / f"page-{number}.html").open("w") for number in range(20)]
    found = counted(suspects.of("descriptors"))
    assert found[pattern_of(str(tmp_path / "page-1.html"))] == 20
    assert not any("old.txt" in what for what in found)
    for file in (*files, old):
        file.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_sockets_are_told_by_their_peer(address: str) -> None:
    """A pool that grows names the server it is connected with."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        suspects = Suspects(None)
        suspects.note()
        clients = [socket.create_connection(server.getsockname()[:2]) for _ in range(3)]
        port = server.getsockname()[1]
        expected = (
            f"tcp 127.0.0.1:{port} ESTABLISHED"
            if family == socket.AF_INET
            else f"tcp6 [::1]:{port} ESTABLISHED"
        )
        assert counted(suspects.of("descriptors"))[expected] == 3
        for client in clients:
            client.close()


def test_pipes_and_unconnected_sockets_have_names_too() -> None:
    """What has neither path nor peer is told by its kind."""
    suspects = Suspects(None)
    suspects.note()
    ends = os.pipe()
    lonely = socket.socket()
    found = counted(suspects.of("descriptors"))
    assert found["pipe"] == 2
    assert found["a socket that is not connected"] == 1
    lonely.close()
    for end in ends:
        os.close(end)


def test_what_fills_tmp_is_told_by_name_and_size(tmp_path: Path) -> None:
    """The pattern with the most bytes comes first."""
    inventory = Inventory(str(tmp_path))
    inventory.take(fresh=0)
    for number in range(4):
        (tmp_path / f"page-{number}.html").write_bytes(b"x" * 8192)
        (tmp_path / f"mark-{number}.txt").write_bytes(b"x")
    first, second = Suspects(inventory).of("tmp")
    assert first == {"what": pattern_of(f"{tmp_path}/page-1.html"), "count": 4, "bytes": 4 * 8192}
    assert second["count"] == 4


def test_threads_and_processes_are_told_by_name_without_arguments() -> None:
    """What was running before is none of it; an argument may be a secret."""
    suspects = Suspects(None)
    suspects.note()
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait, name=f"flusher-{number}") for number in range(3)]
    for thread in threads:
        thread.start()
    child = subprocess.Popen([sys.executable, "-c", "input()", "password"], stdin=subprocess.PIPE)
    try:
        found = counted(suspects.of("threads"))
    finally:
        stop.set()
        child.communicate(b"\n")
    assert found["thread flusher-*"] == 3
    assert any(what.startswith("process ") for what in found)
    assert "password" not in str(found)


def test_a_list_that_grows_is_told_by_its_module_and_weight() -> None:
    """Texts and bytes are invisible to the garbage collector; the list that holds them is not."""
    CACHE.clear()
    CACHE.extend(b"x" for _ in range(20))
    before = Snapshot.take()
    CACHE.extend(bytes(1_000_000) for _ in range(30))
    try:
        worst = grown(before)[0]
    finally:
        CACHE.clear()
    assert worst["what"] == f"list {__name__}.CACHE"
    assert worst["count"] == 30
    assert worst["bytes"] > 10_000_000


class Order:
    """What a handler might keep."""

    def __init__(self) -> None:
        self.lines: list[int] = []


def test_a_type_that_grows_is_told() -> None:
    """Two thousand more objects of one class are a suspect."""
    before = Snapshot.take()
    kept = [Order() for _ in range(2000)]
    found = counted(grown(before))
    assert found[f"objects of {__name__}.Order"] == len(kept)


def test_with_traced_allocations_the_line_is_told() -> None:
    """Where tracing is on, the first suspect is the line that allocated."""
    import tracemalloc

    tracemalloc.start()
    try:
        before = Snapshot.take()
        kept = [bytes(1_000_000) for _ in range(20)]
        first = grown(before)[0]
        opened = [socket.socket() for _ in range(3)]
        lines = lines_of_open()
    finally:
        tracemalloc.stop()
    assert first["what"].startswith(f"allocated at {__file__}:")
    assert first["bytes"] >= 1_000_000 * len(kept)
    assert any(one["count"] >= 3 and "socket opened at" in one["what"] for one in lines)
    for one in opened:
        one.close()


def test_without_tracing_no_lines_are_invented() -> None:
    """Nothing is said about lines when nobody traced them."""
    assert lines_of_open() == []


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("/tmp/page-000017.html", "/tmp/page-*.html"),
        ("/tmp/tmpab12_xyz", "/tmp/tmp*"),
        ("/tmp/123e4567-e89b-12d3-a456-426614174000.json", "/tmp/*.json"),
        ("https://host/path?token=secret", "https://host/path"),
        ("/dev/null", "/dev/null"),
    ],
)
def test_a_pattern_keeps_what_names_have_in_common(name: str, pattern: str) -> None:
    """Numbers, random parts and queries go, the rest stays."""
    assert pattern_of(name) == pattern


@given(st.text())
def test_a_pattern_never_shows_a_query(text: str) -> None:
    """What follows a question mark is not told, whatever it is."""
    assert "secret" not in pattern_of(f"/path?{text}secret")
