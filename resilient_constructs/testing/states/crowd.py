"""The branches of a Parallel, or the iterations of a Map: so many at once, and one failure ends them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .branch import Branch
from .errors import StatesError

__all__ = ["Crowd", "Run"]

Run = tuple[Mapping[str, Any], Any, Mapping[str, Any]]


class Crowd:
    """Runs a state's inner scopes.

    :param owner: the branch whose state this is
    :param runs: scope, input and additions to the context, each
    :param most: how many at once; 0 for all
    """

    def __init__(self, owner: Branch, runs: list[Run], most: int) -> None:
        self._owner = owner
        self._runs = runs
        self._most = most or len(runs)
        self._results: dict[int, Any] = {}
        self._begun = 0
        self._branches: list[Branch] = []
        self._is_over = False

    def begin(self) -> None:
        """Begin as many as may run at once."""
        if not self._runs:
            self._owner.finish_crowd([], None)
        for _ in range(min(self._most, len(self._runs))):
            self._begin_next()

    def _begin_next(self) -> None:
        if self._is_over or self._begun >= len(self._runs):
            return
        number = self._begun
        self._begun += 1
        scope, data, extra = self._runs[number]

        def ended(output: Any, error: StatesError | None) -> None:
            self._ended(number, output, error)

        branch = Branch(
            scope, self._owner.execution, self._owner.variables, {**self._owner.context, **extra}, ended
        )
        self._branches.append(branch)
        self._owner.add(branch)
        branch.begin(data)

    def _ended(self, number: int, output: Any, error: StatesError | None) -> None:
        if self._is_over:
            return
        if error is not None:
            self._is_over = True
            for branch in self._branches:
                branch.abort()
            self._owner.finish_crowd(None, error)
            return
        self._results[number] = output
        if len(self._results) == len(self._runs):
            self._is_over = True
            self._owner.finish_crowd([self._results[one] for one in range(len(self._runs))], None)
        else:
            self._begin_next()
