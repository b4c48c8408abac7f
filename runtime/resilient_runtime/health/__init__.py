"""The health of an execution environment: what it uses, when that is too much, and what cures it."""
