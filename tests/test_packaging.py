"""The plugin as people get it: from a wheel, from a wheel made of the sdist, from a clone."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from operator import attrgetter
from pathlib import Path

import pytest
from napari._app_model.constants import MenuId  # no public list of the menus open to plugins
from npe2 import PluginManifest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "napari_unet"
NAME = "napari-unet-interactive"

# What napari does at start, then what a person does first: open each sample.
_LOOK = """
import json, pathlib, napari_unet
from npe2 import PluginManager
manager = PluginManager.instance()
manager.discover()
manifest = manager.get_manifest("napari-unet-interactive")
samples = manifest.contributions.sample_data or []
print(json.dumps({
    "package": str(pathlib.Path(napari_unet.__file__).parent),
    "widgets": [widget.display_name for widget in manifest.contributions.widgets or []],
    "samples": {sample.key: len(sample.open()) for sample in samples},
}))
"""


def run(*command: object, cwd: Path) -> str:
    """Run a command away from the sources and give its output."""
    away = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=away,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy of what is in the repository, or will be at the next commit."""
    listed = run("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=ROOT)
    copy = tmp_path_factory.mktemp("checkout")
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, copy / name
        if source.exists() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return copy


@pytest.fixture(scope="session")
def wheels(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel made of the tree, and the one made of the sdist."""
    direct, through_sdist = tmp_path_factory.mktemp("direct"), tmp_path_factory.mktemp("sdist")
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--wheel", "--outdir", direct, checkout, cwd=direct)
    run(*build, "--outdir", through_sdist, checkout, cwd=direct)
    return {
        "wheel": next(direct.glob("*.whl")),
        "wheel through sdist": next(through_sdist.glob("*.whl")),
    }


def make_environment(folder: Path) -> Path:
    """Make an environment with everything that is installed here except this project."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    target = Path(
        run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder).strip()
    )
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "napari_unet" not in entry.name:
            (target / entry.name).symlink_to(entry)
    return python


@pytest.fixture(scope="session", params=["wheel", "wheel through sdist", "editable"])
def installed(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    checkout: Path,
    wheels: dict[str, Path],
) -> dict[str, object]:
    """What napari sees of one install: package folder, widgets, layers of each sample."""
    folder = tmp_path_factory.mktemp("environment")
    python = make_environment(folder)
    editable = request.param == "editable"
    what = ["--editable", checkout] if editable else [wheels[request.param]]
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*install, "--no-deps", "--no-index", "--no-build-isolation", *what, cwd=folder)
    return {"how": request.param, **json.loads(run(python, "-c", _LOOK, cwd=folder))}


def contents(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in files if "__pycache__" not in path.parts}


@pytest.mark.parametrize("how", ["wheel", "wheel through sdist"])
def test_wheel_carries_the_whole_package(wheels: dict[str, Path], checkout: Path, how: str) -> None:
    names = zipfile.ZipFile(wheels[how]).namelist()
    packed = {
        name.removeprefix("napari_unet/") for name in names if name.startswith("napari_unet/")
    }
    samples = {f"sample_data/{name}" for name in contents(checkout / "sample_data")}
    documents = {f"docs/{name}" for name in contents(checkout / "docs")}  # for *First steps*
    linked = {"README.md"}  # from the documents
    assert packed == contents(checkout / "src" / "napari_unet") | samples | documents | linked
    assert "napari.yaml" in packed
    assert any(name.endswith(".safetensors") for name in packed), "no bundled model"
    assert samples


@pytest.mark.parametrize("how", ["wheel", "wheel through sdist"])
def test_wheel_carries_the_licences(wheels: dict[str, Path], how: str) -> None:
    names = zipfile.ZipFile(wheels[how]).namelist()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_install_shows_the_plugin(installed: dict[str, object], checkout: Path) -> None:
    manifest = PluginManifest.from_file(PACKAGE / "napari.yaml")
    in_checkout = Path(str(installed["package"])).is_relative_to(checkout)
    assert in_checkout is (installed["how"] == "editable")
    assert installed["widgets"] == [w.display_name for w in manifest.contributions.widgets or []]
    assert installed["widgets"]


def test_install_opens_every_sample(installed: dict[str, object]) -> None:
    samples = installed["samples"]
    assert samples
    assert all(samples.values()), samples


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    """The manifest in the package."""
    return PluginManifest.from_file(PACKAGE / "napari.yaml")


def test_manifest_at_the_top_is_the_one_in_the_package() -> None:
    assert (ROOT / "napari.yaml").read_text() == (PACKAGE / "napari.yaml").read_text()


def test_manifest_names(manifest: PluginManifest) -> None:
    commands = [command.id for command in manifest.contributions.commands]
    assert manifest.name == NAME
    assert len(commands) == len(set(commands))
    assert all(command.startswith(f"{NAME}.") for command in commands)


def test_manifest_uses_only_declared_commands(manifest: PluginManifest) -> None:
    given = manifest.contributions
    parts = [*(given.widgets or []), *(given.sample_data or []), *(given.writers or [])]
    parts += [*(given.readers or [])]
    parts += [item for items in (given.menus or {}).values() for item in items]
    used = {part.command for part in parts if getattr(part, "command", None)}
    declared = {command.id for command in given.commands}
    assert used == declared, "a command that is not declared, or one that nothing uses"


def test_manifest_menus_are_open_to_plugins(manifest: PluginManifest) -> None:
    assert set(manifest.contributions.menus or {}) <= {
        str(menu) for menu in MenuId.contributables()
    }


def test_manifest_commands_resolve(manifest: PluginManifest) -> None:
    for command in manifest.contributions.commands:
        module, attribute = str(command.python_name).split(":")
        assert callable(attrgetter(attribute)(importlib.import_module(module))), command.id
