"""What the tests of the plugin without a window share."""

import pytest
from scene import Scene


@pytest.fixture
def scene(qapp, tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.correcting.close()
