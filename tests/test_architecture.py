"""What importing costs, and the house rules that no linter knows."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import find_spec
from pathlib import Path
from statistics import quantiles

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "napari_unet"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCREEN = {"napari", "qtpy", "PyQt6", "PySide6", "magicgui", "superqt"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages in memory after importing `modules` in a new interpreter."""
    code = (
        f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def require(module: str) -> None:
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip(f"{module} is not written yet")


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("napari_unet", SCREEN | {"torch", "dask", "zarr", "scipy", "skimage"}),
        ("napari_unet.settings", SCREEN | {"torch", "dask"}),
        ("napari_unet.network.spec", SCREEN | {"torch", "dask"}),
        ("napari_unet.tiling.tiles", SCREEN | {"torch", "dask"}),
        ("napari_unet.models.library", SCREEN | {"torch", "dask"}),
        ("napari_unet.engine.protocol", SCREEN | {"torch", "dask"}),
        ("napari_unet.engine.client", SCREEN | {"torch", "dask"}),
        ("napari_unet.cli.main", SCREEN | {"torch"}),
        ("napari_unet.engine.worker", SCREEN | {"dask"}),
    ],
)
def test_import_stays_light(module: str, absent: set[str]) -> None:
    require(module)
    assert not loaded_by(module) & absent


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def within(*folders: str) -> list[str]:
    """Names of the modules of some folders, and of all folders in them."""
    return [dotted(path) for path in MODULES if path.relative_to(PACKAGE).parts[0] in set(folders)]


def test_modules_of_a_folder_are_those_of_its_folders_too() -> None:
    found = within("plugin", "engine")
    listed = {
        dotted(path) for folder in ("plugin", "engine") for path in (PACKAGE / folder).rglob("*.py")
    }
    assert set(found) == listed
    assert len(found) > 40


def test_viewer_process_never_loads_torch() -> None:
    modules = within("plugin", "engine")
    loaded = loaded_by(*modules)
    assert "napari_unet" in loaded
    assert "torch" not in loaded


def functions() -> Iterator[tuple[str, Function]]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, Function):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}", node


def body_lines(function: Function) -> int:
    """Lines of a function's body, its docstring not counted."""
    body = function.body
    has_docstring = ast.get_docstring(function, clean=False) is not None
    start = body[0].end_lineno + 1 if has_docstring else body[0].lineno
    return function.end_lineno - start + 1


def parameters(function: Function) -> int:
    """Parameters of a function, `self` and `cls` not counted."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    own = named and named[0].arg in {"self", "cls"}
    return len(named) - bool(own) + bool(given.vararg) + bool(given.kwarg)


def is_handler_for_everything(node: ast.AST) -> bool:
    return isinstance(node, ast.ExceptHandler) and node.type is None


def is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def is_pickle(node: ast.AST) -> bool:
    """Whether the node imports a pickle module or asks torch or NumPy to unpickle."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    else:
        return isinstance(node, ast.keyword) and (
            (node.arg == "weights_only" and getattr(node.value, "value", None) is False)
            or (node.arg == "allow_pickle" and getattr(node.value, "value", None) is not False)
        )
    return bool({"pickle", "cloudpickle", "dill", "joblib"} & {n.split(".")[0] for n in names})


def test_files_are_short() -> None:
    long = {
        str(path): n for path in MODULES if (n := len(path.read_text("utf-8").split("\n"))) > 401
    }
    assert not long


def test_folders_can_be_overseen() -> None:
    """At most 8 modules beside the folders and in each of the plugin's, 12 in any other."""
    counts = {folder: len(list(folder.glob("*.py"))) for folder in {p.parent for p in MODULES}}
    for folder, count in counts.items():
        plugin = "plugin" in folder.relative_to(PACKAGE).parts
        assert count <= (8 if plugin or folder == PACKAGE else 12), folder


def imports_of(path: Path) -> set[str]:
    """Modules of the project that a module imports, for annotations and inside functions, too."""
    known, found = {dotted(module) for module in MODULES}, set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names | {node.module}) & known
    return found - {dotted(path)}


def test_no_circle_of_imports() -> None:
    graph = {dotted(path): imports_of(path) for path in MODULES if path.name != "__init__.py"}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_functions_are_short() -> None:
    lengths = {name: body_lines(function) for name, function in functions()}
    assert not {name: n for name, n in lengths.items() if n > 50}
    assert quantiles(lengths.values(), n=10)[-1] <= 25


def test_functions_take_few_parameters() -> None:
    # A command has one parameter for each of its options: that is how typer declares them.
    long = {name for name, function in functions() if parameters(function) > 6}
    assert not {name for name in long if not name.startswith("cli/")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_the_house_rules(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    broken = [node.lineno for node in nodes if is_handler_for_everything(node) or is_pickle(node)]
    if path.parent.name != "cli":
        broken += [node.lineno for node in nodes if is_call_of(node, "print")]
    assert not broken, f"print, bare except or pickle on lines {broken} of {path.name}"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import pickle", True),
        ("from pickle import loads", True),
        ("torch.load(f, weights_only=False)", True),
        ("np.load(f, allow_pickle=flag)", True),
        ("torch.load(f, weights_only=True)", False),
        ("import pickles_of_the_cell", False),
    ],
)
def test_pickle_check_sees(line: str, found: bool) -> None:
    assert any(is_pickle(node) for node in ast.walk(ast.parse(line))) is found
