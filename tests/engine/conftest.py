"""One engine for the tests of a file."""

from collections.abc import Iterator

import pytest

from napari_unet.engine.client import Engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    one = Engine()
    yield one
    one.close()
