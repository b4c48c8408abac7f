"""A pytest fixture with a local AWS: ``from resilient_constructs.testing import local_aws`` in a conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilient_constructs.local import LocalAws

__all__ = ["local_aws"]

_process = pytest.StashKey[LocalAws]()


@pytest.fixture(scope="module")
def local_aws(request: pytest.FixtureRequest) -> Iterator[LocalAws]:
    """An empty local AWS for the module's tests, with IAM enforced.

    One process serves the whole session (each worker of pytest-xdist has its own, on a free port) and
    forgets everything between modules. Deploy in a module-scoped fixture of your own.
    """
    config = request.config
    aws = config.stash.get(_process, None)
    if aws is None or not aws.running:
        aws = LocalAws().start()
        config.stash[_process] = aws
        config.add_cleanup(aws.stop)
    yield aws
    if aws.running:
        aws.reset()
