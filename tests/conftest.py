"""What every test shares: folders of its own, hypothesis profiles, the large data if present."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from napari_unet.settings import TORCH_ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]

# Set here, not in a fixture: napari and platformdirs read them when they are first imported,
# and the child processes of the tests inherit them.
_HOME = Path(tempfile.mkdtemp(prefix="napari-unet-tests-"))
os.environ["NAPARI_CONFIG"] = str(_HOME / "napari.yaml")
for _kind in ("config", "cache", "data", "state"):
    os.environ[f"XDG_{_kind.upper()}_HOME"] = str(_HOME / _kind)

# Tests run beside each other, and torch's threads would spin while they wait; see settings.py.
for _name, _value in TORCH_ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

# In CI the same examples run each time, so that a landing never depends on chance;
# HYPOTHESIS_PROFILE=nightly looks further.
settings.register_profile(
    "default", max_examples=50, deadline=None, derandomize=bool(os.environ.get("CI"))
)
settings.register_profile("nightly", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_unconfigure() -> None:
    """Remove the tests' own folders."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real image sets, too large for the repository; skips where it is absent."""
    folder = Path(os.environ.get("NAPARI_UNET_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"the real image sets are not at {folder} (NAPARI_UNET_DATA names another folder)"
        )
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks are quickest so; two threads on a busy core wait for each other."""
    import torch  # not at the top: most tests need none, and it takes seconds

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
