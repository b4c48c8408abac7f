"""The table of walls: what each room may import, and who trespasses."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
WORKFLOW = f"{LIBRARY}.breaker_workflow"
BATCH = f"{WORKFLOW}.parallel.machine"
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
    Wall(
        room=WORKFLOW,
        may=CDK
        | SHARED
        | _rooms("resilient_function", "downstream")
        | {f"{RUNTIME}.breaker.policy", f"{WORKFLOW}.machine"},
        besides=frozenset({f"{WORKFLOW}.machine", BATCH}),
    ),
    # The state machine is a function of plain values: tests run it without Node.
    Wall(room=f"{WORKFLOW}.machine", may=_rooms("limits") | {f"{RUNTIME}.breaker"}),
    Wall(room=BATCH, may=_rooms("limits") | {f"{WORKFLOW}.machine"}),
    *(
        Wall(room=f"{LIBRARY}.{room}.limits", may=_rooms("limits"))
        for room in (
            *CONSTRUCTS,
            "breaker_workflow",
            "breaker_workflow.parallel",
            "downstream",
            "resilient_function",
        )
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
        | {
            f"{RUNTIME}.{one}"
            for one in ("breaker", "correlation", "rejection", "streams.records", "work_envelope")
        }
        | {f"{RUNTIME}.stores.{one}" for one in ("circuits", "parked_keys")},
    ),
    Wall(room=f"{LIBRARY}.soak", may=_rooms("assets", "limits", "pages") | {"typer", "rich", "plotly"}),
    Wall(
        room=f"{LIBRARY}.testing",
        may=_rooms("local") | {"pytest"},
        late=CDK,
        besides=_rooms("testing.states"),
    ),
    Wall(room=f"{LIBRARY}.testing.states", may=frozenset({"jsonata"})),
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
