from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from resilient_runtime.health import probe as probe_module
from resilient_runtime.health.probe import Probe, Reading, limits_of

linux = sys.platform == "linux"
MB = 1024 * 1024


def test_lambdas_limits_are_those_of_the_process_and_of_its_settings() -> None:
    """Memory is the function's, descriptors what the process may open; without a setting, none is known."""
    limits = limits_of({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"})
    assert limits.memory == 128 * MB
    assert limits.threads == (1024 if linux else None)
    assert limits_of({}).memory is None
    assert limits_of({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much"}).memory is None


@pytest.mark.parametrize(
    ("megabytes", "own", "counts"),
    [(526, True, True), (10_240, True, True), (20_000, True, False), (526, False, False)],
)
def test_only_a_tmp_that_lambda_could_have_made_counts(
    megabytes: int, own: bool, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine's disk, and a folder on the root's own file system, are no Lambda's /tmp."""
    blocks = megabytes * MB // 4096
    found = os.statvfs_result((4096, 4096, blocks, blocks, blocks, 0, 0, 0, 0, 255))
    monkeypatch.setattr(probe_module.os, "statvfs", lambda path: found)
    real = os.stat

    def stat(path: str) -> os.stat_result:
        result = list(real("/"))
        result[2] = 7 if own and path == "/tmp" else 1
        return os.stat_result(result)

    monkeypatch.setattr(probe_module.os, "stat", stat)
    assert (limits_of({}).tmp is not None) == counts


def test_nothing_is_known_where_there_is_no_proc() -> None:
    """On macOS there is no /proc: the figures are None, and nothing is raised."""
    probe = Probe(Reading(None, 128 * MB, None, 1024), proc="/nowhere")
    assert probe.read() == probe.read_exactly() == Reading()
    assert probe.peak_memory() is None


@pytest.mark.skipif(not linux, reason="/proc is Linux's")
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
    held = bytearray(b"x") * (20 * MB)
    during = read()
    assert None not in (before.descriptors, before.memory, before.threads)
    assert during.descriptors - before.descriptors == 20  # type: ignore[operator]
    assert 15 * MB < during.memory - before.memory < 60 * MB  # type: ignore[operator]
    del held
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


@pytest.mark.skipif(not linux, reason="/proc is Linux's")
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


@pytest.mark.skipif(not linux, reason="/proc is Linux's")
def test_a_probe_whose_descriptors_were_closed_by_somebody_takes_hold_anew() -> None:
    """A handler that closes every descriptor does not blind the probe."""
    probe = Probe(Reading(memory=128 * MB))
    os.close(probe._statm)
    assert probe.read().memory is not None
    probe.close()


@pytest.mark.skipif(not linux, reason="RLIMIT_NOFILE is lowered in another process")
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


def test_many_small_files_fill_tmp_like_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of inodes counts where it is higher than that of bytes."""
    found = os.statvfs_result((4096, 4096, 1000, 900, 900, 100, 20, 20, 0, 255))
    monkeypatch.setattr(probe_module.os, "statvfs", lambda path: found)
    probe = Probe(Reading(tmp=4_096_000), proc="/nowhere")
    assert probe.read().tmp == int(0.8 * 4_096_000)
