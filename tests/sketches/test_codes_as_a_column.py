"""REMIND in a few lines: sample by sample, and what is stored of a sample are codes of its latents."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cllab.data.base import Split, TensorImages
from cllab.learner.phases import Optim, Phase
from cllab.methods.base import Batch, Method, MethodInfo
from tests.engine.sessions import begun

STEPS = 31


class Sketch(Method):
    """One sample of the stream and some that are decoded, in every step."""

    info = MethodInfo(title="Sketch", stores=("codes",), replay="none")

    def encode(self, latents: Tensor) -> Tensor:
        return (latents.clamp(0, 2) / 2 * STEPS).round().byte()

    def decode(self, codes: Tensor) -> Tensor:
        return codes.float() * 2 / STEPS

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        model, memory = self.learner.model, self.learner.memory
        latents, y = self.decode(self.encode(model.front(batch.x))), batch.y
        if len(memory):
            _, old, where = memory.retrieve(10, self.learner.rng.cpu("replay"))
            latents, y = torch.cat([latents, self.decode(memory.payload("codes", where))]), torch.cat([y, old])
        return {"cross-entropy": F.cross_entropy(model.back(latents), y)}

    def after_step(self, batch: Batch) -> None:
        new = batch.stream
        with torch.no_grad():
            codes = self.encode(self.learner.model.front(new.x))
        split = Split(TensorImages(new.raw), torch.arange(len(new)), new.y, ids=new.ids, columns={"codes": codes})
        self.learner.memory.update(split, self.learner)


def test_codes_are_stored_as_bytes_and_replayed_sample_by_sample() -> None:
    session = begun(
        "er",
        memory={"name": "reservoir", "capacity": 30},
        model={"layers": 2, "width": 64, "norm": False},
        train={"batch_size": 1, "lr": 0.1, "momentum": 0.0},
    )
    learner, task = session.learner, session.stream.tasks[0]
    learner.model.cut("hidden1")
    learner.model.freeze()
    method = session.method = session.loop.method = Sketch(None, learner)
    session.loop.fit(Phase("stream", task.train.subset(torch.arange(120)), optim=Optim(key="sketch")))
    assert learner.step == 120
    held = learner.memory.columns
    assert held["codes"].dtype == torch.uint8
    assert learner.memory.bytes()["codes"] == 30 * 64
    assert torch.equal(held["codes"], method.encode(learner.model.front(learner.normalize(held["images"]))))
    scores = learner.model.back(method.decode(held["codes"]))
    assert (scores.argmax(1) == held["labels"]).float().mean() > 0.8, "what is stored is known"
