"""File lists made by CORe50's rules, and datasets that have just those images."""

from __future__ import annotations

import numpy as np
import torch

from cllab.data.base import Dataset, Sessions, Split, TensorImages
from cllab.data.info import DatasetInfo

OBJECTS, TESTED = 50, (3, 7, 10)
TRAINED = tuple(s for s in range(1, 12) if s not in TESTED)
N_TRAIN, N_TEST = 119_894, 44_972


def frames() -> dict[tuple[int, int], int]:
    """Images of every (session, object), 293 to 300 each, that add up to CORe50's; 2,999 in the units of batch 0."""
    counts = {(s, o): 300 for s in range(1, 12) for o in range(1, OBJECTS + 1)}
    counts[1, 1] -= 1
    for sessions, missing in ((TRAINED, 400 * 300 - N_TRAIN - 1), (TESTED, 150 * 300 - N_TEST)):
        units = [(s, o) for s in sessions for o in range(1, OBJECTS + 1) if s != 1 or (o - 1) % 5]
        for i in range(missing):
            counts[units[i % len(units)]] -= 1
    return counts


def paths(sessions: tuple[int, ...]) -> list[str]:
    """`sS/oO/C_SS_OO_FFF.png` of all images of these sessions; some frame numbers are missing, as there."""
    held = frames()
    return [
        f"s{s}/o{o}/C_{s:02}_{o:02}_{f:03}.png"
        for s in sessions
        for o in range(1, OBJECTS + 1)
        for f in range(300 - held[s, o], 300)
    ]


def like_core50(train: list[str], test: list[str]) -> Dataset:
    """A dataset of one-pixel images under these names."""

    def half(names: list[str]) -> tuple[Split, torch.Tensor]:
        labels = torch.tensor([int(name.split("/")[1][1:]) - 1 for name in names])
        sessions = torch.tensor([int(name.split("/")[0][1:]) - 1 for name in names])
        store = TensorImages(torch.zeros(len(names), 1, 1, 1, dtype=torch.uint8))
        return Split(store, torch.arange(len(names)), labels), sessions

    (learned, of_learned), (tested, of_tested) = half(train), half(test)
    info = DatasetInfo("CORe50", OBJECTS, (1, 1, 1), len(train), len(test), (0.5,), (0.5,), has_sessions=True)
    sessions = Sessions(tuple(f"s{s}" for s in range(1, 12)), of_learned, of_tested)
    names = tuple(f"o{o + 1}" for o in range(OBJECTS))
    return Dataset("core50", info, names, learned, tested, (train, test), sessions=sessions)


def in_sessions(n_classes: int = 10, n_sessions: int = 4, each: int = 3, *, tests: bool = True) -> Dataset:
    """`each` images of every class and session to learn, and one of every class in two sessions more to test."""

    def half(sessions: range, n: int) -> tuple[Split, torch.Tensor]:
        units = [(c, s) for s in sessions for c in range(n_classes) for _ in range(n)]
        np.random.RandomState(0).shuffle(units)
        pixels = torch.tensor([[[[c]], [[s]]] for c, s in units], dtype=torch.uint8)
        index = torch.arange(len(units))
        return Split(TensorImages(pixels), index, torch.tensor([c for c, _ in units])), torch.tensor(
            [s for _, s in units]
        )

    train, of_train = half(range(n_sessions), each)
    test, of_test = half(range(n_sessions, n_sessions + 2), 1)
    info = DatasetInfo("Toy", n_classes, (2, 1, 1), len(train), len(test), (0.5,), (0.5,), has_sessions=True)
    sessions = Sessions(
        tuple(f"session {s + 1}" for s in range(n_sessions + 2)), of_train, of_test if tests else of_test * 0 - 1
    )
    return Dataset("toy", info, tuple(f"class {c}" for c in range(n_classes)), train, test, sessions=sessions)
