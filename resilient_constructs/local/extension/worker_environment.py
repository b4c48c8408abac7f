"""The environment of a function's worker process.

AWS: a function sees its own variables and Lambda's.
ministack 1.5.33: a worker inherits the server's whole environment on top.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

import os
import subprocess
from types import ModuleType
from typing import Any

from ministack.core import lambda_runtime

_KEPT = frozenset({"PATH", "LANG", "TMPDIR", "HOME", "PYTHONDONTWRITEBYTECODE"})
_LAMBDAS_OWN = {
    "TZ": ":UTC",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python",
}


def close() -> None:
    """Put it in place."""
    # Its Popen alone is replaced, in that one module: the function's own variables arrive at the worker
    # again in its first message, so dropping every name of the server's loses none of them.
    own = ModuleType("subprocess")
    own.__dict__.update(subprocess.__dict__)
    own.__dict__["Popen"] = _spawn
    lambda_runtime.subprocess = own


def _spawn(command: list[str], *, env: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    servers = os.environ.keys() - _KEPT
    clean = {name: value for name, value in env.items() if name not in servers}
    return subprocess.Popen(command, env={**_LAMBDAS_OWN, **clean}, **options)
