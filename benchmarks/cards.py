"""The cards of the bundled models as tables in docs/models.md.

python -m benchmarks.cards
"""

import json

from benchmarks.common.tables import ROOT, write_table
from napari_unet.models.card import describe
from napari_unet.models.library import bundled_models

DOCUMENT = ROOT / "docs" / "models.md"
HEADER = ("field", "what the card says")


def main() -> None:
    """Write one table for each bundled model."""
    for model in bundled_models():
        scores = "; ".join(f"{k} {v:.3g}" for k, v in model.card.scores.items())
        rows = [[title, text.replace("|", "/")] for title, text in describe(model.card)]
        rows = [row for row in rows if row[0] not in ("Scores", "Recipe")]
        rows += [["All scores", scores], ["sha256", model.sha]]
        rows.append(["Recipe", f"`{json.dumps(model.card.recipe)}`"])
        write_table(
            DOCUMENT, f"card-{model.card.name}", HEADER, rows, command="python -m benchmarks.cards"
        )


if __name__ == "__main__":
    main()
