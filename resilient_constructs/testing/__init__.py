"""Helpers for the tests of people who build with these constructs.

Importing this package starts no Node process; each helper loads what it needs when it is called.
"""

from __future__ import annotations

from .requests import JsiiCount, count_jsii

__all__ = ["JsiiCount", "count_jsii"]
