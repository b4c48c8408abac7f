"""Figures of this library next to those of its peers: ``python -m benchmarks NAME [--json]``."""
