"""The demonstration: a slow, failing courier, traffic, an outage, and a ledger of what became of it."""
