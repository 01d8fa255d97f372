"""The tables that every configuration has, and the keys that every component of a kind has: their declarations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from cllab.settings.spec import ComponentSpec, FieldSpec, fields_of, param

Augmentation = Literal["crop", "flip", "cutout", "randaugment", "autoaugment", "cutmix"]


OWN_DECAY = {"sgd": 1e-4, "adam": 1e-6, "adamw": 1e-6, "radam": 1e-5}
"""Weight decay of every optimizer in Rainbow Memory's code (arXiv:2103.17230)."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a task is trained."""

    epochs: int = param(
        1, "Passes over a task's stream; an online stream allows one", source="n_epoch", low=0, high=10000
    )
    steps: int = param(
        0,
        "Gradient steps over a task's offline stream, in place of epochs: as many passes as they take, the last cut "
        "short; 0 to count epochs",
        source="iters",
        low=0,
        high=10_000_000,
    )
    memory_epochs: int = param(
        0, "Passes over the memory after a task's stream has passed", source="n_epoch, online", low=0, high=10000
    )
    batch_size: int = param(16, "Samples per step", source="batchsize", low=1, high=65536)
    lr: float = param(0.05, "Learning rate", source="lr", low=0, high=100, log=True)
    optimizer: Literal["sgd", "adam", "radam", "adamw"] = param("sgd", "Optimizer", source="opt_name")
    momentum: float = param(0.9, "Momentum of sgd", low=0, high=1)
    nesterov: bool = param(True, "Nesterov momentum of sgd")
    weight_decay: float = param(
        -1.0, "Weight decay; -1 for the optimizer's own: sgd 1e-4, adam and adamw 1e-6, radam 1e-5", low=-1, high=10
    )
    schedule: Literal["constant", "cos", "multistep", "anneal"] = param(
        "constant",
        "Learning rate over the epochs of a phase: cos restarts with periods 1, 2, 4, ...; multistep drops by 10 after "
        "30, 60, 80, 90 epochs; anneal divides by 1.1 each epoch",
        source="sched_name",
    )
    warmup_scale: float = param(
        1.0, "Share of lr in the first epoch of the memory phase or of an offline task", source="0.1 lr0", low=0, high=1
    )
    stream_lr_scale: float = param(
        1.0, "Share of lr while an online stream passes", source="0.1 in the published code", low=0, high=1
    )
    head: Literal["keep", "reset"] = param(
        "keep", "At a new task: keep the output rows of known classes, or draw the whole output layer anew"
    )
    augment: tuple[Augmentation, ...] = param((), "Augmentations on top of the dataset's own", source="transforms")
    base_augment: Literal["auto", "none", "crop-flip"] = param(
        "auto", "The dataset's own augmentation: auto is crop and flip for natural images, none for digits"
    )
    normalize: Literal["dataset", "unit"] = param(
        "dataset", "Pixels by the dataset's mean and deviation, or only scaled to 0..1"
    )
    precision: Literal["float32", "bfloat16"] = param(
        "float32", "Arithmetic of the forward pass on an accelerator; float32 is the reference"
    )
    threads: int = param(0, "CPU threads; 0 chooses by the size of the model", low=0, high=1024)
    checkpoint_seconds: int = param(60, "Seconds between checkpoints", low=1, high=86400)

    @property
    def decay(self) -> float:
        """The weight decay that holds."""
        return OWN_DECAY[self.optimizer] if self.weight_decay < 0 else self.weight_decay


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """What is learned before the stream begins."""

    on: Literal["none", "first-task", "classes", "aside"] = param(
        "none",
        "The base stage: none; the first task of the stream, which the method then takes as learned; some classes of "
        "the stream, or those that the dataset sets aside from it, only to make a front for all of them",
    )
    classes: int = param(
        0, "With on = classes: how many, the first of the stream; 0 for half of them", low=0, high=1_000_000
    )
    epochs: int = param(10, "Passes over the samples of the base stage", low=1, high=10000)
    batch_size: int = param(64, "Samples per step", low=1, high=65536)
    lr: float = param(0.05, "Learning rate", low=0, high=100, log=True)
    optimizer: Literal["sgd", "adam", "radam", "adamw"] = param("sgd", "Optimizer")
    momentum: float = param(0.9, "Momentum of sgd", low=0, high=1)
    weight_decay: float = param(-1.0, "Weight decay; -1 for the optimizer's own", low=-1, high=10)
    schedule: Literal["constant", "cos", "multistep", "anneal"] = param(
        "constant", "Learning rate over the epochs, as in [train]"
    )
    augment: tuple[Augmentation, ...] = param((), "Augmentations on top of the dataset's own")

    def training(self, train: TrainConfig) -> TrainConfig:
        """`train` with the settings of the base stage in place of its own."""
        return replace(
            train,
            epochs=self.epochs,
            steps=0,
            memory_epochs=0,
            batch_size=self.batch_size,
            lr=self.lr,
            optimizer=self.optimizer,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            warmup_scale=1.0,
            stream_lr_scale=1.0,
            augment=self.augment,
        )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """When and how accuracy is measured."""

    every: int = param(0, "In an online stream, evaluate every so many samples; 0 for never", low=0)
    glances: int = param(
        10,
        "Looks at part of the test images within a long task, to be watched and in no metric: at most so many a task, "
        "and 2 % of its work; 0 for none",
        low=0,
        high=1000,
    )
    epochs: bool = param(False, "Evaluate after every epoch of a task's last training phase")
    report: Literal["last", "best"] = param(
        "last", "The accuracy of a task: of the model left behind, or of the best test epoch as published code reports"
    )
    on: Literal["test", "held-out"] = param(
        "test",
        "Images that accuracy is measured on: the test images, or a sixth of the training images of every class, which "
        "is then not trained on; settings are chosen there",
    )
    top_k: int = param(1, "A prediction counts when the class is among the k highest scores", source="topk", low=1)
    future: bool = param(False, "Also evaluate tasks not learned yet, which forward transfer needs")
    batch_size: int = param(0, "Images per forward pass; 0 chooses", low=0)


@dataclass(frozen=True, kw_only=True)
class TopConfig:
    """Keys outside the tables."""

    name: str = param("", "Name of the run; the preset's own when empty")
    about: str = param("", "One sentence on what the preset shows")
    seed: int = param(1, "Seed of every random generator", source="rnd_seed", low=0, high=2**31 - 1)
    device: str = param("auto", "auto, cpu, cuda or cuda:N")
    fidelity: Literal["correct", "reference"] = param(
        "correct", "The correct algorithms, or the published code with its quirks, where the two differ"
    )


@dataclass(frozen=True, kw_only=True)
class DatasetCommon:
    """Keys that every dataset has."""

    root: str = param("", "Data folder when it is not $CLLAB_DATA or the default one")


@dataclass(frozen=True, kw_only=True)
class MemoryCommon:
    """Keys that every memory has."""

    capacity: int = param(0, "Samples the memory may hold", source="K", low=0)
    bytes: str = param("", "Instead: as many samples as fit into so many bytes, 1.5 MB or a number; empty for capacity")


@dataclass(frozen=True, kw_only=True)
class ModelCommon:
    """Keys that every model has."""

    cut: str = param("", "The part behind which the network is cut into a front and what learns; empty for no cut")
    front: Literal["learn", "frozen"] = param(
        "learn", "The part below the cut: learns like the rest, or stays as it is when the stream begins"
    )
    latents: Literal["float16", "float32", "fresh"] = param(
        "float16",
        "Of a frozen front: its outputs are computed once and stand in the place of the images, in this precision; or "
        "afresh whenever an image is looked at",
        reference="float32",
    )
    weights: str = param(
        "none",
        "What the network begins with: none, drawn by the seed; imagenet, where an installed package has it; or a file",
    )
    size: int = param(
        0, "Side that images are resized to, bicubically, before the network; 0 for their own", low=0, high=4096
    )
    renorm: bool = param(
        False,
        "Batch renormalization (arXiv:1702.03275) in the place of batch normalization; norm = 'renorm' says the same",
    )
    renorm_rate: float = param(
        0.01, "Renormalization: share of a batch in the running statistics, in the first task", low=0, high=1, log=True
    )
    renorm_later: float = param(
        5e-5, "Renormalization: the same in later tasks; the longer the stream, the smaller", low=0, high=1, log=True
    )
    renorm_r: float = param(1.25, "Renormalization: r is at most this", source="r_max", low=1, high=1e6)
    renorm_d: float = param(0.5, "Renormalization: d is at most this", source="d_max", low=0, high=1e6)
    renorm_step: float = param(
        4.1e-5,
        "Renormalization: how far both bounds are opened with every sample of the first task",
        source="0.5 over the samples of the first task",
        low=0,
        high=1e6,
        log=True,
    )

    @staticmethod
    def renormalized(values: Mapping[str, Any]) -> dict[str, float] | None:
        """The settings of batch renormalization among `values`, by the names of `models/_renorm.py`; None without."""
        if not values["renorm"]:
            return None
        keys = {"rate": "rate", "later": "later", "r": "r_bound", "d": "d_bound", "step": "step"}
        return {name: values[f"renorm_{key}"] for key, name in keys.items()}


@dataclass(frozen=True, kw_only=True)
class MethodCommon:
    """Keys that every method has."""

    file: str = param("", "A method file of your own, relative to the preset")


TOP = fields_of(TopConfig)
TRAIN = ComponentSpec("train", "train", "Training", "How a task is trained.", "", fields_of(TrainConfig))
EVALUATE = ComponentSpec(
    "evaluate", "evaluate", "Evaluation", "When accuracy is measured.", "", fields_of(EvaluateConfig)
)
BASE = ComponentSpec(
    "base", "base", "Base stage", "What is learned before the stream begins.", "", fields_of(BaseConfig)
)
SECTIONS = (BASE, TRAIN, EVALUATE)
SECTION = {spec.name: spec for spec in SECTIONS}
COMMON: dict[str, tuple[FieldSpec, ...]] = {
    "dataset": fields_of(DatasetCommon),
    "memory": fields_of(MemoryCommon),
    "method": fields_of(MethodCommon),
    "scenario": (),
    "model": fields_of(ModelCommon),
}
TABLES = ("dataset", "scenario", "model", "memory", "method", "base", "train", "evaluate")
DEFAULT_CAPACITY = 200
NAMED_WEIGHTS = ("", "none", "imagenet")
"""What `model.weights` may be but a file."""

LATER: Mapping[str, Mapping[str, Any]] = {
    "base": {f.name: f.default for f in BASE.fields},
    "model": {f.name: f.default for f in fields_of(ModelCommon)},
    "memory": {"bytes": ""},
}
"""Keys that runs of earlier versions do not name, with what they did."""


def without_later(data: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in nested mappings without `LATER` keys that say what earlier versions did anyway."""
    out = {k: dict(v) if isinstance(v, Mapping) else v for k, v in data.items()}
    for table, usual in LATER.items():
        values = out.get(table, {})
        idle = {"latents"} if values.get("front") == "learn" else set()
        for key, value in usual.items():
            if key in values and (key in idle or values[key] == value or values[key] == _listed(value)):
                del values[key]
    if not out.get("base"):
        out.pop("base", None)
    return out


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
