"""What the emulator lacks and our constructs need: one file per gap, each with a probe test.

Every file says what AWS does, what ministack 1.5.33 does instead, and the AWS page. They replace private
names of ministack; the pinned version and the probe tests are what makes that bearable.
"""

from __future__ import annotations

from ministack.app import app

__all__ = ["app"]
