"""The app that ``test_configured_permissions`` deploys."""

from __future__ import annotations

import sys
from pathlib import Path

from aws_cdk import App, Stack

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from configured_consumer import configure  # noqa: E402  the proofs' own folder is no package

from resilient_constructs import Handler  # noqa: E402

app = App()
configure(Stack(app, "Configured"), handler=Handler.from_directory(HERE / "handlers", "configured.deliver"))
app.synth()
