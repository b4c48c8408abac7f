"""The walls between the rooms, read from the imports in the source; no room is imported for it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from walls import (
    LIBRARY,
    MOST_LINES,
    ROOT,
    WALLS,
    Wall,
    _is_below,
    imports_of,
    module_name,
    sources_below,
    trespasses,
)

LIBRARY_SOURCES = sources_below(LIBRARY, "runtime/resilient_runtime")


@pytest.mark.parametrize("wall", WALLS, ids=lambda wall: wall.room)
def test_rooms_keep_to_their_walls(wall: Wall) -> None:
    """No room imports anything but the standard library and what its row of the table allows."""
    assert any(_is_below(module_name(path), wall.room) for path in LIBRARY_SOURCES), f"no room {wall.room}"
    assert trespasses(wall, LIBRARY_SOURCES) == []


def test_every_room_has_a_wall() -> None:
    """A new room cannot be added without saying what it may import."""
    walled = {wall.room for wall in WALLS}
    unwalled = {
        ".".join(module_name(path).split(".")[:2])
        for path in LIBRARY_SOURCES
        if module_name(path).startswith(f"{LIBRARY}.")
    } - walled
    assert unwalled <= {f"{LIBRARY}._version"}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "resilient_constructs/fan_out_bus/construct.py",
            "from resilient_constructs.storage_first_api import Route",
        ),
        ("resilient_constructs/fan_out_bus/construct.py", "from ..local import deploy"),
        ("resilient_constructs/fan_out_bus/limits.py", "from aws_cdk import Duration"),
        ("resilient_constructs/fan_out_bus/limits.py", "from .construct import FanOutBus"),
        ("resilient_constructs/monitoring/layout.py", "import aws_cdk.aws_sqs"),
        ("resilient_constructs/monitoring/layout.py", "from .alarms import monitor"),
        ("resilient_constructs/local/deploy.py", "from aws_cdk import App"),
        (
            "resilient_constructs/local/deploy.py",
            "def f():\n    from resilient_constructs import fan_out_bus",
        ),
        ("resilient_constructs/template/__init__.py", "import boto3"),
        ("resilient_constructs/limits.py", "from .tokens import is_token"),
        ("resilient_constructs/testing/local.py", "import aws_cdk"),
        ("runtime/resilient_runtime/entry.py", "import boto3"),
        ("runtime/resilient_runtime/entry.py", "if TYPE_CHECKING:\n    from aws_cdk import App"),
        ("runtime/resilient_runtime/entry.py", "def f():\n    import requests"),
        ("runtime/resilient_runtime/connections/pool.py", "import boto3"),
    ],
)
def test_a_trespass_is_seen(path: str, source: str) -> None:
    """A planted import across a wall is reported, so the walls above hold something."""
    found = [crossing for wall in WALLS for crossing in trespasses(wall, {Path(path): source})]

    assert found
    assert path in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "resilient_constructs/fan_out_bus/construct.py",
            "from resilient_constructs.monitoring import Signal",
        ),
        (
            "resilient_constructs/fan_out_bus/construct.py",
            "from ..limits import Faults\nimport aws_cdk, json",
        ),
        ("resilient_constructs/fan_out_bus/limits.py", "from resilient_constructs.limits import Limit"),
        ("resilient_constructs/monitoring/layout.py", "from .widgets import graph_widget"),
        ("resilient_constructs/testing/alarms.py", "def f():\n    from aws_cdk.assertions import Template"),
        ("runtime/resilient_runtime/stores/x.py", "def f():\n    import boto3"),
    ],
)
def test_an_allowed_import_is_no_trespass(path: str, source: str) -> None:
    """What the table allows passes."""
    assert [crossing for wall in WALLS for crossing in trespasses(wall, {Path(path): source})] == []


def test_examples_use_public_names_only() -> None:
    """An example imports the library as its users do, never a private module."""
    public = {
        *_public_names(),
        *(f"nag.{name}" for name in _public_names("nag")),
        *(f"local.{name}" for name in _public_names("local/__init__")),
    }
    for path, source in sources_below("examples").items():
        for one in imports_of(source, "examples.any", is_package=False):
            if one.module.startswith(LIBRARY):
                assert one.module.removeprefix(f"{LIBRARY}.") in public, f"{path}:{one.line} {one.module}"


def _public_names(module: str = "__init__") -> list[str]:
    tree = ast.parse((ROOT / LIBRARY / f"{module}.py").read_text(encoding="utf-8"))
    (names,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    ]
    return list(names)


def test_the_public_names_are_these() -> None:
    """The public surface changes on purpose, and a reviewer sees it here."""
    assert _public_names() == [
        "Authorization",
        "BreakerPolicy",
        "BreakerWorkflow",
        "ContainerHealth",
        "Downstream",
        "EventStore",
        "FanOutBus",
        "FlowControlledConsumer",
        "Handler",
        "Idempotency",
        "Items",
        "KinesisBisectConsumer",
        "OnCall",
        "OnPoison",
        "ParallelWork",
        "Parameter",
        "Parking",
        "QueueStore",
        "Redaction",
        "ResilientFunction",
        "Retry",
        "Route",
        "Secret",
        "Severity",
        "StorageFirstApi",
        "Throttle",
        "UrgentLane",
        "Work",
        "__version__",
    ]


def test_every_public_name_resolves() -> None:
    """Each name of the library's, monitoring's and testing's __all__ is there and has a docstring."""
    import resilient_constructs
    from resilient_constructs import monitoring, testing

    for module in (resilient_constructs, monitoring, testing):
        for name in module.__all__:
            value = getattr(module, name)
            assert isinstance(value, str) or value.__doc__, f"{module.__name__}.{name}"


def test_an_unknown_name_is_refused() -> None:
    """A misspelt name fails like in any module."""
    import resilient_constructs

    with pytest.raises(AttributeError, match="Downstreem"):
        _ = resilient_constructs.Downstreem


def test_importing_the_library_starts_no_node() -> None:
    """Importing the package and listing its names loads neither the CDK nor jsii."""
    code = (
        "import sys, resilient_constructs; dir(resilient_constructs); "
        "print(sorted(set(sys.modules) & {'aws_cdk', 'jsii', 'constructs', 'boto3'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_no_file_is_too_long() -> None:
    """A file has one subject; past 400 lines it has two."""
    sources = LIBRARY_SOURCES | sources_below("tests", "benchmarks", "examples")
    long = {str(path): lines for path, text in sources.items() if (lines := text.count("\n")) > MOST_LINES}

    assert long == {}


def test_every_module_says_what_it_is() -> None:
    """Each module of the library and the runtime begins with a docstring."""
    silent = [str(path) for path, text in LIBRARY_SOURCES.items() if not ast.get_docstring(ast.parse(text))]

    assert silent == []


def test_no_module_is_named_after_nothing() -> None:
    """No utils, helpers, common or manager: a name says what is inside."""
    empty = {"utils", "helpers", "common", "manager", "util", "helper", "misc"}

    assert [str(path) for path in LIBRARY_SOURCES if path.stem in empty] == []
