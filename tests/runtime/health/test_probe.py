from __future__ import annotations

import os
import sys

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


def test_many_small_files_fill_tmp_like_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of inodes counts where it is higher than that of bytes."""
    found = os.statvfs_result((4096, 4096, 1000, 900, 900, 100, 20, 20, 0, 255))
    monkeypatch.setattr(probe_module.os, "statvfs", lambda path: found)
    probe = Probe(Reading(tmp=4_096_000), proc="/nowhere")
    assert probe.read().tmp == int(0.8 * 4_096_000)
