"""Changing a circuit by hand."""

from __future__ import annotations

from .circuit import Circuit, CircuitState, after_order
from .store import CircuitStore

__all__ = ["order"]

_TRIES = 10


def order(
    store: CircuitStore, name: str, state: CircuitState, *, now: float, reason: str, by: str
) -> Circuit:
    """Close a circuit, force it open, or disable it; environments know within one cache period.

    FORCED_OPEN and DISABLED stay until another order.

    :param now: wall-clock seconds
    :param reason: why, for whoever asks later
    :param by: who
    :returns: the circuit as it is stored now
    :raises ValueError: for another state, or without a reason
    :raises RuntimeError: when others changed the circuit again and again at the same time
    """
    before = store.read(name).circuit
    for _ in range(_TRIES):
        wanted = after_order(before, state, now=now, reason=reason, by=by)
        if wanted is before:
            return before
        written = store.change(name, wanted, before=before)
        if written.done:
            return wanted
        before = written.record.circuit
    raise RuntimeError(f"circuit {name!r} was changed by others {_TRIES} times meanwhile; try again")
