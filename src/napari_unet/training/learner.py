"""The training loop of a minute: batches of painted and replayed crops, one step, what it predicts.

BatchNorm keeps the parent's statistics: a batch of four crops of one image says little about
images in general, and results stay exact from tile to tile.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from napari_unet.inference.batchnorm_folding import computes_bfloat16
from napari_unet.inference.predict import encode
from napari_unet.labels.painted import UNLABELLED
from napari_unet.models.card import ModelCard
from napari_unet.network.outputs import BACKGROUND, Channels
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet, activated
from napari_unet.tiling.resample import resized
from napari_unet.training.augment import (
    Augmentation,
    change_intensity,
    sampling_grid,
    uniform,
    view,
)
from napari_unet.training.loss import partial_cross_entropy, partial_loss
from napari_unet.training.targets import (
    SparseTargets,
    agreement,
    believed,
    regressions,
    sparse_classes,
    sparse_targets,
)
from napari_unet.training.windows import TrainingWindow

# Little of a window is painted: small crops around the paint train as much as large ones, and
# twice as many fit into the minute.
CROP = 128  # pixels that are learned from; valid convolutions are given a rim more
PAINTED, REPLAYED = 3, 1  # crops of a batch
REPLAY = 1.0  # weight of the replayed crops beside the painted ones
BELIEF = 0.95  # most weight of an unpainted pixel, for what the parent predicts there
STEEP = 8  # power of its agreement with the paint: one that misses some cells hides others, too
RATE = 2e-3  # peak learning rate of AdamW
NEW_HEAD = 5.0  # times the rate, for an output layer that begins anew
DECAY = 1e-4
WARM = 0.05  # of the time the rate rises, then it falls as a cosine
AVERAGING = 0.95  # moving average of the weights; what is judged and kept
CLIP = 1.0
ON_OBJECT = 0.75  # of the crops are centred on a painted object
ALIKE = 0.02  # sizes that differ by less are the same
VIEWS = Augmentation(scale=(0.75, 1.35), rotate=True, elastic=4.0, intensity=0.5, invert=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One window ready to be learned from.

    Attributes
    ----------
    planes : Tensor
        ``(P, Y, X)``, the planes of a `layout`.
    centres : ndarray of int
        ``(N, 2)``, pixels of painted objects, as many of each.
    """

    planes: Tensor
    centres: NDArray[np.intp]


def layout(card: ModelCard) -> Channels:
    """Return the planes of a sample: image, targets, weights, how far targets are known, classes.

    A view interpolates image and targets; weights and all that follows are taken as they are.
    """
    measured = regressions(card.spec, painted=True) if card.finds_objects else {}
    targets = [(name, 1) for name in measured]
    known = [(known_of(name), 1) for name in measured]
    image = ("image", card.spec.most_channels)
    return Channels((image, *targets, ("weights", 1), *known, ("allowed", 1)))


def known_of(output: str) -> str:
    """Name of the plane that tells how far an output's target is known."""
    return f"{output} known"


class Samples:
    """Every window with training paint; made ready when it is first drawn.

    Of a large folder few windows ever are. Held-out objects do not count.

    Parameters
    ----------
    windows : sequence of TrainingWindow
        The windows.
    card : ModelCard
        The model that learns.
    opinion : callable, optional
        Gives the parent's probability map ``(M, Y, X)`` of a window.
    trust : float
        How much the opinion counts where nothing is painted, 0…1; see `trust_in`.
    """

    def __init__(
        self,
        windows: Sequence[TrainingWindow],
        card: ModelCard,
        opinion: Callable[[TrainingWindow], NDArray[np.uint8]] | None = None,
        trust: float = 0.0,
    ) -> None:
        self._windows = [window for window in windows if window.training_paint.any()]
        self.card, self._opinion, self._trust = card, opinion, trust
        self._ready: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, number: int) -> Sample:
        if number not in self._ready:
            window = self._windows[number]
            self._ready[number] = self._prepared(window.image, self._targets(window))
        return self._ready[number]

    def _targets(self, window: TrainingWindow) -> SparseTargets:
        paint = window.training_paint
        if not self.card.finds_objects:
            return sparse_classes(paint, self.card.spec.classes)
        targets = sparse_targets(paint, self.card)
        if self._opinion is not None and self._trust and (paint == UNLABELLED).any():
            maps = self._opinion(window)
            targets = believed(targets, maps, self._trust, self.card.map_channels)
        return targets

    def _prepared(self, image: NDArray[np.float32], targets: SparseTargets) -> Sample:
        planes = {"weights": targets.weights, "allowed": targets.allowed}
        for name, measured in targets.measured.items():
            planes |= {name: measured.values, known_of(name): measured.known}
        names = [name for name, _ in layout(self.card).counts if name != "image"]
        stacked = np.stack([planes[name].astype(np.float32) for name in names])
        sure = targets.weights >= 1  # not what the parent believes
        objects = sure & (targets.allowed != 1 << BACKGROUND)
        centres = np.argwhere(objects if objects.any() else sure)
        missing = self.card.spec.most_channels - len(image)  # nuclei that are not given
        image = np.pad(image, ((0, missing), (0, 0), (0, 0)))
        return Sample(torch.from_numpy(np.concatenate([image, stacked])), centres)


def trust_in(windows: Sequence[TrainingWindow], opinions: Sequence[NDArray[np.uint8]]) -> float:
    """How much the parent is believed where nothing is painted, as it agrees with what is.

    Parameters
    ----------
    windows : sequence of TrainingWindow
        Some of the windows.
    opinions : sequence of ndarray of uint8
        ``(M, Y, X)``, the parent's probability maps of them.
    """
    return BELIEF * agreement([window.training_paint for window in windows], opinions) ** STEEP


class Learner:
    """A network that learns from paint.

    Parameters
    ----------
    parent : UNet
        Where it starts; left as it is.
    painted : Samples
        Windows of what was painted.
    replay : Samples
        Windows of what the parent was trained on, against forgetting.
    seed : int
        The same seed and number of steps give the same network on one machine.
    new_head : bool
        Whether the output layer begins anew; then it learns faster than the rest.
    """

    def __init__(
        self,
        parent: UNet,
        painted: Samples,
        replay: Samples,
        *,
        seed: int = 0,
        new_head: bool = False,
    ) -> None:
        self.network = copy.deepcopy(parent).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network)
        self.painted, self.replay, self._layout = painted, replay, layout(painted.card)
        self.steps = 0
        self._random = Generator().manual_seed(seed)
        self._size = parent.spec.next_valid_length(CROP + 2 * parent.spec.shrink)
        head = list(self.network.head.parameters())
        rest = [p for name, p in self.network.named_parameters() if not name.startswith("head")]
        groups = [
            {"params": rest, "factor": 1.0},
            {"params": head, "factor": NEW_HEAD if new_head else 1.0},
        ]
        self._optimiser = torch.optim.AdamW(groups, RATE, weight_decay=DECAY)
        # Found at the first step. Where the processor has no instruction for the short type, the
        # trial alone would take a tenth of the minute.
        self._precision = None if computes_bfloat16() else torch.float32

    def step(self, progress: float) -> float:
        """Take one step and return its loss; `progress`, 0…1, decides the learning rate."""
        for group in self._optimiser.param_groups:
            group["lr"] = RATE * group["factor"] * _cycle(progress)
        loss = self._loss()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self._optimiser.step()
        self.steps += 1
        self._follow()
        return loss.item()

    def _follow(self) -> None:
        keep = min(AVERAGING, self.steps / (self.steps + 10))  # the first steps count little
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for mean, now in pairs:
                mean.lerp_(now, 1 - keep)

    def _batch(self, samples: Samples, size: int) -> Tensor:
        if not size:
            return torch.empty(0)
        return torch.stack([self._crop(samples) for _ in range(size)])

    def _crop(self, samples: Samples) -> Tensor:
        one = samples[int(uniform(0, len(samples), self._random))]
        y, x = one.centres[int(uniform(0, len(one.centres), self._random))].tolist()
        if uniform(0, 1, self._random) > ON_OBJECT:
            y = uniform(0, one.planes.shape[1], self._random)
            x = uniform(0, one.planes.shape[2], self._random)
        shift = [uniform(-CROP / 4, CROP / 4, self._random) for _ in range(2)]
        grid = sampling_grid(self._size, (y + shift[0], x + shift[1]), VIEWS, self._random)
        image, weights = self._layout.slice_of("image"), self._layout.index("weights")
        targets = one.planes[image.stop : weights]
        seen = view(one.planes[image], grid, "bilinear")
        cells, nuclei = seen.tensor_split((self.network.spec.in_channels,))
        parts = [change_intensity(cells, VIEWS, self._random), nuclei]
        if nuclei.any():  # what is not given stays empty
            parts[1] = change_intensity(nuclei, VIEWS, self._random)
        if len(targets):
            parts.append(view(targets, grid, "bilinear"))
        parts.append(view(one.planes[weights:], grid, "nearest", outside="zeros"))
        return torch.cat(parts)

    def _loss(self) -> Tensor:
        """Loss of painted crops and of replayed ones; each counts as a whole, however sparse."""
        replayed = REPLAYED if self.replay else 0
        painted = PAINTED + REPLAYED - replayed
        batch = torch.cat([self._batch(self.painted, painted), self._batch(self.replay, replayed)])
        images = batch[:, self._layout.slice_of("image")].contiguous(
            memory_format=torch.channels_last
        )
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bfloat16(images)):
            output = self.network(images)
        loss = self._partial(output[:painted], batch[:painted])
        if replayed:
            loss = loss + REPLAY * self._partial(output[painted:], batch[painted:])
        return loss

    def _partial(self, output: Tensor, batch: Tensor) -> Tensor:
        spec, places = self.network.spec, self._layout
        rim = spec.shrink  # valid convolutions say nothing about it
        truth = batch[:, :, rim : batch.shape[2] - rim, rim : batch.shape[3] - rim]
        weights = truth[:, places.index("weights")]
        allowed = truth[:, places.index("allowed")].long()
        if not self.painted.card.finds_objects:
            return partial_cross_entropy(output[:, spec.slice_of("classes")], allowed, weights)
        measured = {
            name: (truth[:, places.index(name)], truth[:, places.index(known_of(name))])
            for name in regressions(spec, painted=True)
        }
        return partial_loss(output, spec, allowed, weights, measured)

    def _bfloat16(self, images: Tensor) -> bool:
        """Whether the short type is faster on this processor; measured once."""
        if self._precision is None:
            times = {kind: self._time(images, kind) for kind in (torch.float32, torch.bfloat16)}
            self._precision = min(times, key=lambda kind: times[kind])
        return self._precision == torch.bfloat16

    def _time(self, images: Tensor, kind: torch.dtype) -> float:
        for _ in range(2):  # the first run pays for choosing kernels
            start = time.perf_counter()
            with torch.autocast("cpu", dtype=kind, enabled=kind == torch.bfloat16):
                self.network(images).float().sum().backward()
        return time.perf_counter() - start


def _cycle(progress: float) -> float:
    if progress < WARM:
        return max(0.1, progress / WARM)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def on_grid(image: NDArray[np.float32], spec: UNetSpec) -> NDArray[np.float32]:
    """Mirror an image ``(C, Y, X)`` up to a size that the network takes."""
    rim = spec.shrink  # valid convolutions lose it at each side
    wanted = (spec.next_valid_length(length + 2 * rim) for length in image.shape[1:])
    after = [w - rim - n for w, n in zip(wanted, image.shape[1:], strict=True)]
    widths = ((0, 0), *((rim, more) for more in after))
    return np.pad(image, widths, mode="symmetric")


def probability_map(
    network: UNet, card: ModelCard, image: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Run a network on one whole window ``(C, Y, X)``; see `inference.predict.encode`.

    The window is mirrored up to the pooling grid, and repeated where it is too small for that. It
    is computed in the numbers that inference will use. Nuclei are left out where a network takes
    none.
    """
    height, width = image.shape[1:]
    padded = on_grid(image[: card.spec.most_channels], card.spec)
    short = torch.autocast("cpu", dtype=torch.bfloat16, enabled=computes_bfloat16())
    with torch.inference_mode(), short:
        batch = torch.from_numpy(padded)[None].contiguous(memory_format=torch.channels_last)
        output = activated(network(batch)[0, :, :height, :width].float(), card.spec)
    return encode(output.numpy(), card)


def probability_map_at(
    network: UNet, card: ModelCard, image: NDArray[np.float32], ratio: float
) -> NDArray[np.uint8]:
    """Run a network of instances on a window that is first made `ratio` times as large.

    The probability map has the size of the window as it was given.
    """
    if abs(ratio - 1) < ALIKE:
        return probability_map(network, card, image)
    shape = image.shape[1], image.shape[2]
    other = max(1, round(ratio * shape[0])), max(1, round(ratio * shape[1]))
    maps = probability_map(network, card, resized(image, other))
    return np.rint(resized(maps.astype(np.float32), shape)).astype(np.uint8)
