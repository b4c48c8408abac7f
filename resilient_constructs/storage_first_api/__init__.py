"""A REST API that stores what it accepts before anybody works on it, without a function in between."""

from __future__ import annotations

from .authorization import Authorization
from .construct import StorageFirstApi
from .route import Route, Throttle

__all__ = ["Authorization", "Route", "StorageFirstApi", "Throttle"]
