"""What an execution environment is started with: the command of either engine, and Lambda's variables."""

from __future__ import annotations

import importlib.util
import os
import random
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .emulator import find_rie
from .errors import SoakError

__all__ = ["Engine", "Wishes", "below_tmp", "choose_engine", "lambda_environment", "loopback_address"]

Engine = Literal["auto", "rie", "plain"]
_HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """Whose environment it is, and how large.

    :param handler: ``module.function``
    :param path: the folder with the handler's module, Lambda's task root
    :param memory: MB
    :param tmp: MB
    :param descriptors: how many a process may have open
    :param timeout: whole seconds of one invocation
    :param env: variables besides Lambda's own
    :param python_path: folders besides the task root in which modules are found
    :param function_name: what Lambda calls the function
    """

    handler: str
    path: Path
    memory: int
    tmp: int
    descriptors: int
    timeout: int
    env: Mapping[str, str]
    python_path: Sequence[Path]
    function_name: str


def choose_engine(wanted: Engine) -> tuple[Literal["rie", "plain"], Path | None]:
    """The engine to use, and the emulator's binary where it is that.

    :raises SoakError: when AWS's is wanted and cannot be had
    """
    if wanted == "plain":
        return "plain", None
    binary = find_rie()
    client = importlib.util.find_spec("awslambdaric")
    if binary is not None and client is not None:
        return "rie", binary
    if wanted == "auto":
        return "plain", None
    if sys.platform != "linux":
        raise SoakError("AWS's runtime emulator runs on Linux only; use the plain engine here")
    missing = "awslambdaric is" if client is None else "the binary of AWS's runtime emulator is"
    remedy = (
        'pip install "resilient-constructs[local]"'
        if client is None
        else "python -m resilient_constructs.soak"
    )
    raise SoakError(f"{missing} not here; run: {remedy}")


def lambda_environment(wishes: Wishes) -> dict[str, str]:
    """The runtime's whole environment, built from nothing: a host's profile or proxy must not leak into it.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONPATH": os.pathsep.join([_runtime_folder(), *map(str, wishes.python_path)]),
        # Lambda's task root is read-only, and a soak must leave nothing in the user's folders.
        "PYTHONDONTWRITEBYTECODE": "1",
        "LAMBDA_TASK_ROOT": str(wishes.path),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_FUNCTION_NAME": wishes.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(wishes.memory),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(wishes.timeout),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{wishes.function_name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "soak",
        "_HANDLER": wishes.handler,
        # What is printed before a crash must be in the log; the interface client flushes each line as well.
        "PYTHONUNBUFFERED": "1",
        **wishes.env,
    }


def rie_command(binary: Path, wishes: Wishes, *, address: str, runtime_api: str) -> list[str]:
    """AWS's emulator with the runtime behind it."""
    return [
        str(binary),
        *("--log-level", "error"),
        *("--runtime-api-address", runtime_api),
        *("--runtime-interface-emulator-address", address),
        *(sys.executable, "-m", "awslambdaric", wishes.handler),
    ]


def plain_command(wishes: Wishes, *, listener: int) -> list[str]:
    """Our stand-in with the runtime behind it."""
    plain = str(_HERE / "plain.py")
    return [
        *(sys.executable, plain, "serve", str(listener), str(wishes.timeout)),
        *(sys.executable, plain, "work", wishes.handler),
    ]


def loopback_address() -> tuple[str, int]:
    """A free port on one of the loopback interface's sixteen million addresses.

    The emulator binds by number, so there is a moment in which somebody else could take the port; nobody else
    is at that address.
    """
    draw = random.SystemRandom()
    host = f"127.{draw.randrange(1, 255)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return host, port


def below_tmp(wishes: Wishes, binary: Path | None) -> list[str]:
    """What lies in /tmp and must stay visible when an empty one is put there: code and interpreters."""
    wanted: Iterable[str | Path | None] = (
        wishes.path,
        *wishes.python_path,
        _runtime_folder(),
        _HERE,
        binary and binary.parent,
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        *sys.path,
    )
    folders = {Path(one).resolve() for one in wanted if one}
    tmp = Path("/tmp").resolve()  # noqa: S108 (Lambda's, by name)
    # Outer folders first: what lies in one that is kept is already there.
    return sorted(str(one) for one in folders if tmp in one.parents and one.is_dir())


def _runtime_folder() -> str:
    spec = importlib.util.find_spec("resilient_runtime")
    assert spec is not None  # noqa: S101 (a part of this distribution)
    assert spec.origin is not None  # noqa: S101 (a package with an __init__)
    return str(Path(spec.origin).parents[1])
