"""The training loop of a minute: batches of painted and replayed crops, one step, what it says.

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

from napari_unet.corrections import UNLABELLED
from napari_unet.examples import Example
from napari_unet.inference.fold import computes_bfloat16
from napari_unet.inference.predict import encode
from napari_unet.inference.resample import resized
from napari_unet.models.card import ModelCard
from napari_unet.network.spec import UNetSpec
from napari_unet.network.unet import UNet
from napari_unet.training.augment import (
    Augmentation,
    change_intensity,
    sampling_grid,
    uniform,
    view,
)
from napari_unet.training.loss import partial_cross_entropy, partial_loss
from napari_unet.training.sparse import (
    SparseTargets,
    agreement,
    believed,
    sparse_classes,
    sparse_targets,
)
from napari_unet.training.targets import BACKGROUND

# Little of a window is painted: small crops around the paint teach as much as large ones, and
# twice as many fit into the minute.
CROP = 128  # pixels that are learned from; valid convolutions are given a rim more
PAINTED, REPLAYED = 3, 1  # crops of a batch
REPLAY = 1.0  # weight of the replayed crops beside the painted ones
BELIEF = 0.95  # most weight of a pixel that nobody painted, for what the parent says of it
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
class Lesson:
    """One window ready to be learned from.

    Attributes
    ----------
    planes : Tensor
        ``(C + 4, Y, X)``: image, distance, weights, measured, allowed classes.
    channels : int
        C.
    centres : ndarray of int
        ``(N, 2)``, pixels of painted objects, as many of each.
    """

    planes: Tensor
    channels: int
    centres: NDArray[np.intp]


def lesson(image: NDArray[np.float32], targets: SparseTargets) -> Lesson:
    """Prepare a window ``(C, Y, X)`` in which something is painted."""
    known = targets.weights >= 1  # not what the parent believes
    layers = [targets.distance, targets.weights, targets.measured, targets.allowed]
    planes = np.concatenate([image, np.stack([layer.astype(np.float32) for layer in layers])])
    objects = known & (targets.allowed != 1 << BACKGROUND)
    centres = np.argwhere(objects if objects.any() else known)
    return Lesson(torch.from_numpy(planes), len(image), centres)


class Lessons:
    """Every window that says something; made ready when it is first drawn.

    Of a large folder few windows ever are. Held-out objects are not looked at.

    Parameters
    ----------
    examples : sequence of Example
        The windows.
    card : ModelCard
        The model that learns.
    opinion : callable, optional
        Gives the parent's class map ``(3, Y, X)`` of a window.
    trust : float
        How much the opinion counts where nothing is painted, 0…1; see `trust_in`.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        card: ModelCard,
        opinion: Callable[[Example], NDArray[np.uint8]] | None = None,
        trust: float = 0.0,
    ) -> None:
        self._examples = [example for example in examples if example.taught.any()]
        self._card, self._opinion, self._trust = card, opinion, trust
        self._ready: dict[int, Lesson] = {}

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, number: int) -> Lesson:
        if number not in self._ready:
            self._ready[number] = self._prepared(self._examples[number])
        return self._ready[number]

    def _prepared(self, example: Example) -> Lesson:
        taught = example.taught
        if self._card.kind == "classes":
            return lesson(example.image, sparse_classes(taught, self._card.spec.classes))
        targets = sparse_targets(taught)
        if self._opinion is not None and self._trust and (taught == UNLABELLED).any():
            targets = believed(targets, self._opinion(example), self._trust)
        return lesson(example.image, targets)


def trust_in(examples: Sequence[Example], opinions: Sequence[NDArray[np.uint8]]) -> float:
    """How much the parent is believed where nothing is painted, as it agrees with what is.

    Parameters
    ----------
    examples : sequence of Example
        Some of the windows.
    opinions : sequence of ndarray of uint8
        ``(3, Y, X)``, the parent's class maps of them.
    """
    return BELIEF * agreement([example.taught for example in examples], opinions) ** 2


class Learner:
    """A network that learns from paint.

    Parameters
    ----------
    parent : UNet
        Where it starts; left as it is.
    painted : Lessons
        Windows of what was painted.
    replay : Lessons
        Windows of what the parent was trained on, against forgetting.
    seed : int
        The same seed and number of steps give the same network on one machine.
    new_head : bool
        Whether the output layer begins anew; then it learns faster than the rest.
    """

    def __init__(
        self,
        parent: UNet,
        painted: Lessons,
        replay: Lessons,
        *,
        seed: int = 0,
        new_head: bool = False,
    ) -> None:
        self.network = copy.deepcopy(parent).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network)
        self.painted, self.replay = painted, replay
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

    def _batch(self, lessons: Lessons, size: int) -> Tensor:
        if not size:
            return torch.empty(0)
        return torch.stack([self._crop(lessons) for _ in range(size)])

    def _crop(self, lessons: Lessons) -> Tensor:
        one = lessons[int(uniform(0, len(lessons), self._random))]
        y, x = one.centres[int(uniform(0, len(one.centres), self._random))].tolist()
        if uniform(0, 1, self._random) > ON_OBJECT:
            y = uniform(0, one.planes.shape[1], self._random)
            x = uniform(0, one.planes.shape[2], self._random)
        shift = [uniform(-CROP / 4, CROP / 4, self._random) for _ in range(2)]
        grid = sampling_grid(self._size, (y + shift[0], x + shift[1]), VIEWS, self._random)
        c = one.channels
        image = change_intensity(view(one.planes[:c], grid, "bilinear"), VIEWS, self._random)
        distance = view(one.planes[c : c + 1], grid, "bilinear")
        rest = view(one.planes[c + 1 :], grid, "nearest", outside="zeros")
        return torch.cat([image, distance, rest])

    def _loss(self) -> Tensor:
        """Loss of painted crops and of replayed ones; each counts as a whole, however sparse."""
        replayed = REPLAYED if self.replay else 0
        painted = PAINTED + REPLAYED - replayed
        batch = torch.cat([self._batch(self.painted, painted), self._batch(self.replay, replayed)])
        images = batch[:, :-4].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bfloat16(images)):
            output = self.network(images)
        spec = self.network.spec
        loss = self._partial(spec, output[:painted], batch[:painted])
        if replayed:
            loss = loss + REPLAY * self._partial(spec, output[painted:], batch[painted:])
        return loss

    @staticmethod
    def _partial(spec: UNetSpec, output: Tensor, batch: Tensor) -> Tensor:
        rim = spec.shrink  # valid convolutions say nothing about it
        truth = batch[:, -4:, rim : batch.shape[2] - rim, rim : batch.shape[3] - rim]
        distance, weights, measured, allowed = truth.unbind(1)
        output = output[:, : spec.map_channels]  # strokes say nothing about the diameter channel
        if not spec.distance:
            return partial_cross_entropy(output, allowed.long(), weights)
        return partial_loss(output, allowed.long(), distance, weights, measured)

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


def class_map(network: UNet, card: ModelCard, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Run a network on one whole window ``(C, Y, X)``; see `inference.predict.encode`.

    The window is mirrored up to the pooling grid, and repeated where it is too small for that. It
    is computed in the numbers that inference will use.
    """
    height, width = image.shape[1:]
    rim = card.spec.shrink  # valid convolutions lose it at each side
    wanted = (card.spec.next_valid_length(length + 2 * rim) for length in (height, width))
    after = [w - rim - n for w, n in zip(wanted, (height, width), strict=True)]
    widths = ((0, 0), *((rim, more) for more in after))
    padded = np.pad(image, widths, mode="symmetric")
    short = torch.autocast("cpu", dtype=torch.bfloat16, enabled=computes_bfloat16())
    with torch.inference_mode(), short:
        batch = torch.from_numpy(padded)[None].contiguous(memory_format=torch.channels_last)
        output = network(batch)[0, :, :height, :width].float()
        classes = card.spec.classes
        output = torch.cat([torch.softmax(output[:classes], dim=0), output[classes:]])
    return encode(output.numpy(), card)


def class_map_at(
    network: UNet, card: ModelCard, image: NDArray[np.float32], ratio: float
) -> NDArray[np.uint8]:
    """Run a network of instances on a window that is first made `ratio` times as large.

    The class map has the size of the window as it was given.
    """
    if abs(ratio - 1) < ALIKE:
        return class_map(network, card, image)
    shape = image.shape[1], image.shape[2]
    other = max(1, round(ratio * shape[0])), max(1, round(ratio * shape[1]))
    maps = class_map(network, card, resized(image, other))
    return np.rint(resized(maps.astype(np.float32), shape)).astype(np.uint8)
