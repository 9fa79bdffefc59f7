"""What a run has done, one line each, so that a later one goes on from there."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from napari_unet.execution.ledger import Ledger
from napari_unet.execution.run import BlockDone, BlockEvent, TileWritten
from napari_unet.tiling.plan import Key


class Logbook:
    """A file of lines; only the process that runs the plan writes it.

    Parameters
    ----------
    path : Path
        The file; it may not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def restore(self, ledger: Ledger, intact: Callable[[Key], bool]) -> None:
        """Tell a new ledger what is done already.

        Parameters
        ----------
        ledger : Ledger
            Knows of nothing yet.
        intact : callable
            Whether the objects of a block are still there; where a tile needs them and they are
            not, the block counts as not computed.
        """
        counts, written = dict[Key, int](), set[Key]()
        for line in self._lines():
            key = line["plane"], line["tile"]
            if "ids" in line:
                counts[key] = line["ids"]
            else:
                written.add(key)
        needed = ledger.needed(written)
        for key, count in counts.items():
            if key not in needed or intact(key):
                ledger.computed(key, count)
        ledger.skip(written)

    def _lines(self) -> Iterator[dict[str, int]]:
        if not self._path.exists():
            return
        for line in filter(None, self._path.read_text(encoding="utf-8").splitlines()):
            try:
                yield json.loads(line)
            except ValueError:  # the program was killed while it wrote this line
                continue

    def note(self, event: BlockEvent) -> None:
        """Write down what was done."""
        if not isinstance(event, BlockDone | TileWritten):
            return
        line = {"plane": event.key[0], "tile": event.key[1]}
        if isinstance(event, BlockDone):
            line["ids"] = event.ids
        with open(self._path, "a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(line))  # after a line that was cut off, too
