"""The README and the documentation are held to what they show: their code runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python(?P<options>[^\n]*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r'title="(?P<name>[^"]+)"')


def blocks(page: Path) -> list[tuple[str | None, str]]:
    """The page's Python blocks, each with the file name that its title gives it."""
    found = []
    for match in BLOCK.finditer(page.read_text()):
        title = FILE_NAME.search(match["options"])
        found.append((title["name"] if title else None, match["code"]))
    return found


PAGES_WITH_CODE = [page for page in PAGES if blocks(page)]


def test_the_readme_shows_code() -> None:
    """The smallest example stands in the README."""
    assert REPOSITORY / "README.md" in PAGES_WITH_CODE


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_code_of_a_page_runs_as_it_stands(page: Path, tmp_path: Path) -> None:
    """A titled block is a file of that name; an app.py is run and must synthesize."""
    apps = []
    for number, (name, code) in enumerate(blocks(page)):
        file = tmp_path / (name or f"block_{number}.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
        compile(code, str(file), "exec")
        if name is None or file.name == "app.py":
            apps.append(file)
    assert apps, f"{page.name} has code blocks, and none of them is run"
    for app in apps:
        done = subprocess.run(
            [sys.executable, str(app)],
            cwd=tmp_path,
            env={**os.environ, "CDK_OUTDIR": str(tmp_path / "cdk.out"), "CDK_VALIDATION": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{page.name}: {app.name}\n{done.stderr[-3000:]}"
