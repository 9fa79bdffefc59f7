"""The spec: what is accepted, sizes, and intervals. The halo is measured in `test_unet`."""

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.errors import ModelError
from napari_unet.network.spec import UNetSpec, required_input
from tests.strategies import intervals, specs

PAPER = UNetSpec(
    in_channels=1, classes=2, distance=False, base_filters=64, depth=4, variant="paper"
)


def test_spec_is_torch_free() -> None:
    code = "import sys, napari_unet.network.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(specs())
def test_round_trip_through_json(spec: UNetSpec) -> None:
    assert UNetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_unknown_field_is_a_model_error_that_names_it() -> None:
    with pytest.raises(ModelError, match=r"attention.*Update the plugin"):
        UNetSpec.from_dict({**UNetSpec().to_dict(), "attention": True})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("in_channels", 0),
        ("in_channels", 257),
        ("in_channels", 1.0),
        ("in_channels", True),
        ("in_channels", "1"),
        ("classes", 1),
        ("classes", 257),
        ("base_filters", 0),
        ("depth", 0),
        ("depth", 7),
        ("up_kernel", 1),
        ("up_kernel", 4),
        ("variant", "valid"),
        ("variant", []),
        ("skip", "add"),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", float("nan")),
    ],
)
def test_a_wrong_field_is_named_with_its_value(name: str, value: object) -> None:
    with pytest.raises(ModelError) as caught:
        UNetSpec.from_dict({name: value})
    assert name in str(caught.value)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("distance", 5), ("distance", "no"), ("diameter", 1), ("direct", 1), ("dropout", "a")],
)
def test_a_field_of_the_wrong_type_is_a_model_error(name: str, value: object) -> None:
    with pytest.raises(ModelError, match=name):
        UNetSpec(**{name: value})


def test_spec_is_a_value() -> None:
    assert UNetSpec() == UNetSpec()
    assert len({UNetSpec(), UNetSpec(), UNetSpec(depth=3)}) == 2
    with pytest.raises(FrozenInstanceError):
        UNetSpec().depth = 3


def test_numbers_of_the_paper() -> None:
    assert [PAPER.filters(level) for level in range(5)] == [64, 128, 256, 512, 1024]
    assert (PAPER.out_channels, PAPER.divisor, PAPER.shrink) == (2, 16, 92)
    assert PAPER.takes(572)
    assert 572 - 2 * PAPER.shrink == 388


@pytest.mark.parametrize(
    ("up_kernel", "halos"), [(2, [8, 24, 48, 96, 192, 384]), (3, [10, 28, 56, 112, 224, 448])]
)
def test_halo_per_depth(up_kernel: int, halos: list[int]) -> None:
    found = [UNetSpec(depth=depth, up_kernel=up_kernel).halo for depth in range(1, 7)]
    assert found == halos


@given(specs())
def test_halo_lies_on_the_grid_and_covers_every_aligned_box(spec: UNetSpec) -> None:
    assert spec.halo % spec.divisor == 0
    assert spec.halo >= spec.shrink
    for boxes in range(1, 6):
        start, stop = required_input((0, boxes * spec.divisor), spec)
        assert -spec.halo <= start
        assert stop <= boxes * spec.divisor + spec.halo


@given(specs(), st.integers(-50, 50), intervals(low=-300, high=300))
def test_required_input_moves_with_the_grid(
    spec: UNetSpec, steps: int, output: tuple[int, int]
) -> None:
    shift = steps * spec.divisor
    start, stop = required_input(output, spec)
    assert required_input((output[0] + shift, output[1] + shift), spec) == (
        start + shift,
        stop + shift,
    )


@given(specs(), intervals(low=-300, high=300), intervals(low=-300, high=300))
def test_a_larger_output_needs_no_less(
    spec: UNetSpec, one: tuple[int, int], other: tuple[int, int]
) -> None:
    both = min(one[0], other[0]), max(one[1], other[1])
    start, stop = required_input(both, spec)
    inner = required_input(one, spec)
    assert start <= inner[0] < inner[1] <= stop


@given(specs(max_depth=4), st.integers(-3, 3), st.integers(1, 5))
def test_read_interval_is_a_length_the_network_takes(
    spec: UNetSpec, first: int, boxes: int
) -> None:
    core = first * spec.divisor, (first + boxes) * spec.divisor
    start, stop = spec.read_interval(core)
    assert start % spec.divisor == 0
    assert spec.takes(stop - start)
    # what the network writes covers the core
    assert start + spec.shrink <= core[0]
    assert core[1] <= stop - spec.shrink


def test_read_interval_of_the_paper() -> None:
    assert PAPER.read_interval((0, 384)) == (-96, 476)


def test_read_interval_refuses_a_core_off_the_grid() -> None:
    with pytest.raises(ValueError, match="grid of 16 px"):
        PAPER.read_interval((0, 388))


@given(specs(max_depth=4), st.integers(1, 700))
def test_next_valid_length_is_the_smallest(spec: UNetSpec, length: int) -> None:
    fit = spec.next_valid_length(length)
    assert fit >= length
    assert spec.takes(fit)
    assert not any(spec.takes(shorter) for shorter in range(length, fit))


@given(specs(max_depth=4), st.integers(-5, 700))
def test_padded_takes_multiples_of_the_divisor(spec: UNetSpec, length: int) -> None:
    if spec.variant == "padded":
        assert spec.takes(length) == (length > 0 and length % spec.divisor == 0)


@pytest.mark.parametrize("depth", range(1, 7))
def test_a_length_taken_leaves_an_output(depth: int) -> None:
    spec = UNetSpec(variant="paper", depth=depth)
    assert spec.next_valid_length(1) > 2 * spec.shrink


def test_the_paper_variant_has_the_papers_up_convolution() -> None:
    with pytest.raises(ModelError, match="up_kernel"):
        UNetSpec(variant="paper", up_kernel=3)


@given(specs())
def test_outputs_lie_one_after_the_other_the_classes_first(spec: UNetSpec) -> None:
    assert spec.outputs[0].name == "classes"
    ends = [0]
    for output in spec.outputs:
        place = spec.slice_of(output.name)
        assert place == slice(ends[-1], ends[-1] + output.channels)
        ends.append(place.stop)
    assert spec.out_channels == ends[-1] == spec.classes + spec.distance + spec.diameter


def test_cards_written_before_there_was_a_diameter_are_read() -> None:
    fields = UNetSpec().to_dict()
    assert "diameter" not in fields  # so that older versions read it, too
    assert UNetSpec.from_dict(fields) == UNetSpec(diameter=False)
    assert UNetSpec.from_dict(UNetSpec(diameter=True).to_dict()).diameter
