"""Tasks, lessons and results as messages: one place that knows how each is written."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from napari_unet.active_learning.suggest import UncertainRegion
from napari_unet.engine.protocol import Header, Message
from napari_unet.execution.tasks import (
    Alone,
    Decode,
    Decoded,
    Done,
    Drop,
    Predict,
    Predicted,
    Rank,
    Ranked,
    Remark,
    Suggest,
    Task,
)
from napari_unet.image import Box
from napari_unet.labels.watershed import Patch
from napari_unet.models.report import Report
from napari_unet.settings import DecodeSettings
from napari_unet.training.events import FinetunePlan, Finished, TrainingEvent, TrainingStep

if TYPE_CHECKING:
    from napari_unet.training.events import FinetuneInputs


def task_to_message(task: Task) -> Message:
    """Write a task."""
    if isinstance(task, Rank):
        return {"op": "rank", "count": task.count}, None
    header: Header = {"plane": task.plane, "tile": task.tile}
    match task:
        case Predict():
            return {"op": "predict", **header}, task.window
        case Alone():
            settings = task.settings.model_dump()
            return {"op": "alone", **header, "settings": settings}, task.window
        case Decode():
            return {"op": "decode", **header, "settings": task.settings.model_dump()}, None
        case Drop():
            return {"op": "drop", **header}, None
        case Suggest():
            return {"op": "suggest", **header}, task.painted


def message_to_task(message: Message) -> Task:
    """Read a task."""
    header, array = message
    if header["op"] == "rank":
        return Rank(int(header["count"]))
    key = int(header["plane"]), int(header["tile"])
    match header["op"]:
        case "suggest":
            assert array is not None, "a suggest message carries what is painted"
            return Suggest(*key, array)
        case "predict":
            assert array is not None, "a predict message carries its window"
            return Predict(*key, array)
        case "alone":
            assert array is not None, "a block by itself comes with its window"
            return Alone(*key, array, DecodeSettings.model_validate(header["settings"]))
        case "decode":
            return Decode(*key, DecodeSettings.model_validate(header["settings"]))
        case "drop":
            return Drop(*key)
        case other:
            raise ValueError(f"unknown task {other!r}")


def done_to_message(done: Done) -> Message:
    """Write a result."""
    match done:
        case Predicted():
            return {"op": "predicted", "plane": done.plane, "tile": done.tile}, None
        case Remark():
            return {"op": "remark", "text": done.text}, None
        case Ranked():
            return {"op": "ranked", "spots": [asdict(spot) for spot in done.spots]}, None
        case Decoded(patch=patch):
            header: dict[str, Any] = {"op": "decoded", "plane": done.plane, "tile": done.tile}
            box = {"start": patch.box.start, "stop": patch.box.stop, "count": patch.count}
            return header | box | {"certainty": patch.certainty}, patch.labels


def _spot(values: dict[str, Any]) -> UncertainRegion:
    box = Box(tuple(values["box"]["start"]), tuple(values["box"]["stop"]))
    y, x = values["centre"]
    yy, xx, yx = values["spread"]
    return UncertainRegion(
        box, (y, x), float(values["score"]), tuple(values["plane"]), (yy, xx, yx)
    )


def message_to_done(message: Message) -> Done:
    """Read a result."""
    header, array = message
    match header["op"]:
        case "predicted":
            return Predicted(int(header["plane"]), int(header["tile"]))
        case "remark":
            return Remark(str(header["text"]))
        case "ranked":
            return Ranked(tuple(_spot(values) for values in header["spots"]))
        case "decoded":
            assert array is not None, "a decoded message carries its labels"
            box = Box(tuple(header["start"]), tuple(header["stop"]))
            labels = array.astype(np.int32, copy=False)
            patch = Patch(box, labels, int(header["count"]), float(header["certainty"]))
            return Decoded(int(header["plane"]), int(header["tile"]), patch)
        case other:
            raise ValueError(f"unknown result {other!r}")


def teaching_to_messages(teaching: "FinetuneInputs", target: Path) -> Iterator[Message]:
    """Write everything one retraining needs: the settings, window after window, and "learn"."""
    plan = TypeAdapter(FinetunePlan).dump_python(teaching.plan(target), mode="json")
    yield {"op": "teach", "plan": plan}, None
    for example in teaching.windows:
        yield {"op": "window"}, example.image
        ids = {"held": list(example.held), "judged": list(example.judged)}
        yield {"op": "paint", **ids, "zoom": example.zoom}, example.painted
    yield {"op": "learn"}, None


def header_to_plan(header: Header) -> FinetunePlan:
    """Read what a retraining is to do."""
    plan: FinetunePlan = TypeAdapter(FinetunePlan).validate_python(header["plan"])
    return plan


def learning_to_message(event: TrainingEvent) -> Message:
    """Write what a retraining tells."""
    match event:
        case TrainingStep():
            return {"op": "learning", **asdict(event)}, None
        case Finished(report=report, path=path):
            return {"op": "finished", "report": report.model_dump(), "path": str(path)}, None


def message_to_learning(message: Message) -> TrainingEvent:
    """Read what a retraining tells."""
    header, _ = message
    match header["op"]:
        case "learning":
            fields = ("steps", "seconds", "limit", "loss", "score")
            return TrainingStep(**{name: header[name] for name in fields})
        case "finished":
            return Finished(Report.model_validate(header["report"]), Path(header["path"]))
        case other:
            raise ValueError(f"unknown event {other!r}")
