"""Books delivered orders in a PostgreSQL database, each of them once."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from resilient_runtime import Call, Connections, Reject


def connect() -> psycopg.Connection[Any]:
    """Open one connection; whoever cannot be reached within three seconds counts as down."""
    return psycopg.connect(os.environ["LEDGER_URL"], connect_timeout=3)


# One pool for each environment. Its connection stays open from one invocation to the next; when the
# environment wakes up it is asked whether it still lives, and replaced when it does not.
ledger = Connections().database(connect, name="ledger")


def book(order: dict[str, Any], call: Call) -> None:
    """Book one order; booked again, it changes nothing."""
    try:
        with ledger() as db:  # committed at the end of the block, rolled back when it raises
            db.execute(
                "INSERT INTO bookings (idempotency_key, order_id, parcels) VALUES (%s, %s, %s) "
                "ON CONFLICT (idempotency_key) DO NOTHING",
                [call.idempotency_key, order["order_id"], order.get("parcels", 1)],
            )
    except psycopg.errors.CheckViolation as error:
        raise Reject("the ledger takes no booking without parcels") from error
