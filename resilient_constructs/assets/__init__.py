"""Code assets without Docker: reproducible archives of handlers, dependencies and the runtime layer.

Knows nothing of the CDK. What was built once is cached by content and needs no network again.
"""

from __future__ import annotations

from .archive import is_excluded
from .build import DEFAULT_EXCLUDE, Asset, function_asset, runtime_layer_asset
from .cache import CACHE, cache_folder
from .errors import AssetError
from .target import BUILD_FOR, Target, target_for

__all__ = [
    "BUILD_FOR",
    "CACHE",
    "DEFAULT_EXCLUDE",
    "Asset",
    "AssetError",
    "Target",
    "cache_folder",
    "function_asset",
    "is_excluded",
    "runtime_layer_asset",
    "target_for",
]
