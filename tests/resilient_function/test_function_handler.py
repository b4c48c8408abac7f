"""A handler is read, not imported, and told what is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from resilient_runtime.settings import Mode

from resilient_constructs.limits import Faults
from resilient_constructs.resilient_function.handler import Handler


def faults_of(
    folder: Path, entry: str, *, mode: Mode = "messages", exclude: tuple[str, ...] = ()
) -> list[str]:
    """What is wrong with a handler."""
    faults = Faults("ResilientFunction 'D'")
    Handler.from_directory(folder, entry, exclude=exclude).check(faults, mode=mode)
    return faults.found


def write(folder: Path, text: str, name: str = "delivery.py") -> Path:
    """A folder with one module."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder


def test_no_node() -> None:
    """Naming and reading a handler loads no part of the CDK, hence starts no Node."""
    code = "import sys; from resilient_constructs import Handler; Handler.from_directory('.', 'a.b'); "
    code += "sys.exit('aws_cdk' in sys.modules)"
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    root = Path(__file__).parents[2]
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=False).returncode == 0
    )


@pytest.mark.parametrize(
    "text",
    [
        "def deliver(order, call): ...",
        "def deliver(order, call, retries=3): ...",
        "def deliver(*arguments): ...",
        "@wrapped\ndef deliver(): ...",
        "from elsewhere import deliver",
        "from elsewhere import other as deliver",
        "deliver = make_handler()",
        "deliver: Handler = make_handler()",
        "one, deliver = make_handlers()",
        "from elsewhere import *",
        "try:\n    from fast import deliver\nexcept ImportError:\n    def deliver(order, call): ...",
        "if True:\n    pass\nelse:\n    def deliver(order, call): ...",
        "class deliver:\n    def __init__(self, order, call): ...",
    ],
)
def test_defined(tmp_path: Path, text: str) -> None:
    """A name bound at the top level in any way is a handler."""
    assert faults_of(write(tmp_path, text), "delivery.deliver") == []


@pytest.mark.parametrize("name", ["delivery/__init__.py", "delivery.py"])
def test_package_or_module(tmp_path: Path, name: str) -> None:
    """A module is a file or a package."""
    assert faults_of(write(tmp_path, "def deliver(order, call): ...", name), "delivery.deliver") == []


def test_nested_module(tmp_path: Path) -> None:
    """A module may lie in a package."""
    write(tmp_path, "def deliver(order, call): ...", "orders/delivery.py")
    assert faults_of(tmp_path, "orders.delivery.deliver") == []


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there is told."""
    (fault,) = faults_of(tmp_path / "nowhere", "delivery.deliver")
    assert "nowhere'" in fault
    assert "a folder that exists" in fault


def test_a_relative_folder_is_told_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault tells where a relative path led, because that depends on where the app was started."""
    monkeypatch.chdir(tmp_path)
    (fault,) = faults_of(Path("nowhere"), "delivery.deliver")
    assert f"'{tmp_path / 'nowhere'}'" in fault
    (tmp_path / "empty").mkdir()
    (fault,) = faults_of(Path("empty"), "delivery.deliver")
    assert f"a module in {tmp_path / 'empty'}: none" in fault


def test_no_file(tmp_path: Path) -> None:
    """An unknown module is told with the modules that there are."""
    write(tmp_path, "", "orders.py")
    write(tmp_path, "", "shop/__init__.py")
    (fault,) = faults_of(tmp_path, "delivery.deliver")
    assert "'delivery.deliver'" in fault
    assert fault.count("orders, shop") == 1


def test_no_function(tmp_path: Path) -> None:
    """An unknown function is told with the functions that there are, private ones aside."""
    write(tmp_path, "def deliver(order, call): ...\ndef refund(order, call): ...\ndef _send(): ...\nX = 1")
    (fault,) = faults_of(tmp_path, "delivery.delivery")
    assert "delivery.py: deliver, refund (" in fault


def test_only_inside_another(tmp_path: Path) -> None:
    """A function inside a function or a class cannot be a handler."""
    write(
        tmp_path, "def make():\n    def deliver(order, call): ...\nclass C:\n    def deliver(self, a): ...\n"
    )
    (fault,) = faults_of(tmp_path, "delivery.deliver")
    assert "delivery.py: make (" in fault


@pytest.mark.parametrize(
    "entry", ["deliver", "", "delivery.", ".deliver", "handlers/delivery.deliver", "a-b.c"]
)
def test_no_entry(tmp_path: Path, entry: str) -> None:
    """What is no module.function is told as that."""
    (fault,) = faults_of(tmp_path, entry)
    assert "module.function" in fault


def test_does_not_compile(tmp_path: Path) -> None:
    """A syntax error is told with file and line, before anything is deployed."""
    (fault,) = faults_of(write(tmp_path, "x = 1\ndef deliver(:\n"), "delivery.deliver")
    assert "delivery.py" in fault
    assert "line 2" in fault


def test_newer_grammar(tmp_path: Path) -> None:
    """Grammar that this machine's Python does not know is no fault where the function's Python is newer."""
    write(tmp_path, "def deliver(order, call): return <a grammar of tomorrow>\n")
    handler = Handler.from_directory(tmp_path, "delivery.deliver")
    for python, faulty in (("3.99", False), ("3.11", True)):
        faults = Faults("ResilientFunction 'D'")
        handler.check(faults, mode="messages", python=python)
        assert bool(faults.found) is faulty


def test_async(tmp_path: Path) -> None:
    """An async function is refused: nobody would await it and its messages would count as done."""
    (fault,) = faults_of(write(tmp_path, "async def deliver(order, call): ..."), "delivery.deliver")
    assert "not async def" in fault


@pytest.mark.parametrize(
    "text",
    [
        "def deliver(order): ...",
        "def deliver(a, b, c): ...",
        "def deliver(a, b, *, c): ...",
        "def deliver(): ...",
    ],
)
def test_wrong_arguments(tmp_path: Path, text: str) -> None:
    """A function that cannot be called the way the mode calls it is refused."""
    write(tmp_path, text)
    assert "(body, call) in mode 'messages'" in faults_of(tmp_path, "delivery.deliver")[0]
    assert "(event, context) in mode 'event'" in faults_of(tmp_path, "delivery.deliver", mode="event")[0]


def test_excluded(tmp_path: Path) -> None:
    """A handler in a file that is left out of the code is refused."""
    write(tmp_path, "def deliver(order, call): ...", "tests/delivery.py")
    (fault,) = faults_of(tmp_path, "tests.delivery.deliver")
    assert "tests/delivery.py is" in fault
    write(tmp_path, "def deliver(order, call): ...")
    assert faults_of(tmp_path, "delivery.deliver", exclude=("delivery.py",)) != []
