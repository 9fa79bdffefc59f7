"""Sentences about what was found, in the same words wherever it is told."""

from napari_unet.tiling.plan import SegmentPlan

NOTHING = "No objects were found."


def objects_found(count: int, plan: SegmentPlan | None = None) -> str:
    """Return how many objects there are, and how large they are where that is known.

    Parameters
    ----------
    count : int
        The objects.
    plan : SegmentPlan, optional
        Of the run that found them.
    """
    if not count:
        return NOTHING
    objects = f"{count} object{'' if count == 1 else 's'}"
    if plan is None or not (plan.found or plan.diameter != _expected(plan)):
        return f"{objects}."
    return f"{objects}, about {plan.diameter:.0f} px in diameter."


def _expected(plan: SegmentPlan) -> float:
    """Return the diameter that a model takes where it found nothing to measure."""
    return plan.card.usual_diameter or plan.card.object_diameter
