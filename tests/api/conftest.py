"""A node for every test of the API; whatever it opens must be closed at the end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.node import Node, a_node
from tests.leaks import no_leaks


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Node]:
    """A node that is up."""
    async with no_leaks(grace_s=2.0), a_node(tmp_path) as node:
        yield node
