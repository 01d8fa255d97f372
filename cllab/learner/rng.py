"""Named random generators from one seed.

Each use of randomness has its own generator ("order", "augment", "memory", ...), so that changing one thing, say the
memory policy, leaves every other draw where it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from cllab.learner.seeds import derive as derive

CPU = torch.device("cpu")


class Rng:
    """Generators by name, made on first use, all saved and restored together."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.device = torch.device(device)
        self._generators: dict[str, torch.Generator] = {}

    def cpu(self, name: str) -> torch.Generator:
        """The CPU generator called `name`."""
        return self._get(name, CPU)

    def on_device(self, name: str) -> torch.Generator:
        """The generator called `name` on the training device."""
        return self._get(name, self.device)

    def numpy(self, name: str) -> np.random.Generator:
        """A fresh NumPy generator for `name`: the same at every call, so only for what is drawn once."""
        return np.random.default_rng(derive(self.seed, name))

    @contextlib.contextmanager
    def seeded(self, name: str) -> Iterator[None]:
        """Inside, torch's global generator is the one called `name`; outside it is as before."""
        generator = self.cpu(name)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(generator.get_state())
            yield
            generator.set_state(torch.get_rng_state())

    def _get(self, name: str, device: torch.device) -> torch.Generator:
        key = f"{device.type}:{name}"
        if key not in self._generators:
            generator = torch.Generator(device=device)
            generator.manual_seed(derive(self.seed, name))
            self._generators[key] = generator
        return self._generators[key]

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "generators": {k: g.get_state() for k, g in self._generators.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seed = int(state["seed"])
        for key, value in state["generators"].items():
            kind, name = key.split(":", 1)
            device = torch.device("cpu") if kind == "cpu" else self.device
            self._get(name, device).set_state(value)
