"""What grew in memory, as far as Python can tell: types, containers, and lines where they are traced."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from typing import Any, NamedTuple

from .names import without_query

__all__ = ["Snapshot", "grown", "lines_of_open"]

_MOST = 5
_SAMPLE = 64
_LEAST_LENGTH = 16
_CONTAINERS = frozenset({"list", "dict", "set", "deque", "OrderedDict", "defaultdict"})

Found = list[dict[str, Any]]


class Snapshot(NamedTuple):
    """What was in memory at one moment.

    :param types: objects of each type
    :param lengths: of each longer container, by its identity
    :param traced: the allocations, where they are traced
    """

    types: Counter[str]
    lengths: dict[int, int]
    traced: Any

    @classmethod
    def take(cls) -> Snapshot:
        """Count what is there now."""
        objects = gc.get_objects()
        types = _named(objects)
        lengths = {id(one): len(one) for one in objects if _is_long(one)}
        return cls(types, lengths, _traced())


def grown(before: Snapshot | None) -> Found:
    """The types, containers and lines that have more than they had, the worst first.

    Types are told of what the garbage collector tracks. Bytes and texts are not, so the containers that hold
    them are weighed by a sample of what is in them.
    """
    # A comparison with nothing would accuse what every program has most of.
    then = Snapshot(Counter(), {}, None) if before is None else before
    found = _lines(then.traced)
    objects = gc.get_objects()
    weighed = []
    for one in objects:
        if _is_long(one) and one is not objects and one is not then.lengths and one is not then.types:
            more = len(one) - then.lengths.get(id(one), 0)
            if more > 0:
                weighed.append((more * _average(one), more, one))
    weighed.sort(key=lambda entry: entry[0], reverse=True)
    for size, more, one in weighed[:3]:
        found.append({"what": _owner(one), "count": more, "bytes": size})
    if before is not None:
        types = _named(objects)
        types.subtract(then.types)
        for name, more in types.most_common(_MOST):
            if more > _LEAST_LENGTH:
                found.append({"what": f"objects of {name}", "count": more})
    return found


def lines_of_open() -> Found:
    """Where files and sockets that are open now were opened; empty where allocations are not traced."""
    tracemalloc = sys.modules.get("tracemalloc")
    if tracemalloc is None or not tracemalloc.is_tracing():
        return []
    lines: Counter[str] = Counter()
    for one in gc.get_objects():
        kind = type(one)
        if kind.__name__ in ("FileIO", "socket", "SSLSocket") and kind.__module__ in ("_io", "socket", "ssl"):
            trace = tracemalloc.get_object_traceback(one)
            if trace:
                lines[f"{kind.__name__} opened at {trace[0].filename}:{trace[0].lineno}"] += 1
    return [{"what": line, "count": count} for line, count in lines.most_common(_MOST)]


def _named(objects: list[Any]) -> Counter[str]:
    # By name: holding on to the types themselves would keep alive what a handler makes anew in every call.
    names: Counter[str] = Counter()
    for kind, count in Counter(map(type, objects)).items():
        names[f"{kind.__module__}.{kind.__qualname__}"] += count
    return names


def _is_long(one: Any) -> bool:
    return type(one).__name__ in _CONTAINERS and len(one) >= _LEAST_LENGTH


def _average(container: Any) -> int:
    """Bytes of one of its items, by a sample of them."""
    items = container.values() if isinstance(container, dict) else container
    sizes = []
    try:
        for item in items:
            sizes.append(sys.getsizeof(item))
            if len(sizes) == _SAMPLE:
                break
    except (RuntimeError, TypeError, ValueError):  # it changes in another thread, or lies about its size
        pass
    return 8 + (sum(sizes) // len(sizes) if sizes else 0)


def _owner(container: Any) -> str:
    """Where a container hangs: a module's variable, or an attribute of some class's object."""
    kind = type(container).__name__
    for holder in gc.get_referrers(container):
        if type(holder) is dict:
            name = next((key for key, value in holder.items() if value is container), None)
            module = holder.get("__name__")
            if (
                isinstance(name, str)
                and isinstance(module, str)
                and vars(sys.modules.get(module, sys)) is holder
            ):
                return f"{kind} {module}.{name}"
            holder = next((one for one in gc.get_referrers(holder) if _has_dict(one, holder)), None)
            if holder is not None and isinstance(name, str):
                return f"{kind} {type(holder).__module__}.{type(holder).__qualname__}.{name}"
        elif hasattr(holder, "__dict__"):
            name = next((key for key, value in vars(holder).items() if value is container), None)
            if name is not None:
                return f"{kind} {type(holder).__module__}.{type(holder).__qualname__}.{name}"
    return f"a {kind}"


def _has_dict(one: Any, wanted: dict[Any, Any]) -> bool:
    return getattr(one, "__dict__", None) is wanted


def _traced() -> Any:
    tracemalloc = sys.modules.get("tracemalloc")
    return tracemalloc.take_snapshot() if tracemalloc is not None and tracemalloc.is_tracing() else None


def _lines(before: Any) -> Found:
    now = _traced()
    if now is None:
        return []
    differences = now.compare_to(before, "lineno") if before is not None else now.statistics("lineno")
    found: Found = []
    for one in differences:
        frame = one.traceback[0]
        size = getattr(one, "size_diff", one.size)
        if size > 0 and "tracemalloc" not in frame.filename and "resilient_runtime" not in frame.filename:
            count = getattr(one, "count_diff", one.count)
            what = f"allocated at {without_query(frame.filename)}:{frame.lineno}"
            found.append({"what": what, "count": count, "bytes": size})
        if len(found) == _MOST:
            break
    return found
