"""What a wheel must fit."""

from __future__ import annotations

import pytest

from resilient_constructs.assets import AssetError, Target, target_for


def test_amazon_linux_2023() -> None:
    """From Python 3.12 on a wheel may ask for glibc 2.34, the one of Amazon Linux 2023, and for no newer."""
    tags = list(Target(python="3.13", architecture="arm64").platform_tags())
    assert tags[0] == "manylinux_2_34_aarch64"
    assert {"manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"} <= set(tags)
    assert not any(tag.startswith("manylinux_2_35") for tag in tags)


def test_amazon_linux_2() -> None:
    """Python 3.11 runs on Amazon Linux 2, whose glibc is 2.26."""
    tags = list(Target(python="3.11", architecture="x86_64").platform_tags())
    assert tags[0] == "manylinux_2_26_x86_64"
    assert "manylinux_2_28_x86_64" not in tags


def test_oldest_tags() -> None:
    """x86_64 also takes the wheels of the first manylinux, which arm64 never had."""
    assert "manylinux1_x86_64" in Target(python="3.13", architecture="x86_64").platform_tags()
    assert not any(
        "manylinux1_" in tag for tag in Target(python="3.13", architecture="arm64").platform_tags()
    )


def test_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """RESILIENT_BUILD_FOR=host means this machine, with a cache key of its own."""
    there = target_for("3.13", "arm64")
    monkeypatch.setenv("RESILIENT_BUILD_FOR", "host")
    here = target_for("3.13", "arm64")
    assert (there.host, here.host) == (False, True)
    assert there.key != here.key


def test_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other word in RESILIENT_BUILD_FOR is refused rather than ignored."""
    monkeypatch.setenv("RESILIENT_BUILD_FOR", "hots")
    with pytest.raises(AssetError, match="'hots'; allowed: 'host'"):
        target_for("3.13", "arm64")


def test_keys_differ() -> None:
    """Each Python and each architecture has its own key."""
    keys = {
        Target(python=python, architecture=architecture).key
        for python in ("3.11", "3.12", "3.13")
        for architecture in ("arm64", "x86_64")
    }
    assert len(keys) == 6
