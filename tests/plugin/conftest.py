"""What the tests of the plugin without a window share."""

import pytest
from scene import Scene

from tests.gui.flow import Network


@pytest.fixture
def scene(qapp, tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.correcting.close()


@pytest.fixture
def home(tmp_path, monkeypatch) -> None:
    """Folders of the user, of this test alone."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda _name: tmp_path / "data")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _name: tmp_path / "cache")


@pytest.fixture
def network(monkeypatch) -> Network:
    """Stands for the network in what the panel asks for."""
    return Network(monkeypatch)
