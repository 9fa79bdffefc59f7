"""What a run has done, one line each, so that a later one goes on from there."""

import json
from collections.abc import Iterator
from pathlib import Path

from napari_unet.blockwise.ledger import Ledger
from napari_unet.blockwise.run import BlockDone, BlockEvent, TileWritten


class Logbook:
    """A file of lines; only the process that runs the plan writes it.

    Parameters
    ----------
    path : Path
        The file; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def restore(self, ledger: Ledger) -> None:
        """Tell a new ledger what is done already."""
        written = []
        for line in self._lines():
            key = line["plane"], line["tile"]
            if "ids" in line:
                ledger.computed(key, line["ids"])
            else:
                written.append(key)
        ledger.skip(written)

    def _lines(self) -> Iterator[dict[str, int]]:
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:  # the program was killed while it wrote this line
                return

    def note(self, event: BlockEvent) -> None:
        """Write down what was done."""
        if not isinstance(event, BlockDone | TileWritten):
            return
        line = {"plane": event.key[0], "tile": event.key[1]}
        if isinstance(event, BlockDone):
            line["ids"] = event.ids
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
