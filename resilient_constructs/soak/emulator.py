"""Where AWS's Runtime Interface Emulator is: the binary that stands between Lambda's API and the runtime.

AWS ships it in container images, on GitHub, and inside the wheel of the SAM CLI. The wheel is the one place
that a package index serves with a hash, for both processors: nothing else has to be reachable.
https://docs.aws.amazon.com/lambda/latest/dg/images-test.html
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from resilient_constructs.assets.cache import cache_folder

from .errors import SoakError

__all__ = ["RIE", "fetch_rie", "find_rie"]

RIE = "RESILIENT_RIE"
"""The environment variable that names the binary. Default: it is looked for."""

_VERSION = "1.170.0"
_WHEEL_HASH = "sha256:24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf"
_FOLDER_IN_WHEEL = "samcli/local/rapid"
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def find_rie() -> Path | None:
    """The emulator's binary, or None where there is none or the platform cannot run it.

    Looked for in this order: the variable ``RESILIENT_RIE``, ``aws-lambda-rie`` in the PATH, the cache
    folder, the SAM CLI where it is installed.

    :raises SoakError: when ``RESILIENT_RIE`` names no file
    """
    chosen = os.environ.get(RIE)
    if chosen:
        path = Path(chosen).expanduser().absolute()
        if not path.is_file():
            raise SoakError(f"{RIE} is {chosen!r}, which is no file; name the emulator's binary, or unset it")
        return path
    name = _binary_name()
    if name is None:
        return None
    on_path = shutil.which("aws-lambda-rie")
    if on_path:
        return Path(on_path)
    return next((path for path in (_cached(name), _in_sam_cli(name)) if path and path.is_file()), None)


def fetch_rie() -> Path | None:
    """The emulator's binary, fetched from the package index first where there is none.

    :returns: None where the platform cannot run it
    :raises SoakError: when it cannot be fetched
    """
    name = _binary_name()
    found = find_rie()
    if found is not None or name is None:
        return found
    target = _cached(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that it is renamed into place whole, whatever interrupts this.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as folder:
            wheel = _download(Path(folder))
            with zipfile.ZipFile(wheel) as archive:
                unfinished = Path(archive.extract(f"{_FOLDER_IN_WHEEL}/{name}", folder))
            unfinished.chmod(0o755)
            unfinished.replace(target)
    except OSError as error:
        raise SoakError(f"the emulator cannot be kept in {target.parent}: {error}") from error
    return target


def _binary_name() -> str | None:
    machine = _MACHINES.get(platform.machine().lower())
    return f"aws-lambda-rie-{machine}" if machine and sys.platform == "linux" else None


def _cached(name: str) -> Path:
    return cache_folder() / f"rie-{_VERSION}" / name


def _in_sam_cli(name: str) -> Path | None:
    spec = importlib.util.find_spec("samcli")
    return Path(spec.origin).parent / "local" / "rapid" / name if spec and spec.origin else None


def _download(folder: Path) -> Path:
    requirement = folder / "requirement.txt"
    requirement.write_text(f"aws-sam-cli=={_VERSION} --hash={_WHEEL_HASH}\n")
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes"),
        *("--dest", str(folder), "--requirement", str(requirement)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = next(folder.glob("*.whl"), None)
    if done.returncode or wheel is None:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise SoakError(
            f"AWS's runtime emulator (in the wheel of aws-sam-cli {_VERSION}) could not be fetched: {said}; "
            f"download it yourself and name it in {RIE}"
        )
    return wheel
