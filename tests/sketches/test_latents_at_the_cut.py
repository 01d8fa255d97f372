"""AR1* with latent replay in a few lines: images of the stream go through the front, stored latents join at the cut."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from cllab.data.base import Split, TensorImages
from cllab.learner.phases import Optim, Phase
from cllab.methods.base import Batch, Method, MethodInfo
from tests.engine.sessions import begun


class Sketch(Method):
    """Native images and stored latents in one mini-batch."""

    info = MethodInfo(title="Sketch", stores=("latents",), replay="none")

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        model, memory = self.learner.model, self.learner.memory
        latents, y = model.front(batch.x), batch.y
        if len(memory):
            _, old, where = memory.retrieve(3 * len(y), self.learner.rng.cpu("replay"))
            latents, y = torch.cat([latents, memory.payload("latents", where)]), torch.cat([y, old])
        self.seen = latents.shape, y
        return {"cross-entropy": F.cross_entropy(model.back(latents), y)}

    def after_step(self, batch: Batch) -> None:
        new = batch.stream
        with torch.no_grad():
            columns = {"latents": self.learner.model.front(new.x)}
        split = Split(TensorImages(new.raw), torch.arange(len(new)), new.y, ids=new.ids, columns=columns)
        self.learner.memory.update(split, self.learner)


def test_latents_are_stored_as_a_column_and_injected_behind_the_frozen_front() -> None:
    session = begun("er", memory={"name": "reservoir", "capacity": 40}, model={"layers": 2, "norm": True, "width": 32})
    learner, task = session.learner, session.stream.tasks[0]
    learner.model.cut("hidden1")
    learner.model.freeze()
    session.method = session.loop.method = Sketch(None, learner)
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    session.loop.fit(Phase("stream", task.train, optim=Optim(key="sketch")))
    moved = {k for k, v in learner.model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {k for k in before if "hidden1" not in k}, "the back alone, its statistics too"
    shape, y = session.method.seen  # type: ignore[attr-defined]
    assert shape == (16 + 40, 32)
    assert len(y) == 56
    held = learner.memory.columns
    x = learner.normalize(held["images"])
    learner.model.eval()
    assert torch.allclose(held["latents"], learner.model.front(x), atol=1e-6), "the front has not moved since"
    assert learner.memory.bytes()["latents"] == 40 * 32 * 4
