"""What a handler's folder says it depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilient_constructs.assets import AssetError
from resilient_constructs.assets.requirements import requirements_of


def lines_of(folder: Path, text: str) -> tuple[str, ...]:
    """The lines of a ``requirements.txt`` with this text."""
    (folder / "requirements.txt").write_text(text)
    found = requirements_of(folder)
    assert found is not None
    return found.lines


def test_none(tmp_path: Path) -> None:
    """A folder that lists nothing depends on nothing."""
    assert requirements_of(tmp_path) is None


def test_comments_and_continuations(tmp_path: Path) -> None:
    """Comments and blank lines do not count, and a line that goes on in the next is one."""
    text = "# ours\n\nrequests==2.32.0 \\\n  --hash=sha256:aa  # the pin\nurl @ https://example.com/a.whl#b\n"
    assert lines_of(tmp_path, text) == (
        "requests==2.32.0    --hash=sha256:aa",
        "url @ https://example.com/a.whl#b",
    )


def test_included(tmp_path: Path) -> None:
    """Included files are read where they stand, wherever they include further ones."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.txt").write_text("-r b.txt\none==1\n")
    (tmp_path / "more" / "b.txt").write_text("two==2\n")
    assert lines_of(tmp_path, "--requirement more/a.txt\nthree==3\n") == ("two==2", "one==1", "three==3")


def test_includes_itself(tmp_path: Path) -> None:
    """A file that includes itself is an error and no endless loop."""
    (tmp_path / "a.txt").write_text("-r requirements.txt\n")
    with pytest.raises(AssetError, match="includes itself"):
        lines_of(tmp_path, "-r a.txt\n")


def test_missing_include(tmp_path: Path) -> None:
    """A file that is included but not there is named."""
    with pytest.raises(AssetError, match=r"gone\.txt cannot be read"):
        lines_of(tmp_path, "-r gone.txt\n")


def test_constraints_count(tmp_path: Path) -> None:
    """A changed constraints file makes other requirements of the same lines."""
    constraints = tmp_path / "constraints.txt"
    keys = set()
    for pin in ("a==1", "a==2"):
        constraints.write_text(pin)
        lines_of(tmp_path, "-c constraints.txt\na\n")
        found = requirements_of(tmp_path)
        assert found is not None
        assert found.lines[0] == f"-c {constraints.resolve()}"
        keys.add(found.key)
    assert len(keys) == 2


def test_boto3(tmp_path: Path) -> None:
    """A bare boto3 is taken from the managed runtime, and a version that the user asks for is installed."""
    assert lines_of(tmp_path, "boto3\nBotocore # theirs\n") == ()
    assert lines_of(tmp_path, "boto3==1.40.0\nboto3-stubs\n") == ("boto3==1.40.0", "boto3-stubs")


def test_project(tmp_path: Path) -> None:
    """Without a requirements.txt the project's own dependencies in pyproject.toml count."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["one>=1", "boto3"]\n')
    found = requirements_of(tmp_path)
    assert found is not None
    assert found.lines == ("one>=1",)
    assert lines_of(tmp_path, "two==2") == ("two==2",)


def test_project_of_a_tool(tmp_path: Path) -> None:
    """A pyproject.toml that only configures tools needs no install."""
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    found = requirements_of(tmp_path)
    assert found is not None
    assert not found.needs_install


def test_broken_project(tmp_path: Path) -> None:
    """A pyproject.toml that cannot be parsed is named."""
    (tmp_path / "pyproject.toml").write_text("[project\n")
    with pytest.raises(AssetError, match=r"pyproject\.toml is no TOML file"):
        requirements_of(tmp_path)


@pytest.mark.parametrize(
    "line", ["-e ../shared", "./libs/a", "../libs/a", "/opt/a", "a @ file:///opt/a", "."]
)
def test_folders_are_refused(tmp_path: Path, line: str) -> None:
    """A dependency that is a folder is refused, with what to do instead."""
    with pytest.raises(AssetError, match="--find-links"):
        lines_of(tmp_path, line)


def test_find_links(tmp_path: Path) -> None:
    """A folder of wheels beside the file is found from wherever the install runs."""
    (tmp_path / "wheels").mkdir()
    expected = f"--find-links {(tmp_path / 'wheels').resolve()}"
    assert lines_of(tmp_path, "--find-links wheels\n-f https://example.com/wheels\n") == (
        expected,
        "-f https://example.com/wheels",
    )
