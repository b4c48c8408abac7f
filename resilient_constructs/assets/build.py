"""The two kinds of asset: the layer with our runtime, and a handler with its dependencies."""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .archive import Entry, content_hash, entries_below, entries_of_zip, seal_of, write_zip
from .cache import cached
from .errors import AssetError
from .installer import Installer, install
from .requirements import Requirements, requirements_of
from .target import Target

__all__ = ["DEFAULT_EXCLUDE", "Asset", "function_asset", "runtime_layer_asset"]

# Raised when the same input must give another archive: it is part of every key.
_FORMAT = "1"

DEFAULT_EXCLUDE = (
    "__pycache__",
    "*.pyc",
    "*.pyo",
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    ".env",
    ".env.*",
    "tests",
    "test",
    ".tox",
    ".nox",
    ".cache",
    ".coverage",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".idea",
    ".vscode",
    ".DS_Store",
    "*.egg-info",
    "node_modules",
    "cdk.out",
)
"""Left out of a function's code: what tools write beside it, its tests, and files that hold secrets."""

RUNTIME_REQUIREMENTS = Path(__file__).with_name("runtime-requirements.txt")
"""What the layer holds besides our runtime: pinned, with hashes."""

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_UNZIPPED_BYTES = 250 * 1024 * 1024

# What an installer notes about itself or about this machine; no two installers write the same.
_INSTALLER_NOTES = (
    "__pycache__",
    "*.pyc",
    ".lock",
    "*.dist-info/RECORD",
    "*.dist-info/RECORD.*",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "*.dist-info/uv_cache.json",
    "*.dist-info/uv_build.json",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """An archive ready for Lambda.

    :param path: the zip file, in the cache
    :param hash: the hash of its content; the same content has the same hash on every machine
    """

    path: Path
    hash: str


def runtime_layer_asset(*, installer: Installer | None = None) -> Asset:
    """The layer that carries ``resilient_runtime`` and its pinned dependencies, as ``python/…``.

    :raises AssetError: when it is not cached yet and cannot be built
    """
    pinned = RUNTIME_REQUIREMENTS
    requirements = Requirements(lines=(pinned.read_text(encoding="utf-8"),), file=pinned)
    owner = "The runtime layer of resilient-constructs"
    dependencies = _installed(requirements, owner=owner, target=None, pinned=True, installer=installer)
    source = entries_below(_runtime_source(), exclude=DEFAULT_EXCLUDE, prefix="python/resilient_runtime/")
    return _sealed("layer", owner, source, dependencies, prefix="python/")


def function_asset(
    folder: Path,
    *,
    owner: str,
    target: Target,
    exclude: Iterable[str] = (),
    installer: Installer | None = None,
) -> Asset:
    """A handler's folder with the dependencies that it lists.

    :param owner: whose code this is, for an error
    :param target: the machine that its dependencies must fit
    :param exclude: glob patterns to leave out besides :data:`DEFAULT_EXCLUDE`
    :raises AssetError: when a dependency has no fitting wheel or cannot be fetched
    """
    source = entries_below(folder, exclude=(*DEFAULT_EXCLUDE, *exclude))
    try:
        requirements = requirements_of(folder)
    except AssetError as error:
        raise AssetError(f"{owner}: {error}") from error
    dependencies = None
    if requirements is not None and requirements.needs_install:
        dependencies = _installed(requirements, owner=owner, target=target, installer=installer)
    return _sealed("function", owner, source, dependencies)


def _runtime_source() -> Path:
    spec = importlib.util.find_spec("resilient_runtime")
    if spec is None or not spec.submodule_search_locations:
        raise AssetError("the package resilient_runtime was not found; reinstall resilient-constructs")
    return Path(next(iter(spec.submodule_search_locations)))


def _installed(
    requirements: Requirements,
    *,
    owner: str,
    target: Target | None,
    pinned: bool = False,
    installer: Installer | None = None,
) -> Path:
    """The installed dependencies as an archive; cached by what was asked for, sealed with what came of it."""
    asked = "\n".join((_FORMAT, "any" if target is None else target.key, requirements.key))
    key = hashlib.sha256(asked.encode()).hexdigest()

    def build(to: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="resilient-install-") as scratch:
            listed, into = Path(scratch, "requirements.txt"), Path(scratch, "installed")
            listed.write_text(requirements.text, encoding="utf-8")
            into.mkdir()
            install(
                listed,
                into,
                owner=owner,
                named=requirements.file,
                target=target,
                pinned=pinned,
                installer=installer,
            )
            entries = list(_without_scripts(into))
            if target is None:
                _refuse_compiled(entries, owner=owner)
            write_zip(entries, to, seal=content_hash(entries))

    return cached(f"wheels-{key}.zip", build)


def _without_scripts(into: Path) -> Iterable[Entry]:
    # Console scripts start with the path of this machine's Python, and nothing in Lambda runs them.
    scripts = into / "bin"
    if scripts.is_dir() and not (scripts / "__init__.py").exists():
        return entries_below(into, exclude=(*_INSTALLER_NOTES, "bin/*"))
    return entries_below(into, exclude=_INSTALLER_NOTES)


def _refuse_compiled(entries: Iterable[Entry], *, owner: str) -> None:
    compiled = [entry.path for entry in entries if entry.path.endswith((".so", ".pyd", ".dylib"))]
    if compiled:
        listed = ", ".join(compiled)
        raise AssetError(f"{owner} must fit every architecture, but has compiled modules: {listed}")


def _refuse_too_large(path: Path, *, owner: str) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > MAX_UNZIPPED_BYTES:
        raise AssetError(
            f"{owner}: the code and its dependencies are {size:,} bytes unzipped; Lambda takes at most "
            f"{MAX_UNZIPPED_BYTES:,}, layers included. Exclude what is not needed "
            "(https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)"
        )


def _sealed(
    kind: str, owner: str, source: list[Entry], dependencies: Path | None, *, prefix: str = ""
) -> Asset:
    """The archive of a source and its dependencies, cached by content; the user's own files win."""
    seal = seal_of(dependencies) if dependencies is not None else ""
    known = "\n".join((_FORMAT, kind, content_hash(source), seal or "", prefix))
    key = hashlib.sha256(known.encode()).hexdigest()

    def build(to: Path) -> None:
        if dependencies is None:
            write_zip(source, to, seal=key)
        else:
            with zipfile.ZipFile(dependencies) as archive:
                write_zip([*source, *entries_of_zip(archive, prefix=prefix)], to, seal=key)
        _refuse_too_large(to, owner=owner)

    return Asset(path=cached(f"{kind}-{key}.zip", build), hash=key)
