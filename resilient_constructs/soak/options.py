"""From the command line's options to orders; everything that is wrong with them is told at once."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

from resilient_constructs.limits import Faults, Limit

from .errors import SoakError
from .launch import Engine
from .orders import Orders

__all__ = ["installed", "orders_from"]

_QUOTAS = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_HANDLER_PAGE = "https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html"
_LIMITS = {
    "invocations": Limit(prop="--invocations", low=1, high=None, unit="invocations", page=_QUOTAS),
    "memory": Limit(prop="--memory", low=128, high=10_240, unit="MB", page=_QUOTAS),
    # Lambda's least is 512; less shows a leak sooner.
    "tmp": Limit(prop="--tmp", low=1, high=10_240, unit="MB", page=_QUOTAS),
    "descriptors": Limit(prop="--descriptors", low=32, high=1024, unit="descriptors", page=_QUOTAS),
    "timeout": Limit(prop="--timeout", low=1, high=900, unit="seconds", page=_QUOTAS),
}
_MODES = ("event", "messages")
_ENTRY = "resilient_runtime.entry.handler"
_NO_CURE = '{"threshold":1.0,"reexec":false,"exit":false}'


def orders_from(
    handler: str,
    *,
    event: Path | None,
    path: Path,
    env: Sequence[str],
    engine: str,
    wrapped: bool,
    mode: str,
    numbers: Mapping[str, int],
) -> Orders:
    """The orders that the options mean.

    :param numbers: invocations, memory, tmp, descriptors and timeout
    :raises ValueError: when an option cannot be meant, with all that is wrong
    """
    faults = Faults("resilient soak")
    for name, limit in _LIMITS.items():
        faults.check(limit, numbers[name])
    if engine not in get_args(Engine):
        faults.add("--engine", engine, ", ".join(get_args(Engine)), _QUOTAS)
    if mode not in _MODES:
        faults.add("--mode", mode, " or ".join(_MODES), _HANDLER_PAGE)
    function = _dotted(handler, path, faults)
    variables = _variables(env, faults)
    body = _event(event, faults)
    faults.raise_any()
    if wrapped or mode == "messages":
        variables = {
            "RESILIENT_HANDLER": function,
            "RESILIENT_MODE": mode,
            "RESILIENT_SERVICE": "soaked",
            # Nothing is there: a rejected message cannot be stored, is returned, and so counts as a failure.
            "RESILIENT_DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/012345678912/none",
            # Messages need the runtime in any case; bare, it must not cure what is to be seen.
            **({} if wrapped else {"RESILIENT_HEALTH": _NO_CURE}),
            **variables,
        }
    return Orders(
        handler=_ENTRY if wrapped or mode == "messages" else function,
        named=f"{handler}, wrapped" if wrapped else handler,
        path=path.absolute(),
        event=_batch(body) if mode == "messages" else body,
        invocations=numbers["invocations"],
        memory=numbers["memory"],
        tmp=numbers["tmp"],
        descriptors=numbers["descriptors"],
        timeout=numbers["timeout"],
        env=variables,
        engine=engine,  # type: ignore[arg-type]  # checked above
        messages=mode == "messages",
    )


def installed(requirements: Path | None, stack: ExitStack) -> tuple[Path, ...]:
    """A folder with the requirements installed; it is gone when the stack ends.

    :raises SoakError: when pip cannot install them
    """
    if requirements is None:
        return ()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="resilient-soak-packages-")))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--target", str(folder), "--requirement", str(requirements)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise SoakError(f"--requirements {requirements} could not be installed: {said}")
    return (folder,)


def _dotted(handler: str, path: Path, faults: Faults) -> str:
    """``orders:handle``, ``orders.handle`` and Lambda's ``folder/orders.handle`` are the same to us."""
    module, _, function = handler.replace("/", ".").replace(":", ".").rpartition(".")
    if not module or not function.isidentifier():
        faults.add("MODULE:FUNCTION", handler, "for example orders:handle", _HANDLER_PAGE)
        return handler
    place = path.joinpath(*module.split("."))
    if not path.is_dir():
        faults.add("--path", str(path), "a folder that exists", _HANDLER_PAGE)
    elif not (place.with_name(f"{place.name}.py").is_file() or (place / "__init__.py").is_file()):
        faults.add(
            "MODULE:FUNCTION",
            handler,
            f"a module in {path.absolute()}, which has no {module}; name its folder with --path",
            _HANDLER_PAGE,
        )
    return f"{module}.{function}"


def _variables(env: Sequence[str], faults: Faults) -> dict[str, str]:
    found = {}
    for one in env:
        name, equals, value = one.partition("=")
        if not equals or not name:
            faults.add("--env", one, "KEY=VALUE", _QUOTAS)
        found[name] = value
    return found


def _event(event: Path | None, faults: Faults) -> Any:
    if event is None:
        return {}
    try:
        return json.loads(event.read_text(encoding="utf-8"))
    except OSError as error:
        faults.add("--event", str(event), f"a file that can be read ({error.strerror})", _HANDLER_PAGE)
    except ValueError as error:
        faults.add("--event", str(event), f"a file with JSON ({error})", _HANDLER_PAGE)
    return None


def _batch(body: Any) -> Any:
    """An SQS batch: the event as it is where it is one, else a batch with it as its only message.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    if isinstance(body, dict) and isinstance(body.get("Records"), list):
        return body
    record = {
        "messageId": "00000000-0000-4000-8000-000000000000",
        "receiptHandle": "none",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1700000000000"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:012345678912:soaked",
        "awsRegion": "us-east-1",
    }
    return {"Records": [record]}
