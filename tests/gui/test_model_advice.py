"""A real look at an image with every bundled model."""

PATIENCE = 60_000  # milliseconds


def test_nuclei_are_looked_at_with_nuclei(panel, viewer, qtbot):
    viewer.open_sample("napari-unet-interactive", "nuclei")
    qtbot.waitUntil(lambda: panel.advice.running, timeout=PATIENCE)
    qtbot.waitUntil(lambda: not panel.advice.running, timeout=PATIENCE)
    assert panel.form.model.value == "nuclei"
