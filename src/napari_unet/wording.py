"""Numbers and lists of things in words, so that nobody reads of "1 objects"."""

from collections.abc import Sequence


def counted(number: float, thing: str, things: str = "") -> str:
    """Return how many there are: "no objects", "1 object" or "2 objects".

    Parameters
    ----------
    number : int or float
        How many; a fraction has up to six digits.
    thing : str
        What one of them is called.
    things : str, optional
        What several are called; by default `thing` with an s.
    """
    told = "no" if number == 0 else str(number) if isinstance(number, int) else f"{number:g}"
    return f"{told} {thing if number == 1 else things or f'{thing}s'}"


def listed(things: Sequence[str], word: str = "and") -> str:
    """Return things as a list: "", "a", "a and b" or "a, b and c"."""
    if len(things) < 2:
        return "".join(things)
    return f"{', '.join(things[:-1])} {word} {things[-1]}"
