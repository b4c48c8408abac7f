"""Synthesized CloudFormation as plain values: stacks, resources and what they refer to. Knows no CDK."""

from __future__ import annotations

from .assembly import Assembly, Asset, load_assembly
from .stack import Reference, Resource, StackTemplate, walk

__all__ = ["Assembly", "Asset", "Reference", "Resource", "StackTemplate", "load_assembly", "walk"]
