"""The layer and the functions' code: reproducible, complete, and offline once cached."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resilient_constructs.assets import Asset, AssetError, Target, build, function_asset, runtime_layer_asset
from resilient_constructs.assets.installer import Installer

if TYPE_CHECKING:
    from conftest import MakeWheel

ARM = Target(python="3.13", architecture="arm64")
INTEL = Target(python="3.13", architecture="x86_64")
HOST = Target(python="3.13", architecture="arm64", host=True)


def pack(folder: Path, *, target: Target = ARM, installer: Installer | None = None) -> Asset:
    """The asset of a handler's folder."""
    return function_asset(folder, owner="ResilientFunction 'D'", target=target, installer=installer)


def names(asset: Asset) -> list[str]:
    """What is in it."""
    with zipfile.ZipFile(asset.path) as archive:
        return archive.namelist()


def require(folder: Path, wheels: Path, *lines: str) -> None:
    """List dependencies that are found in a folder of wheels and nowhere else."""
    options = ("--no-index", f"--find-links {wheels}")
    (folder / "requirements.txt").write_text("\n".join((*options, *lines)) + "\n")


def test_no_dependencies(handlers: Path, broken_installer: Installer) -> None:
    """A folder without dependencies is packed without any installer."""
    assert names(pack(handlers, installer=broken_installer)) == ["delivery.py"]


def test_what_is_left_out(handlers: Path) -> None:
    """Caches, virtual environments, tests, version control and secrets stay out of the function."""
    for path in (
        "__pycache__/delivery.cpython-313.pyc",
        ".venv/lib/a.py",
        "tests/test_a.py",
        ".git/HEAD",
        ".env",
    ):
        (handlers / path).parent.mkdir(parents=True, exist_ok=True)
        (handlers / path).write_text("x")
    assert names(pack(handlers)) == ["delivery.py"]


def test_own_exclude(handlers: Path) -> None:
    """What the user excludes is left out besides."""
    (handlers / "big.csv").write_text("1")
    target = Target(python="3.13", architecture="arm64")
    asset = function_asset(handlers, owner="o", target=target, exclude=["*.csv"])
    assert names(asset) == ["delivery.py"]


def test_too_large(handlers: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Code that Lambda would refuse for its size is refused before anything is deployed, and not cached."""
    monkeypatch.setattr(build, "MAX_UNZIPPED_BYTES", 10)
    for _ in range(2):
        with pytest.raises(AssetError, match=r"ResilientFunction 'D': .* bytes unzipped; .* at most 10"):
            pack(handlers)
    assert list(cache.glob("*.zip")) == []


def test_dependencies(handlers: Path, make_wheel: MakeWheel, installer: Installer) -> None:
    """Dependencies and theirs lie beside the handler, without scripts and the installer's own notes."""
    make_wheel("lower")
    require(handlers, make_wheel("upper", requires=["lower"]), "upper==1.0")
    assert names(pack(handlers, installer=installer)) == [
        "delivery.py",
        "lower-1.0.dist-info/METADATA",
        "lower-1.0.dist-info/WHEEL",
        "lower.py",
        "requirements.txt",
        "upper-1.0.dist-info/METADATA",
        "upper-1.0.dist-info/WHEEL",
        "upper.py",
    ]


def test_markers_of_the_function(handlers: Path, make_wheel: MakeWheel, installer: Installer) -> None:
    """A dependency's conditions are those of Lambda's Linux and Python, not of the machine that builds."""
    make_wheel("arm_only")
    make_wheel("mac_only")
    make_wheel("new_python_only")
    make_wheel("old_python_only")
    wheels = make_wheel(
        "upper",
        requires=[
            'arm_only; platform_machine == "aarch64"',
            'mac_only; sys_platform == "darwin"',
            'new_python_only; python_version >= "3.13"',
            'old_python_only; python_version < "3.13"',
        ],
    )
    require(handlers, wheels, "upper")
    assert {"arm_only.py", "new_python_only.py"} <= set(names(pack(handlers, installer=installer)))
    assert not {"mac_only.py", "old_python_only.py"} & set(names(pack(handlers, installer=installer)))


def test_architecture(handlers: Path, make_wheel: MakeWheel, installer: Installer) -> None:
    """Each architecture gets the wheel that was made for it."""
    for machine in ("aarch64", "x86_64"):
        make_wheel("fast", tag=f"cp313-cp313-manylinux_2_28_{machine}", files={"fast.py": machine})
    require(handlers, make_wheel("other"), "fast")
    for target, machine in ((ARM, b"aarch64"), (INTEL, b"x86_64")):
        with zipfile.ZipFile(pack(handlers, target=target, installer=installer).path) as archive:
            assert archive.read("fast.py") == machine


@pytest.mark.parametrize(
    "tag",
    [
        "cp313-cp313-manylinux_2_28_x86_64",
        "cp313-cp313-manylinux_2_39_aarch64",
        "cp312-cp312-macosx_11_0_arm64",
    ],
)
def test_no_fitting_wheel(handlers: Path, make_wheel: MakeWheel, installer: Installer, tag: str) -> None:
    """A wheel for another processor, a newer C library or another system is refused with the remedy."""
    require(handlers, make_wheel("fast", tag=tag), "fast==1.0")
    with pytest.raises(AssetError, match=r"ResilientFunction 'D': fast.*Python 3.13 on arm64 Linux.*Pin"):
        pack(handlers, installer=installer)


def test_host(handlers: Path, make_wheel: MakeWheel, installer: Installer) -> None:
    """For the host the wheels of this machine are taken, and kept apart from the function's."""
    make_wheel("lower")
    wheels = make_wheel("upper", requires=['lower; platform_machine != "riscv64"'])
    require(handlers, wheels, "upper")
    assert "lower.py" in names(pack(handlers, target=HOST, installer=installer))


def test_offline_once_cached(
    handlers: Path, make_wheel: MakeWheel, installer: Installer, broken_installer: Installer
) -> None:
    """Once cached nothing is fetched again, not even when the handler itself was edited."""
    require(handlers, make_wheel("upper"), "upper")
    first = pack(handlers, installer=installer)
    assert pack(handlers, installer=broken_installer) == first
    (handlers / "delivery.py").write_text("def deliver(order, call):\n    return 1\n")
    edited = pack(handlers, installer=broken_installer)
    assert edited.hash != first.hash
    assert "upper.py" in names(edited)


def test_offline_and_not_cached(handlers: Path, make_wheel: MakeWheel, broken_installer: Installer) -> None:
    """Offline and not cached, the error says that one build with a network is needed."""
    require(handlers, make_wheel("upper"), "upper")
    with pytest.raises(AssetError, match="no package index could be reached"):
        pack(handlers, installer=broken_installer)


def test_changed_pin(handlers: Path, make_wheel: MakeWheel, installer: Installer) -> None:
    """Another version asked for is another asset."""
    make_wheel("upper", "1.0")
    wheels = make_wheel("upper", "2.0")
    require(handlers, wheels, "upper==1.0")
    first = pack(handlers, installer=installer)
    require(handlers, wheels, "upper==2.0")
    assert pack(handlers, installer=installer).hash != first.hash


def test_own_file_wins(handlers: Path, make_wheel: MakeWheel, installer: Installer) -> None:
    """A module of the user's own stands before one of the same name in a dependency."""
    require(handlers, make_wheel("delivery", "9.0"), "delivery")
    with zipfile.ZipFile(pack(handlers, installer=installer).path) as archive:
        assert b"def deliver" in archive.read("delivery.py")


def test_reproducible_function(
    handlers: Path,
    make_wheel: MakeWheel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    installer: Installer,
) -> None:
    """The same handler built in another folder, cache and installer run is the same to the byte."""
    require(handlers, make_wheel("upper"), "upper")
    first = pack(handlers, installer=installer)
    moved = handlers.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("RESILIENT_CACHE", str(tmp_path / "another cache"))
    second = pack(moved)
    assert second.path != first.path
    assert second.hash == first.hash
    assert second.path.read_bytes() == first.path.read_bytes()


@pytest.fixture
def tiny_runtime(tmp_path: Path, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The layer's pinned requirements replaced by one local wheel, without its hash."""
    wheels = make_wheel("pinned")
    listed = tmp_path / "runtime-requirements.txt"
    listed.write_text(f"--no-index\n--find-links {wheels}\npinned==1.0 --hash=sha256:{sha256_of(wheels)}\n")
    monkeypatch.setattr(build, "RUNTIME_REQUIREMENTS", listed)
    return listed


def sha256_of(wheels: Path) -> str:
    """The hash of the one wheel in the folder."""
    (wheel,) = wheels.iterdir()
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_layer(tiny_runtime: Path, installer: Installer) -> None:
    """The layer has the runtime and its dependencies below ``python/``, and no compiled or cached file."""
    inside = names(runtime_layer_asset(installer=installer))
    assert {
        "python/resilient_runtime/__init__.py",
        "python/resilient_runtime/settings.py",
        "python/pinned.py",
    } <= set(inside)
    assert all(name.startswith("python/") for name in inside)
    assert not [name for name in inside if name.endswith(".pyc") or "/RECORD" in name or "/INSTALLER" in name]


def test_reproducible_layer(
    tiny_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installer: Installer
) -> None:
    """Two builds of the layer in two folders are the same to the byte."""
    first = runtime_layer_asset(installer=installer)
    monkeypatch.setenv("RESILIENT_CACHE", str(tmp_path / "another cache"))
    second = runtime_layer_asset()
    assert second.path != first.path
    assert second.path.read_bytes() == first.path.read_bytes()
    assert second.hash == first.hash


def test_layer_offline(tiny_runtime: Path, installer: Installer, broken_installer: Installer) -> None:
    """The layer needs no network once it is cached."""
    first = runtime_layer_asset(installer=installer)
    assert runtime_layer_asset(installer=broken_installer) == first


def test_layer_with_a_wrong_hash(tiny_runtime: Path, installer: Installer) -> None:
    """A wheel that is not the one that was pinned never gets into the layer."""
    unlike = re.sub("sha256:[0-9a-f]+", "sha256:" + "0" * 64, tiny_runtime.read_text())
    tiny_runtime.write_text(unlike)
    with pytest.raises(AssetError, match="not what its hash promises"):
        runtime_layer_asset(installer=installer)


def test_pinned_requirements() -> None:
    """The layer's requirements are pinned with hashes, name no host, and leave boto3 to Lambda."""
    text = build.RUNTIME_REQUIREMENTS.read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert sorted(pin.split("==")[0] for pin in pins) == [
        "aws-lambda-powertools",
        "jmespath",
        "typing-extensions",
    ]
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text
