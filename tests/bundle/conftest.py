"""Fixtures that the tests of bundles share."""

from collections.abc import Iterator

import pytest

from safeeraser import files


@pytest.fixture(autouse=True, scope="module")
def unsynced() -> Iterator[None]:
    """Files that need not survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_sync", lambda _: None)
        yield
