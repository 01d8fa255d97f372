"""What of a cut, a front, its latents and a base stage can work together, from declarations alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cllab.errors import nearest
from cllab.text import shown

if TYPE_CHECKING:
    from cllab.settings.config import RunConfig


def cuts_of(facts: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Where a model can be cut, in the order of its parts: "hidden{layers}" is one for each of its layers."""
    out: list[str] = []
    for name in facts.get("cuts", ()):
        stem, brace, rest = name.partition("{")
        out += [f"{stem}{i + 1}" for i in range(int(values[rest.rstrip("}")]))] if brace else [name]
    return out


def kept_latents(config: RunConfig) -> bool:
    """Whether the outputs of a frozen front stand in the place of the images."""
    common = config.model.common
    return bool(common["front"] == "frozen" and common["latents"] != "fresh")


def problems(
    config: RunConfig, model: Mapping[str, Any], scenario: Mapping[str, Any], dataset: Mapping[str, Any]
) -> Iterator[str]:
    """Every reason why what is asked for cannot work, each beginning with the key to change.

    Args:
        model, scenario, dataset: the facts of those components.
    """
    common = config.model.common
    cut, frozen = common["cut"], common["front"] == "frozen"
    names = cuts_of(model, config.model.values)
    if cut and cut not in names:
        known = f"it can be cut behind {', '.join(names)}" if names else "it cannot be cut"
        yield f"model.cut = {shown(cut)}: '{config.model.name}' has no such part; {known}{nearest(cut, names)}"
    if frozen and not cut:
        where = f"one of {', '.join(names)}" if names else f"but '{config.model.name}' has no parts"
        yield f"model.cut must say where the frozen front ends: {where}"
    if kept_latents(config):
        asked = [f"'{name}'" for name in config.train.augment]
        asked += ["crop and flip"] if config.train.base_augment == "crop-flip" else []
        if asked:
            key = "train.augment" if config.train.augment else "train.base_augment"
            yield (
                f"{key} asks for {', '.join(asked)}, but latents are computed once of every image as it is; "
                "set model.latents = 'fresh' or leave it out"
            )
    base = config.base
    if base.classes and base.on != "classes":
        yield f"base.classes = {base.classes} belongs to base.on = 'classes', not '{base.on}'"
    if base.on == "aside" and not dataset.get("aside", False):
        yield f"base.on = 'aside': '{config.dataset.name}' sets no classes aside; use 'classes' or 'first-task'"
    if base.on == "classes" and not scenario.get("has_class_tasks", True):
        yield (
            f"base.on = 'classes' needs tasks with classes of their own, which scenario '{config.scenario.name}' does "
            "not have; use base.on = 'first-task'"
        )
