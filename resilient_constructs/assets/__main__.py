"""``python -m resilient_constructs.assets``: build the layer now; later synths work offline."""

from __future__ import annotations

import sys

from . import AssetError, runtime_layer_asset

if __name__ == "__main__":
    try:
        runtime_layer_asset()
    except AssetError as error:
        sys.exit(str(error))
