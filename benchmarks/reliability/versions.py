"""Whether the main loop works in the napari versions, Python versions and Qt bindings we allow.

    python -m benchmarks.reliability.versions             all; writes docs/reliability.md
    python -m benchmarks.reliability.versions --only 3.13-newest-pyside6
                                                          one of them; writes nothing

Each combination gets an environment of its own in a temporary folder, with the pinned packages of
constraints.txt but for napari and Qt. The tests open real windows and click with a real mouse. The
interpreters are looked for on PATH, as python3.11, python3.12 and so on; where `uv` is installed it
fetches those that are missing.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.tables import ROOT, markdown, write_table

DOCUMENT = ROOT / "docs" / "reliability.md"
HEADER = ("combination", "Python", "napari", "Qt", "vispy", "passed", "failed", "s")
COMBINATIONS = (
    "3.11-oldest-pyqt6",
    "3.11-newest-pyqt6",
    "3.12-newest-pyqt6",
    "3.13-newest-pyside6",
    "3.13-oldest-pyside6",
)
MAIN_LOOP = tuple(
    f"tests/gui/test_{name}.py"
    for name in ("flow", "segment_panel", "correcting", "undo", "exporting", "closing")
)
FREE = ("napari", "vispy", "pyqt6", "pyside6", "shiboken6")  # compared, or chosen by napari
TOOLS = ("pytest", "pytest-qt", "pytest-xvfb", "hypothesis", "distributed")
BINDINGS = {"pyqt6": "PyQt6", "pyside6": "PySide6"}
NO_PYTHON = "There is no python{0} on PATH, and no uv that could fetch it"
COUNT = re.compile(r"(\d+) (passed|failed|error)")
READY = "ready"  # file in an environment that is complete
TOLD = 200  # lines of a run that failed
SHOW = (
    "import sys, napari, vispy, qtpy; "
    "print(sys.version.split()[0], napari.__version__, vispy.__version__, "
    "qtpy.API_NAME, qtpy.QT_VERSION)"
)


@dataclass(frozen=True, slots=True)
class Combination:
    """What one environment is made of.

    Attributes
    ----------
    python : str
        Such as "3.12".
    napari : str
        "oldest" that pyproject.toml allows, or "newest".
    binding : str
        "pyqt6" or "pyside6".
    """

    python: str
    napari: str
    binding: str

    def __str__(self) -> str:
        return f"{self.python}-{self.napari}-{self.binding}"

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        allowed = allowed_napari()
        if self.napari == "oldest":
            lower = re.search(r">=([\d.]+)", allowed)
            assert lower is not None, "pyproject.toml names the oldest napari"
            allowed = f"=={lower[1]}"
        return f"napari[{self.binding}]{allowed}"


def allowed_napari() -> str:
    """Return the versions of napari that pyproject.toml allows, such as ">=0.9,<0.11"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [found] = [one for one in project["dependencies"] if re.match(r"napari\W", one)]
    return str(found.removeprefix("napari"))


def interpreter(version: str) -> list[str]:
    """Return the command of a Python of some version; raises `RuntimeError` if there is none."""
    command = [f"python{version}"]
    if (
        shutil.which(command[0])
        and not subprocess.run([*command, "-V"], capture_output=True).returncode
    ):
        return command
    if shutil.which("uv"):
        subprocess.run(["uv", "python", "install", version], check=True)
        found = subprocess.run(
            ["uv", "python", "find", version], check=True, capture_output=True, text=True
        )
        return [found.stdout.strip()]
    raise RuntimeError(NO_PYTHON.format(version))


def pinned(folder: Path) -> Path:
    """Write the pins of constraints.txt without those that are compared."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if re.split(r"[=_-]", line.lower())[0] not in FREE]
    path = folder / "constraints.txt"
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return path


def make_environment(wanted: Combination, folder: Path) -> None:
    """Make an environment."""
    subprocess.run([*interpreter(wanted.python), "-m", "venv", "--clear", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--no-input", "install", "--quiet"]
    pip += ["--constraint", str(pinned(folder))]
    subprocess.run([*pip, "hatchling", "editables"], check=True, env=_clean())
    packages = [wanted.requirement, *TOOLS, "--no-build-isolation", "--editable", str(ROOT)]
    subprocess.run([*pip, *packages], check=True, env=_clean())
    (folder / READY).touch()


def _clean(**more: str) -> dict[str, str]:
    """Return the environment variables without those that belong to another Python."""
    own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return {**own, **more}


def run_tests(wanted: Combination, python: Path, tests: Sequence[str], home: Path) -> list[str]:
    """Run tests in an environment; returns the row of the table."""
    homes = {f"XDG_{n}_HOME": str(home / n.lower()) for n in ("CONFIG", "CACHE", "DATA")}
    own = {"QT_API": wanted.binding, "PYTEST_QT_API": wanted.binding}
    environment = _clean(**homes, **own, NAPARI_CONFIG=str(home / "napari.yaml"))
    shown = subprocess.run(
        [str(python), "-c", SHOW], check=True, env=environment, capture_output=True, text=True
    )
    version, napari, vispy, binding, qt = shown.stdout.split()[-5:]
    command = [str(python), "-m", "pytest", "-q", "-o", f"qt_api={wanted.binding}", *tests]
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - begun
    lines = done.stdout.splitlines()
    if done.returncode:
        print("\n".join([*lines[-TOLD:], *done.stderr.splitlines()[-TOLD:]]), flush=True)
    counts = {what: int(number) for number, what in COUNT.findall(lines[-1] if lines else "")}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    crashed = done.returncode not in (0, 1)
    told = f"ended with {done.returncode}" if crashed else str(failed)
    passed = str(counts.get("passed", 0))
    qt_name = f"{binding} {qt}"
    return [str(wanted), version, napari, qt_name, vispy, passed, told, f"{seconds:.0f}"]


def measure(wanted: Combination, tests: Sequence[str], kept: Path | None) -> list[str]:
    """Make an environment, run the tests in it, and take it away again unless it is to be kept."""
    with tempfile.TemporaryDirectory(prefix="napari-unet-versions-") as temporary:
        folder = (kept or Path(temporary)) / str(wanted)
        python = folder / "bin" / "python"
        if not (folder / READY).exists():
            make_environment(wanted, folder)
        return run_tests(wanted, python, tests, Path(temporary) / "home")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=COMBINATIONS, default=list(COMBINATIONS), help="combinations")
    add("--tests", nargs="+", default=list(MAIN_LOOP), help="test files")
    add("--keep", type=Path, help="folder in which the environments stay for the next time")
    return parser.parse_args()


def main() -> int:
    """Test the combinations asked for; returns the exit code."""
    asked, rows = _arguments(), []
    for name in asked.only:
        rows.append(measure(Combination(*name.split("-")), asked.tests, asked.keep))
        print(rows[-1], flush=True)
    print(markdown(HEADER, rows))
    if asked.only == list(COMBINATIONS) and asked.tests == list(MAIN_LOOP):
        command = "python -m benchmarks.reliability.versions"
        write_table(DOCUMENT, "versions", HEADER, rows, command=command)
    return int(any(row[6] != "0" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
