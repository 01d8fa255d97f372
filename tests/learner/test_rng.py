"""Named generators: independent, reproducible, saved whole."""

from __future__ import annotations

import torch

from cllab.learner.rng import Rng, derive


def draw(rng: Rng, name: str, n: int = 5) -> list[float]:
    return torch.rand(n, generator=rng.cpu(name)).tolist()


def test_derived_seeds_are_fixed_for_all_time() -> None:
    assert derive(1, "order") == 4764700062968986441
    assert derive(1, "order") < 2**63
    assert len({derive(s, n) for s in range(50) for n in ("order", "augment", "memory")}) == 150


def test_one_generator_does_not_disturb_another() -> None:
    a, b = Rng(3), Rng(3)
    draw(a, "memory", 100)
    assert draw(a, "order") == draw(b, "order")
    assert draw(Rng(3), "order") != draw(Rng(4), "order")
    assert draw(Rng(3), "order") != draw(Rng(3), "augment")


def test_cpu_and_device_generators_of_one_name_are_one_on_the_cpu() -> None:
    rng = Rng(1, "cpu")
    assert rng.cpu("x") is rng.on_device("x")


def test_numpy_generators_begin_anew_at_every_call() -> None:
    rng = Rng(7)
    assert rng.numpy("split").integers(1000, size=9).tolist() == rng.numpy("split").integers(1000, size=9).tolist()


def test_saved_and_restored_generators_go_on_where_they_were() -> None:
    rng = Rng(5)
    draw(rng, "order", 17)
    draw(rng, "augment", 3)
    state = rng.state_dict()
    expected = draw(rng, "order"), draw(rng, "augment"), draw(rng, "never used before")
    other = Rng(99)
    draw(other, "order", 2)
    other.load_state_dict(state)
    assert (draw(other, "order"), draw(other, "augment"), draw(other, "never used before")) == expected
