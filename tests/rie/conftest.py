"""A function on AWS's own runtime binary, with Lambda's limits: written by the test, ended with it."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from resilient_constructs.soak import ExecutionEnvironment

# AWS builds the binary for Linux alone; make setup fetches it there.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]

Emulate = Callable[..., ExecutionEnvironment]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the binary."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.rie)


@pytest.fixture
def emulate(tmp_path: Path) -> Iterator[Emulate]:
    """Start a function from its source text; see ``start`` below.

    ``emulate(source, wrapped=True, memory=128, env=settings.to_env())`` returns the running environment.
    """
    with contextlib.ExitStack() as running:

        def start(
            source: str,
            *,
            function: str = "handler",
            wrapped: bool = False,
            env: Mapping[str, str] | None = None,
            memory: int = 128,
            tmp: int = 512,
            descriptors: int = 1024,
            timeout: int = 3,
        ) -> ExecutionEnvironment:
            """Start it.

            :param source: the text of the handler's module
            :param function: the handler in it
            :param wrapped: whether ``resilient_runtime.entry.handler`` calls it, in mode ``event`` if ``env``
                says nothing else
            :param env: variables besides Lambda's own
            """
            folder = tmp_path / f"function{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            (folder / "function.py").write_text(textwrap.dedent(source))
            settings = {"RESILIENT_HANDLER": f"function.{function}"} if wrapped else {}
            return running.enter_context(
                ExecutionEnvironment(
                    "resilient_runtime.entry.handler" if wrapped else f"function.{function}",
                    path=folder,
                    env={**settings, **(env or {})},
                    memory=memory,
                    tmp=tmp,
                    descriptors=descriptors,
                    timeout=timeout,
                    engine="rie",
                )
            )

        yield start
