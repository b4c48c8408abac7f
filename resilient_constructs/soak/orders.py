"""What is to be soaked and how, and the environment for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .environment import ExecutionEnvironment
from .errors import SoakError
from .judging import PROCESSES_AND_THREADS
from .launch import Engine
from .story import ResourceName

__all__ = ["Orders", "ask"]

_INSIDE = Path(__file__).with_name("inside")
_QUESTION = "resilient_soak"
_MB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What is to be soaked, and how.

    :param handler: ``module.function``
    :param path: the folder with its module
    :param event: what it is invoked with
    :param invocations: how often at most
    :param memory: MB
    :param tmp: MB
    :param descriptors: open file descriptors
    :param timeout: whole seconds of one invocation
    :param env: variables besides Lambda's own
    :param python_path: folders with further modules
    :param engine: AWS's emulator or the stand-in
    :param named: the handler as the user named it
    :param messages: whether it is given messages, and a returned one is a failure
    """

    handler: str
    path: Path
    event: Any
    invocations: int
    memory: int = 128
    tmp: int = 512
    descriptors: int = 1024
    timeout: int = 3
    env: Mapping[str, str] = field(default_factory=dict)
    python_path: tuple[Path, ...] = ()
    engine: Engine = "auto"
    named: str = ""
    messages: bool = False

    @property
    def limits(self) -> dict[ResourceName, float]:
        """The most of each resource."""
        return {
            "descriptors": self.descriptors,
            "memory": self.memory * _MB,
            "tmp": self.tmp * _MB,
            "threads": PROCESSES_AND_THREADS,
        }

    def environment(self, *, explain: bool = False) -> ExecutionEnvironment:
        """An environment for one run; the explaining one has room for what explains."""
        return ExecutionEnvironment(
            "resilient_soak_inside.handler",
            path=self.path,
            memory=self.memory * 4 if explain else self.memory,
            tmp=self.tmp,
            descriptors=self.descriptors,
            timeout=self.timeout * 5 if explain else self.timeout,
            env={
                "RESILIENT_SOAK_HANDLER": self.handler,
                **({"RESILIENT_SOAK_EXPLAIN": "1"} if explain else {}),
                **self.env,
            },
            python_path=(*self.python_path, _INSIDE),
            engine=self.engine,
        )


def ask(environment: ExecutionEnvironment, question: str) -> Any:
    """Ask what runs around the handler; see ``inside``.

    :raises SoakError: when there is no answer
    """
    reply = environment.invoke({_QUESTION: question})
    if reply.error is not None:
        raise SoakError(f"the soaked environment did not answer: {reply.error.type}: {reply.error.message}")
    return reply.value
