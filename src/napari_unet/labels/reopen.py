"""Labels from a file or another layer, worked on again: predictions and corrections."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.labels.change_tracker import ChangeTracker
from napari_unet.labels.painted import BACKGROUND, UNLABELLED, as_painted, painted_ids

SAME = 0.5  # of what was painted must be found in labels it was painted on


def as_labels(array: NDArray[Any]) -> NDArray[np.uint32]:
    """Check labels ``(..., Y, X)`` and return a copy; raises `InputError` as `as_painted` does."""
    labels = as_painted(array)
    labels[labels == BACKGROUND] = 0
    return labels


def belongs(painted: NDArray[np.uint32], labels: NDArray[np.uint32]) -> bool:
    """Whether something was painted on these labels, as far as the two tell.

    Parameters
    ----------
    painted : ndarray of uint32
        ``(..., Y, X)``, a painted array; what was painted after the labels were saved may be in it.
    labels : ndarray of uint32
        ``(..., Y, X)``; objects are recognised by pixels and ids, background only if there is
        nothing else.
    """
    there = (painted != UNLABELLED) & (painted != BACKGROUND)
    if not there.any():
        there = painted == BACKGROUND
    same = np.where(painted == BACKGROUND, 0, painted) == labels
    return bool(np.count_nonzero(same & there) >= max(1, SAME * np.count_nonzero(there)))


def put_on_top(tracker: ChangeTracker, shown: NDArray[Any], painted: NDArray[np.uint32]) -> None:
    """Take over what was painted on just these labels, with its ids; nothing is painted yet.

    Parameters
    ----------
    tracker : ChangeTracker
        Of the result.
    shown : ndarray of int
        ``(..., Y, X)``, the result; changed in place.
    painted : ndarray of uint32
        ``(..., Y, X)``, a painted array.
    """
    # With the rest of an object still there, its painted part would be taken for a stranger's.
    rest = np.where(np.isin(shown, painted_ids(painted)), 0, shown)
    tracker.adopt(rest, painted)
    np.copyto(shown, rest, where=painted != UNLABELLED, casting="unsafe")
