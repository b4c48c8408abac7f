"""The circuits of several downstreams, as far as one function can take part in them."""

from __future__ import annotations

from collections.abc import Sequence

from resilient_constructs.limits import Faults

from .circuits import Circuits
from .construct import Downstream
from .limits import SCALING_PAGE

__all__ = ["check_circuits", "circuits_of"]


def circuits_of(downstreams: Sequence[Downstream]) -> Circuits | None:
    """Where the circuits of these downstreams are shared; None where none has a breaker."""
    return next((each.circuits for each in downstreams if each.circuits is not None), None)


def check_circuits(faults: Faults, downstreams: Sequence[Downstream]) -> None:
    """Note breakers whose circuits live in several tables: a function knows one."""
    guarded = [each for each in downstreams if each.circuits is not None]
    if len({id(each.circuits) for each in guarded}) > 1:
        names = ", ".join(each.node.path for each in guarded)
        faults.add("downstream", names, "downstreams with a breaker of one stack", SCALING_PAGE)
