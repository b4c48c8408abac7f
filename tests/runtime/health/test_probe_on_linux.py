from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from resilient_runtime.health import probe as probe_module
from resilient_runtime.health.probe import Probe, Reading

MB = 1024 * 1024


@pytest.mark.parametrize("exactly", [False, True])
def test_each_figure_follows_what_the_process_does(exactly: bool) -> None:
    """A descriptor, a thread, and megabytes more are seen, and seen to go again."""
    probe = Probe(Reading(descriptors=100_000, memory=128 * MB, threads=1024))
    read = probe.read_exactly if exactly else probe.read
    before = read()
    files = [tempfile.TemporaryFile() for _ in range(20)]  # noqa: SIM115
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    # Not from the heap: a test run that has freed much before may have these pages already.
    held = mmap.mmap(-1, 20 * MB)
    held.write(b"x" * (20 * MB))
    during = read()
    assert None not in (before.descriptors, before.memory, before.threads)
    assert during.descriptors - before.descriptors == 20  # type: ignore[operator]
    assert 15 * MB < during.memory - before.memory < 60 * MB  # type: ignore[operator]
    held.close()
    stop.set()
    for thread in threads:
        thread.join()
    for file in files:
        file.close()
    assert during.threads is not None
    # A thread that was joined is still seen for the moment that the kernel takes to end it.
    moment = threading.Event()
    assert any(read().threads == during.threads - 3 or moment.wait(0.01) for _ in range(200))
    assert read().descriptors == before.descriptors


def test_a_started_process_counts_like_a_thread_until_it_is_waited_for() -> None:
    """Processes and threads share one limit; a process that ended counts until somebody waits for it."""
    probe = Probe(Reading(threads=1024))
    before = probe.read_exactly().threads
    assert before is not None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert probe.read_exactly().threads == before + 1
    finally:
        child.communicate(b"\n")
    assert probe.read_exactly().threads == before


def test_a_probe_whose_descriptors_were_closed_by_somebody_takes_hold_anew() -> None:
    """A handler that closes every descriptor does not blind the probe."""
    probe = Probe(Reading(memory=128 * MB))
    os.close(probe._statm)
    assert probe.read().memory is not None
    probe.close()


def test_a_process_with_no_descriptor_left_reads_its_limit(tmp_path: Path) -> None:
    """Where not even a look is possible any more, that is the answer: all of them are in use."""
    script = (
        "import resource, os\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "from resilient_runtime.health.probe import Probe, limits_of\n"
        "probe = Probe(limits_of({}))\n"
        "try:\n"
        "    while True: os.dup(0)\n"
        "except OSError: pass\n"
        "print(probe.read().descriptors, probe.limits.descriptors)\n"
    )
    runtime = Path(probe_module.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(runtime)},
    )
    assert done.stdout.split() == ["64", "64"]
