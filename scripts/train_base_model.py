"""Train a bundled model. Run it again to resume from the last checkpoint.

python scripts/train_base_model.py nuclei --data ../shared/data --run runs/nuclei
python scripts/train_base_model.py nuclei --run runs/nuclei --export src/napari_unet/models/bundled
python scripts/train_base_model.py nuclei --run runs/x --change '{"weight_peak": 10, "minutes": 6}'
"""

import argparse
import json
import logging
import math
import time
from datetime import date
from pathlib import Path

import torch
from base_data import Sampler, load_all
from base_recipe import RECIPES, Phase, Recipe

from napari_unet.inference.batchnorm_folding import computes_bfloat16
from napari_unet.models.card import sha256_of
from napari_unet.models.weights import load_model, save_model
from napari_unet.network.transfer import adapted
from napari_unet.network.unet import UNet
from napari_unet.settings import DecodeSettings
from napari_unet.training.loss import segmentation_loss

CHECKPOINT_SECONDS = 120
REPORT = 20  # steps between two lines of the log
WARM = 0.1  # of a phase the rate rises
log = logging.getLogger("train")


def learning_rate(phase: Phase, done: float) -> float:
    """One cycle for each phase, of which a share is done: up in a tenth, then down to zero."""
    if done < WARM:
        return phase.rate * max(done / WARM, 0.01)
    return phase.rate * 0.5 * (1 + math.cos(math.pi * (done - WARM) / (1 - WARM)))


def averaged(network: UNet, recipe: Recipe) -> torch.optim.swa_utils.AveragedModel:
    """Copy that follows the network's weights and BatchNorm statistics slowly."""
    rule = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.averaging)
    return torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=rule, use_buffers=True)


def begun(path: Path, recipe: Recipe) -> UNet:
    """Load the weights to begin with; outputs that they have none for begin anew."""
    known, card = load_model(path)
    return known if card.spec == recipe.card.spec else adapted(known, recipe.card.spec)


class Training:
    """A network, its average, and the optimiser, on disk between sittings."""

    def __init__(self, recipe: Recipe, run: Path, begin: Path | None) -> None:
        torch.manual_seed(recipe.seed)
        network = begun(begin, recipe) if begin else UNet(recipe.card.spec)
        self.recipe, self.run = recipe, run
        self.network = network.train().to(memory_format=torch.channels_last)
        self.average = averaged(self.network, recipe)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.phases[0].rate, weight_decay=recipe.decay
        )
        # bfloat16 where the processor has it; elsewhere it would be emulated, ten times slower
        self.short = computes_bfloat16()
        self.done, self.begun = 0, time.process_time()
        self._resume()

    def _parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        return {"network": self.network, "average": self.average, "optimiser": self.optimiser}

    def _resume(self) -> None:
        last = self.run / "last.pt"
        if not last.exists():
            return
        state = torch.load(last, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.done = state["step"]
        log.info("resumed at step %d", self.done)

    def save(self) -> None:
        """Write a checkpoint, replacing the last one only when whole."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        torch.save({**state, "step": self.done}, self.run / "next.pt")
        (self.run / "next.pt").replace(self.run / "last.pt")

    @property
    def progress(self) -> float:
        """Share of the training that is done, by steps or by time of the processor."""
        if self.recipe.minutes is None:
            return self.done / self.recipe.steps
        return (time.process_time() - self.begun) / (60 * self.recipe.minutes)

    def step(self, sampler: Sampler) -> float:
        """Take one step and return its loss."""
        recipe = self.recipe
        # a resumed run draws the same crops
        random = torch.Generator().manual_seed(recipe.seed + self.done)
        phase, within = recipe.phase(min(self.progress, 1.0))
        batch = sampler.batch(phase, random)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(phase, within)
        loss = self._loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.done += 1
        return loss.item()

    def _loss(self, batch: torch.Tensor) -> torch.Tensor:
        recipe, spec = self.recipe, self.recipe.card.spec
        channels = spec.most_channels
        images = batch[:, :channels].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.short):
            output = self.network(images)
        rim = spec.shrink  # valid convolutions say nothing about it
        truth = batch[:, channels:, rim : batch.shape[2] - rim, rim : batch.shape[3] - rim]
        distance, weights, classes = truth[:, :3].unbind(1)
        measured = {"distance": distance}
        if spec.diameter:
            measured["diameter"] = truth[:, 3]
        shares = {"distance": recipe.distance_weight}
        return segmentation_loss(output, spec, classes.long(), weights, measured, shares=shares)


def train(recipe: Recipe, data: Path, run: Path, begin: Path | None) -> None:
    """Train through all phases, writing a checkpoint every two minutes."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.json").write_text(json.dumps(recipe.record(), indent=1) + "\n")
    sampler = Sampler(load_all(data, run.parent, recipe), recipe)
    training = Training(recipe, run, begin)
    saved, running = time.monotonic(), 0.0
    while training.progress < 1:
        loss = training.step(sampler)
        running = 0.98 * running + 0.02 * loss if running else loss
        if training.done % REPORT == 0:
            log.info("step %d of %d  loss %.4f", training.done, recipe.steps, running)
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            training.save()
            saved = time.monotonic()
    training.save()
    log.info("%d steps, loss %.4f", training.done, running)


def _is_of(found: Path, run: Path) -> bool:
    """Whether a measurement is there, and of the last checkpoint."""
    if not found.exists():
        return False
    later = found.stat().st_mtime > (run / "last.pt").stat().st_mtime
    if not later:
        log.warning("%s is of an earlier checkpoint and is left out", found)
    return later


def export(recipe: Recipe, run: Path, folder: Path) -> None:
    """Write the averaged weights of the last checkpoint as a model, and its checksum."""
    state = torch.load(run / "last.pt", weights_only=True)
    network = averaged(UNet(recipe.card.spec), recipe)
    network.load_state_dict(state["average"])
    scores, thresholds = run / "scores.json", run / "decode.json"
    updates = {"created": date.today().isoformat(), "recipe": recipe.record()}
    updates["recipe"]["done"] = state["step"]
    if _is_of(thresholds, run):
        updates["decode"] = DecodeSettings.model_validate_json(thresholds.read_text())
    if _is_of(scores, run):
        updates["scores"] = json.loads(scores.read_text())
    card = recipe.card.model_copy(update=updates)
    path = save_model(folder / f"{card.name}.safetensors", network.module.eval(), card)
    checksums = folder / "sha256.json"
    known = json.loads(checksums.read_text()) if checksums.exists() else {}
    known[path.name] = sha256_of(path)
    checksums.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    log.info("wrote %s after %d steps", path, state["step"])


def main() -> None:
    """Read the command line; train or export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", choices=RECIPES)
    add("--data", type=Path, default=Path("../shared/data"))
    add("--run", type=Path, help="folder of the checkpoints; default runs/MODEL")
    add("--begin", type=Path, help="model file to begin with; default: random weights")
    add("--change", type=json.loads, default={}, help="other knobs, as JSON; see base_recipe.py")
    add("--threads", type=int, help="of the processor; default all")
    add("--export", type=Path, help="folder to write the trained model to")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = RECIPES[options.model].changed(options.change)
    run = options.run or Path("runs") / options.model
    if options.export:
        export(recipe, run, options.export)
    else:
        train(recipe, options.data, run, options.begin)


if __name__ == "__main__":
    main()
