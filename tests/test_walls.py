"""The walls between the rooms, read from the imports in the source; no room is imported for it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = "resilient_constructs"
RUNTIME = "resilient_runtime"
CDK = frozenset({"aws_cdk", "constructs", "jsii"})
BOTO = frozenset({"boto3", "botocore"})
MOST_LINES = 400


class Import(NamedTuple):
    """One import statement: what it names, and whether it runs when its module is loaded."""

    module: str
    at_load: bool
    line: int


@dataclass(frozen=True, kw_only=True)
class Wall:
    """What one room may import besides the standard library and itself.

    :param room: dotted name of a package or module
    :param may: top-level packages and dotted names of rooms; a room includes what is below it
    :param late: packages that only a function may import, when it is called
    :param besides: rooms below this one that have a wall of their own in its stead
    """

    room: str
    may: frozenset[str]
    late: frozenset[str] = frozenset()
    besides: frozenset[str] = frozenset()


def _rooms(*names: str) -> frozenset[str]:
    return frozenset(f"{LIBRARY}.{name}" for name in names)


SHARED = _rooms(
    "limits",
    "tokens",
    "lazies",
    "places",
    "stores",
    "queues",
    "buckets",
    "assets",
    "monitoring",
    "runtime_layer",
) | {
    f"{RUNTIME}.settings",
    f"{RUNTIME}.pace_plan",
}
CONSTRUCTS = ("storage_first_api", "fan_out_bus", "flow_controlled_consumer", "kinesis_bisect_consumer")
WALLS = [
    Wall(
        room=RUNTIME,
        may=frozenset({"aws_lambda_powertools"}),
        late=BOTO,
        besides=frozenset({f"{RUNTIME}.connections"}),
    ),
    # Its modules that need an HTTP client are imported only for who asks for one.
    Wall(room=f"{RUNTIME}.connections", may=frozenset({RUNTIME, "httpx", "requests", "urllib3"})),
    Wall(room=f"{LIBRARY}.limits", may=frozenset()),
    Wall(room=f"{LIBRARY}.tokens", may=CDK | _rooms("limits")),
    Wall(room=f"{LIBRARY}.lazies", may=CDK),
    Wall(room=f"{LIBRARY}.pages", may=frozenset(), late=frozenset({"plotly"})),
    Wall(room=f"{LIBRARY}.stores", may=CDK),
    Wall(room=f"{LIBRARY}.places", may=CDK | _rooms("limits", "tokens")),
    Wall(room=f"{LIBRARY}.queues", may=CDK | _rooms("limits", "tokens", "places", "stores")),
    Wall(room=f"{LIBRARY}.buckets", may=CDK),
    Wall(room=f"{LIBRARY}.assets", may=_rooms("limits"), late=frozenset({"pip"})),
    Wall(room=f"{LIBRARY}.monitoring", may=CDK | _rooms("limits", "tokens", "lazies", "places")),
    *(
        Wall(room=f"{LIBRARY}.monitoring.{pure}", may=_rooms("limits", "tokens"))
        for pure in ("signal", "layout", "widgets", "queries", "limits")
    ),
    Wall(room=f"{LIBRARY}.runtime_layer", may=CDK | _rooms("places", "assets")),
    Wall(
        room=f"{LIBRARY}.downstream",
        may=CDK | SHARED | {f"{RUNTIME}.breaker.policy", f"{RUNTIME}.controller.settings"},
    ),
    Wall(
        room=f"{LIBRARY}.resilient_function",
        may=CDK | SHARED | _rooms("downstream") | {f"{RUNTIME}.json_paths"},
    ),
    *(
        Wall(room=f"{LIBRARY}.{room}", may=CDK | SHARED | _rooms("resilient_function", "downstream"))
        for room in CONSTRUCTS
    ),
    *(
        Wall(room=f"{LIBRARY}.{room}.limits", may=_rooms("limits"))
        for room in (*CONSTRUCTS, "downstream", "resilient_function")
    ),
    Wall(room=f"{LIBRARY}.nag", may=CDK | {"cdk_nag"}),
    Wall(room=f"{LIBRARY}.template", may=frozenset()),
    Wall(room=f"{LIBRARY}.forecast", may=_rooms("template") | {RUNTIME}),
    Wall(
        room=f"{LIBRARY}.local",
        may=_rooms("template", "forecast.stream_mapping")
        | BOTO
        | {"ministack", "hypercorn", "airspeed", "typer", "rich"},
    ),
    Wall(
        room=f"{LIBRARY}.demo",
        may=_rooms("local", "template", "pages", "forecast.traffic")
        | {f"{RUNTIME}.controller.settings"}
        | BOTO
        | {"typer", "rich", "yaml", "plotly"},
    ),
    Wall(
        room=f"{LIBRARY}.operate",
        may=BOTO
        | {"typer", "rich"}
        | {f"{RUNTIME}.{one}" for one in ("breaker", "correlation", "rejection", "streams.records")}
        | {f"{RUNTIME}.stores.{one}" for one in ("circuits", "parked_keys")},
    ),
    Wall(room=f"{LIBRARY}.soak", may=_rooms("assets", "limits", "pages") | {"typer", "rich", "plotly"}),
    Wall(
        room=f"{LIBRARY}.testing",
        may=_rooms("local") | {"pytest"},
        late=CDK,
    ),
    Wall(
        room=f"{LIBRARY}.cli", may=_rooms("local", "demo", "soak", "operate", "_version") | {"typer", "rich"}
    ),
]


def imports_of(source: str, module: str, *, is_package: bool) -> Iterator[Import]:
    """Every import of a module as absolute dotted names, ``from a import b`` as ``a.b``."""
    tree = ast.parse(source)
    late = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types_only(outer)
        for inner in ast.walk(outer)
    }
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node not in late, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(f"{name}.{alias.name}", node not in late, node.lineno)


def _is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def trespasses(wall: Wall, sources: Mapping[Path, str]) -> list[str]:
    """What crosses the wall, as ``path:line imports name``."""
    found = []
    for path, source in sources.items():
        module = module_name(path)
        if not _is_below(module, wall.room) or any(_is_below(module, room) for room in wall.besides):
            continue
        for one in imports_of(source, module, is_package=path.name == "__init__.py"):
            allowed = wall.may if one.at_load else wall.may | wall.late
            if not _is_allowed(one.module, wall.room, allowed):
                found.append(f"{path}:{one.line} imports {one.module}")
    return found


def module_name(path: Path) -> str:
    """The dotted name of a source file, relative to the repository or to its source root."""
    parts = list(path.with_suffix("").parts)
    if parts[0] == "runtime":
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_allowed(module: str, room: str, allowed: frozenset[str]) -> bool:
    top = module.split(".")[0]
    if top in sys.stdlib_module_names:
        return True
    # a pure module inside a room may use what lies beside it only if that is allowed by name
    inside = room if room.count(".") < 2 else room.rpartition(".")[0]
    if _is_below(module, inside):
        return _is_in_same_company(module, room, inside)
    return any(_is_below(module, name) for name in allowed)


def _is_in_same_company(module: str, room: str, inside: str) -> bool:
    if room == inside:
        return True
    companions = {wall.room for wall in WALLS if wall.room.startswith(f"{inside}.")}
    return any(_is_below(module, companion) for companion in companions)


def _is_below(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def sources_below(*folders: str) -> dict[Path, str]:
    """The Python sources of the repository in these folders, by path."""
    return {
        path.relative_to(ROOT): path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    }


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
    public = {*_public_names(), *(f"nag.{name}" for name in _public_names("nag"))}
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
        "ContainerHealth",
        "Downstream",
        "EventStore",
        "FanOutBus",
        "FlowControlledConsumer",
        "Handler",
        "Idempotency",
        "KinesisBisectConsumer",
        "OnCall",
        "OnPoison",
        "Parameter",
        "QueueStore",
        "Redaction",
        "ResilientFunction",
        "Route",
        "Secret",
        "Severity",
        "StorageFirstApi",
        "Throttle",
        "UrgentLane",
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
