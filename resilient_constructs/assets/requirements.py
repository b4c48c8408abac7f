"""What a handler's folder says it depends on, as one flat list of pip requirement lines."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import AssetError

__all__ = ["Requirements", "requirements_of"]

# The managed runtime brings these. A bare line is taken from it: 15 MB less to load in a cold start. A line
# with a version is the user's word and is installed; so is what other packages require (aiobotocore pins
# botocore exactly and would break otherwise).
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
_IN_MANAGED_RUNTIME = re.compile(r"^(boto3|botocore|s3transfer)\s*(#.*)?$", re.IGNORECASE)

_INCLUDE = re.compile(r"^(-r|--requirement|-c|--constraint)[\s=]+(?P<file>.+)$")
_CONSTRAINTS = "-c "
_FIND_LINKS = re.compile(r"^(-f|--find-links)[\s=]+(?P<place>.+)$")
_LOCAL = re.compile(r"^(-e\b|--editable\b|\.{0,2}/|\.$|file:)|@\s*file:")


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirements:
    """Requirement lines with nothing left to include, and the file they came from.

    :param lines: one requirement or option each
    :param file: the file to name in an error
    """

    lines: tuple[str, ...]
    file: Path

    @property
    def text(self) -> str:
        """The lines as a requirements file."""
        return "".join(f"{line}\n" for line in self.lines)

    @property
    def key(self) -> str:
        """What tells these requirements from others: the lines, and the text of each constraints file."""
        return "".join(
            f"{line}\n" if (file := _constraints(line)) is None else file.read_text(encoding="utf-8")
            for line in self.lines
        )

    @property
    def needs_install(self) -> bool:
        """Whether any line asks for a package rather than sets an option."""
        return any(not line.startswith("-") for line in self.lines)


def requirements_of(folder: Path) -> Requirements | None:
    """The dependencies beside a handler: ``requirements.txt``, else those of ``pyproject.toml``'s project.

    :raises AssetError: for a file that cannot be read, and for a dependency that is a folder
    """
    listed = folder / "requirements.txt"
    project = folder / "pyproject.toml"
    if listed.is_file():
        return Requirements(lines=tuple(_lines(listed, seen=())), file=listed)
    if project.is_file():
        return Requirements(lines=tuple(_of_project(project)), file=project)
    return None


def _of_project(path: Path) -> Iterator[str]:
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AssetError(f"{path} is no TOML file: {error}") from error
    for line in project.get("dependencies", []):
        yield from _one(str(line).strip(), path)


def _lines(path: Path, *, seen: tuple[Path, ...]) -> Iterator[str]:
    if path in seen:
        raise AssetError(f"{path} includes itself")
    for raw in re.sub(r"\\\r?\n", " ", _text(path)).splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        include = _INCLUDE.match(line)
        if include is None:
            yield from _one(line, path)
            continue
        included = (path.parent / include["file"].strip("'\"")).resolve()
        if line.startswith(("-c", "--constraint")):
            # pip takes constraints from a file only, so the file is named; its text is part of the key.
            _text(included)
            yield f"{_CONSTRAINTS}{included}"
        else:
            yield from _lines(included, seen=(*seen, path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AssetError(f"{path} cannot be read: {error}") from error


def _constraints(line: str) -> Path | None:
    return Path(line.removeprefix(_CONSTRAINTS)) if line.startswith(_CONSTRAINTS) else None


def _one(line: str, path: Path) -> Iterator[str]:
    if not line or _IN_MANAGED_RUNTIME.match(line):
        return
    if _LOCAL.search(line):
        raise AssetError(
            f"{path}: {line!r} is a folder or a file, whose content no cache can know. Put the package's "
            "source beside the handler, or build a wheel of it and name its folder with --find-links"
        )
    links = _FIND_LINKS.match(line)
    if links is not None and (place := path.parent / links["place"]).exists():
        line = f"--find-links {place.resolve()}"
    yield line
