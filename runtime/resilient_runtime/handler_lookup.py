"""Finds the user's handler, and says what was looked for, and where, when it is not there."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["Handler", "HandlerNotFound", "find_handler", "folder_of"]

Handler = Callable[[Any, Any], Any]


# Lambda reports an ImportError as Runtime.ImportModuleError, with its text: hence the base class.
class HandlerNotFound(ImportError):  # noqa: N818
    """The user's handler is not where ``RESILIENT_HANDLER`` says."""


def find_handler(path: str) -> Handler:
    """Import ``module.function``.

    :raises HandlerNotFound: when the module or function does not exist, or would not do its work when called
    :raises Exception: whatever the user's module raises while it is imported, unchanged
    """
    wanted = f"RESILIENT_HANDLER is {path!r}"
    module_name, dot, function_name = path.replace("/", ".").rpartition(".")
    if not dot or not module_name or not function_name:
        raise HandlerNotFound(f"{wanted}; allowed: module.function, for example 'delivery.deliver'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Only the handler's own module (or a package on the way to it) is ours to explain.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        where = ", ".join(entry or "." for entry in sys.path)
        raise HandlerNotFound(
            f"{wanted}, but there is no module {error.name!r}; looked in: {where}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        have = (
            ", ".join(n for n, v in vars(module).items() if callable(v) and not n.startswith("_")) or "none"
        )
        raise HandlerNotFound(
            f"{wanted}, but {getattr(module, '__file__', module_name)} has no function {function_name!r}; "
            f"it has: {have}"
        )
    # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR: read off the code, as importing inspect costs 10 ms.
    if getattr(getattr(function, "__code__", None), "co_flags", 0) & (0x20 | 0x80 | 0x200):
        raise HandlerNotFound(
            f"{wanted}, but {function_name} is asynchronous or a generator: calling it would do no work. "
            "Write a plain function, and use asyncio.run() inside where it needs to be asynchronous"
        )
    found: Handler = function
    return found


def folder_of(path: str) -> str:
    """The folder that the user's code lies in: where the outermost package of the handler's module is."""
    module_name = path.replace("/", ".").rpartition(".")[0]
    file = getattr(sys.modules.get(module_name), "__file__", None) or ""
    levels = module_name.count(".") + (1 if os.path.basename(file) == "__init__.py" else 0)  # noqa: PTH119
    for _ in range(levels + 1):
        file = os.path.dirname(file)  # noqa: PTH120  importing pathlib costs a cold start 5 ms
    return file
