"""The joint run that intransigence is measured against: found among the runs, or configured like the run in question.

Chaudhry et al. 2018 compare a learner with a model trained on all data at once. That number comes from a `joint` run of
the same data, stream, network, seed and way of evaluating; it is never typed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cllab.errors import UsageError
from cllab.record.outcome import Outcome
from cllab.settings import presets
from cllab.settings.config import RunConfig
from cllab.settings.tables import without_later

METHOD = "joint"
_EVALUATED = {"report": "last", "top_k": 1, "on": "test"}
"""What two runs must share in how they are evaluated, with the defaults: earlier runs do not name every key."""


def is_reference(candidate: Outcome, outcome: Outcome) -> bool:
    """Whether `candidate` is the joint run that `outcome` is measured against."""
    return (
        candidate.is_done
        and candidate.name_of("method") == METHOD
        and candidate.seed == outcome.seed
        and problem_of(candidate.config) == problem_of(outcome.config)
    )


def problem_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run and its joint run must share: data, tasks, network, evaluation.

    The order in which a stream is read is not among them: joint training has no stream.
    """
    shared = {}
    config = without_later(config)
    for kind in ("dataset", "scenario", "model", "base"):
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in config.get(kind, {}).items() if v is not None}
        for key in ("root", "stream"):
            values.pop(key, None)
        if values or kind != "base":
            shared[kind] = values
    evaluate = config.get("evaluate", {})
    shared["evaluate"] = {key: evaluate.get(key, usual) for key, usual in _EVALUATED.items()}
    return shared


def find(outcome: Outcome, among: Iterable[Outcome]) -> Outcome | None:
    """The first of `among` that `outcome` can be measured against."""
    return next((c for c in among if is_reference(c, outcome)), None)


def with_intransigence(outcome: Outcome, among: Iterable[Outcome]) -> Outcome:
    """`outcome` with the metric added, where a joint run is among the runs; the joint run's own is 0."""
    reference = find(outcome, among)
    if reference is None or "last_accuracy" not in outcome.metrics or "last_accuracy" not in reference.metrics:
        return outcome
    lost = reference.metrics["last_accuracy"] - outcome.metrics["last_accuracy"]
    return replace(outcome, metrics={**outcome.metrics, "intransigence": lost})


def config_for(config: RunConfig) -> RunConfig:
    """The joint run of the same problem and seed: a shipped preset where one fits, else made from `config`.

    Raises:
        UsageError: when none can be made.
    """
    wanted = problem_of(config.to_dict())
    for path in presets.shipped():
        if not path.stem.startswith(f"{METHOD}-"):
            continue
        preset = presets.load(path.stem).config
        asked = [f"seed={config.seed}", f"fidelity={config.fidelity}"]
        asked += [f"evaluate.{key}={getattr(config.evaluate, key)}" for key in _EVALUATED]
        if config.dataset.common.get("root"):
            asked.append(f'dataset.root="{config.dataset.common["root"]}"')
        candidate = preset.override(asked)
        if problem_of(candidate.to_dict()) == wanted:
            return candidate
    return _made_from(config)


def _made_from(config: RunConfig) -> RunConfig:
    data: dict[str, Any] = {k: (dict(v) if isinstance(v, Mapping) else v) for k, v in config.given.items()}
    data.update(name=f"{METHOD}-{config.name}", seed=config.seed, method={"name": METHOD})
    data.pop("memory", None)
    data["model"] = {"name": config.model.name, **config.model.common, **config.model.values}
    train = data.setdefault("train", {})
    if config.scenario.values.get("stream") == "online":
        # joint training reads everything as often as the online run went through its memory
        data.setdefault("scenario", {})["stream"] = "offline"
        train["epochs"] = max(config.train.epochs, config.train.memory_epochs)
    train.pop("memory_epochs", None)
    train.pop("stream_lr_scale", None)
    evaluate = data.setdefault("evaluate", {})
    evaluate.pop("every", None)
    evaluate.update({key: getattr(config.evaluate, key) for key in _EVALUATED})
    try:
        return RunConfig.from_dict(data)
    except UsageError as error:
        raise UsageError(f"no joint run can be made for '{config.name}': {error}") from None
