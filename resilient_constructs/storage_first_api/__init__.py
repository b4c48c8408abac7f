"""A REST API that stores what it accepts before anybody works on it, without a function in between."""

from __future__ import annotations

from .construct import StorageFirstApi
from .route import Authorization, Route, Throttle

__all__ = ["Authorization", "Route", "StorageFirstApi", "Throttle"]
