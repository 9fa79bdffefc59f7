"""What the command line tells while it works, and of each image afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

CHANNEL = "by name or by number from 0"


@dataclass(frozen=True, slots=True)
class Told:
    """What to tell of one image, wherever it was segmented."""

    name: str
    notices: tuple[str, ...]
    line: str

    def show(self) -> None:
        """Print the result, and notices where errors go."""
        for notice in self.notices:
            typer.echo(f"{self.name}: {notice}", err=True)
        typer.echo(self.line)


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar, and give what moves it."""
    with typer.progressbar(length=1, label=name) as shown:

        def show(done: int, total: int) -> None:
            shown.length = total
            shown.update(done - shown.pos)

        yield show
