"""Sizes in pixels are told in µm beside, where the image tells the size of a pixel."""

from qtpy.QtTest import QTest


def test_a_diameter_is_told_in_micrometers(viewer, network, panel, image, click, idle):
    form = panel.form
    panel.session.refresh()
    assert form.diameter.label == "Object diameter (px)"  # nobody knows how large a pixel is
    image.scale, image.units = (0.5, 0.5), ("micrometer", "micrometer")
    panel.session.refresh()
    line = form.diameter.native.lineEdit()
    line.selectAll()
    QTest.keyClicks(line, "24.5")
    assert form.diameter.value == 24.5
    assert form.diameter.label == "Object diameter (px)\n≈ 12 µm"
    click(panel.segment.segment)
    idle()
    assert panel.sentence.startswith("2 objects, about 40 px (≈ 20 µm) in diameter.")
    smallest = form.sliders[-1]
    smallest.value = 5
    assert smallest.label == "Smallest object (px)\n≈ 2.5 µm"
    viewer.layers.selection.active = viewer.add_image(image.data.copy(), name="other")
    panel.session.choose(viewer.layers["other"])
    assert form.diameter.label == "Object diameter (px)"
