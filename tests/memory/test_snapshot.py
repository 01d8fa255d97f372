"""What a viewer finds in `memory/after_task_NN.npz`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cllab.data.base import Split, TensorImages
from cllab.engine import snapshot
from cllab.record import events as ev
from cllab.record.runs import RunStore
from cllab.worker import train
from tests.conftest import toy
from tests.memory.stores import make_learner, make_memory, split_of


def test_a_run_writes_one_after_every_task(store: RunStore) -> None:
    run = store.create(toy("rm", memory={"capacity": 30}, scenario={"tasks": 3}))
    assert train(run, signals=False) == 0
    updates = [e for e in run.events() if isinstance(e, ev.MemoryUpdated)]
    assert [e.snapshot for e in updates] == [f"after_task_0{n}.npz" for n in (1, 2, 3)]
    for update in updates:
        with np.load(run.memory_folder / update.snapshot) as data:
            assert {k: (v.dtype.kind + str(v.dtype.itemsize)) for k, v in data.items() if k != "score_name"} == {
                "ids": "i8", "labels": "i4", "tasks": "i4", "entered": "i8", "scores": "f4",
                "thumb_index": "i8", "thumbs": "u1",
            }  # fmt: skip
            assert tuple(np.bincount(data["labels"], minlength=10)) == update.per_class
            assert tuple(np.bincount(data["tasks"], minlength=3)) == update.per_task
            assert data["thumbs"].shape == (30, 1, 6, 6)
            assert str(data["score_name"]) == "uncertainty"


def test_pictures_are_the_stored_ones(tmp_path: Path) -> None:
    memory = make_memory("random", 30)
    memory.update(split_of(torch.arange(90) % 10, first=500), make_learner(memory))
    snapshot.write(tmp_path / "s.npz", memory)
    with np.load(tmp_path / "s.npz") as data:
        assert data["thumb_index"].tolist() == list(range(30))
        flat = data["thumbs"].reshape(30, -1).astype(int)
        assert (flat[:, 0] + 251 * flat[:, 1]).tolist() == data["ids"].tolist() == memory.columns["ids"].tolist()
        assert np.isnan(data["scores"]).all()
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]


def test_large_memories_show_two_thousand_pictures_of_all_classes_alike(tmp_path: Path) -> None:
    memory = make_memory("random", 5000, shape=(3, 64, 48))
    labels = torch.tensor([0] * 4000 + [1] * 900 + [2] * 100)
    pixels = labels.view(-1, 1, 1, 1).expand(5000, 3, 64, 48).byte() * 50
    split = Split(TensorImages(pixels), torch.arange(5000), labels)
    memory.update(split, make_learner(memory, shape=(3, 64, 48)))
    snapshot.write(tmp_path / "s.npz", memory)
    with np.load(tmp_path / "s.npz") as data:
        assert data["thumbs"].shape == (2000, 3, 32, 24), "as large as 32 pixels allow, in proportion"
        shown = data["labels"][data["thumb_index"]]
        assert (data["thumbs"][:, 0, 0, 0] == 50 * shown).all()
        assert len(set(data["thumb_index"].tolist())) == 2000
        assert np.bincount(shown) == pytest.approx(np.array([1600, 360, 40]), abs=1)


def test_of_many_tasks_the_memory_is_written_after_some_and_not_more_than_a_budget() -> None:
    for n in (1, 5, 26):
        assert snapshot.written(n, 20_000, (3, 224, 224)) == frozenset(range(n))
    small = snapshot.written(391, 300, (1, 28, 28))
    assert len(small) == snapshot.MOST
    large = snapshot.written(391, 1500, (3, 128, 128))
    assert large == snapshot.written(391, 1500, (3, 32, 32)), "as large as the thumbnails are"
    assert len(large) == 13
    assert len(large) * 1500 * 3 * 32 * 32 <= snapshot.BUDGET
    assert len(snapshot.written(391, 20_000, (3, 32, 32))) == snapshot.LEAST + 1
    for found in (small, large):
        assert {0, 390} <= found <= set(range(391))
        gaps = np.diff(sorted(found))
        assert gaps.max() - gaps.min() <= 1


def test_an_empty_memory_has_an_empty_snapshot(tmp_path: Path) -> None:
    snapshot.write(tmp_path / "s.npz", make_memory("random", 5))
    with np.load(tmp_path / "s.npz") as data:
        assert data["thumbs"].shape == (0, 1, 2, 2)
        assert len(data["ids"]) == 0
