"""The user's code: a folder and the function in it, read but never imported at synth."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resilient_runtime.settings import Mode

from resilient_constructs.assets import DEFAULT_EXCLUDE, is_excluded
from resilient_constructs.limits import Faults

from .limits import HANDLER_PAGE

__all__ = ["Handler"]

_ARGUMENTS: dict[Mode, str] = {
    "event": "(event, context)",
    "messages": "(body, call)",
    "records": "(data, call)",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Handler:
    """A function in a folder of Python code; make one with ``from_directory``.

    :param directory: the folder that becomes the function's code, with the dependencies that it lists; None
        for a handler of the runtime itself, which lies in the layer
    :param entry: the function in it, as ``module.function``
    :param exclude: glob patterns of what else to leave out
    :param told: environment variables that a handler of the runtime reads
    """

    directory: Path | None
    entry: str
    exclude: tuple[str, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_directory(cls, directory: str | Path, entry: str, *, exclude: Sequence[str] = ()) -> Handler:
        """Name a function by the folder it is in and its ``module.function``.

        Nothing is read here: the construct that takes the handler tells what is wrong with it, together with
        everything else that is wrong.

        :param directory: absolute, or relative to the current directory. A ``requirements.txt``, else a
            ``pyproject.toml``, in it lists the dependencies; they are installed from prebuilt wheels
        :param entry: ``module.function``, or ``package.module.function``
        :param exclude: glob patterns to leave out of the code. Default: caches, virtual environments,
            version control, tests and ``.env`` files
        """
        return cls(directory=Path(directory).expanduser(), entry=entry, exclude=tuple(exclude))

    @classmethod
    def of_runtime(cls, entry: str, *, told: Mapping[str, str]) -> Handler:
        """A handler that this package brings along: other constructs of it run such handlers.

        :param entry: ``resilient_runtime.module.function``
        :param told: environment variables that it reads
        """
        return cls(directory=None, entry=entry, told=dict(told))

    def check(self, faults: Faults, *, mode: Mode, python: str = "3.11") -> None:
        """Note what is wrong: no such folder, file or function, or one that cannot be called in this mode.

        :param python: the Python that will run it; its grammar may be newer than the one of this machine
        """
        if self.directory is None:
            return
        if not self.directory.is_dir():
            # where a relative path led, because it depends on where the app was started
            faults.add("handler", str(self.directory.absolute()), "a folder that exists", HANDLER_PAGE)
            return
        module, _, function = self.entry.rpartition(".")
        parts = [*module.split("."), function]
        if not all(part.isidentifier() for part in parts):
            faults.add("handler", self.entry, "module.function, in Python names", HANDLER_PAGE)
            return
        path = _file_of(self.directory, module)
        if path is None:
            files = ", ".join(sorted(_modules(self.directory))) or "none, there is no Python file"
            allowed = f"a module in {self.directory.absolute()}: {files}"
            faults.add("handler", self.entry, allowed, HANDLER_PAGE)
            return
        relative = path.relative_to(self.directory).as_posix()
        if is_excluded(relative, (*DEFAULT_EXCLUDE, *self.exclude)):
            faults.add("handler", self.entry, f"a file that is not excluded, and {relative} is", HANDLER_PAGE)
            return
        self._check_function(path, function, mode, python, faults)

    def _check_function(self, path: Path, function: str, mode: Mode, python: str, faults: Faults) -> None:
        source = path.read_bytes()
        try:
            tree = ast.parse(source, filename=str(path))
        except (SyntaxError, ValueError) as error:
            if _is_newer(python) and re.search(rb"\b%s\b" % function.encode(), source):
                return  # perhaps a grammar that this Python does not know yet: not ours to refuse
            faults.add("handler", self.entry, f"Python that compiles, and {path} says: {error}", HANDLER_PAGE)
            return
        names = dict(_names(tree.body))
        if function not in names and "*" not in names:
            functions = ", ".join(name for name, made in names.items() if _is_function(made)) or "none"
            allowed = f"a function at the top level of {path.name}: {functions}"
            faults.add("handler", self.entry, allowed, HANDLER_PAGE)
            return
        made = names.get(function)
        if isinstance(made, ast.AsyncFunctionDef):
            # Lambda would get a coroutine that nobody awaits, and the message would count as done.
            faults.add("handler", self.entry, "def, not async def, which Lambda never awaits", HANDLER_PAGE)
        elif isinstance(made, ast.FunctionDef) and not _takes_two(made):
            allowed = f"a function called with {_ARGUMENTS[mode]} in mode {mode!r}"
            faults.add("handler", self.entry, allowed, HANDLER_PAGE)


def _file_of(directory: Path, module: str) -> Path | None:
    base = directory.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if path.is_file():
            return path
    return None


def _is_newer(python: str) -> bool:
    numbers = python.split(".")
    return all(each.isdigit() for each in numbers) and tuple(map(int, numbers)) > sys.version_info[:2]


def _is_function(node: ast.stmt) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_")


def _takes_two(function: ast.FunctionDef) -> bool:
    if function.decorator_list:
        return True  # a decorator may change what it is called with
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    if any(default is None for default in arguments.kw_defaults):
        return False
    return required <= 2 and (positional >= 2 or arguments.vararg is not None)


def _names(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """What a module binds at its top level, also inside ``if``, ``try`` and ``with``."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield alias.asname or alias.name.split(".")[0], node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from ((name.id, node) for name in ast.walk(target) if isinstance(name, ast.Name))
        else:
            for block in ("body", "orelse", "finalbody"):
                yield from _names(getattr(node, block, []))
            for except_clause in getattr(node, "handlers", []):
                yield from _names(except_clause.body)


def _modules(directory: Path) -> Iterator[str]:
    for path in directory.iterdir():
        if path.suffix == ".py" and path.stem.isidentifier():
            yield path.stem
        elif (path / "__init__.py").is_file() and not is_excluded(path.name, DEFAULT_EXCLUDE):
            yield path.name
