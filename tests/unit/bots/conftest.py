"""Every test of the bots gives back its tasks and sockets."""

from collections.abc import AsyncIterator

import pytest

from tests.leaks import no_leaks


@pytest.fixture(autouse=True)
async def _nothing_leaks() -> AsyncIterator[None]:
    async with no_leaks():
        yield
