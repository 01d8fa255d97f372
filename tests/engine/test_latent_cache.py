"""Latents of pretrained fronts on disk: once for every run, seed and method, and never those of something else."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cllab.data import latent_files
from cllab.data.base import TensorImages
from cllab.engine import latent_cache
from cllab.engine.latents import Latents
from cllab.engine.run import Session
from cllab.learner.passes import Passes
from cllab.models.mlp import MLP
from cllab.record import events as ev
from cllab.settings.config import RunConfig
from tests.conftest import toy
from tests.engine.test_latents import walked


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images every pass of a front over a store computed."""
    found: list[int] = []
    usual = Latents.fill

    def counting(store: Latents, *args: Any) -> None:
        found.append(len(store))
        usual(store, *args)

    monkeypatch.setattr(Latents, "fill", counting)
    return found


def weights(folder: Path, seed: int = 0) -> str:
    torch.manual_seed(seed)
    from tests.engine.test_latents import NET

    shape = Session(toy(model={k: NET[k] for k in ("name", "width", "layers", "norm")}), print, None).dataset.shape  # type: ignore[arg-type]
    net = MLP.build(MLP.Config(width=32, layers=2, norm=True), shape)
    path = folder / f"front{seed}.pth"
    torch.save(net.state_dict(), path)
    return str(path)


def behind(method: str, file: str, **tables: Any) -> RunConfig:
    model = {
        "name": "mlp",
        "width": 32,
        "layers": 2,
        "norm": True,
        "cut": "hidden1",
        "front": "frozen",
        "weights": file,
    }
    return toy(method, **{**tables, "model": {**model, **tables.get("model", {})}})


def test_every_run_seed_and_method_share_them(tmp_path: Path, computed: list[int]) -> None:
    file = weights(tmp_path)
    first, record = walked(behind("er", file))
    assert computed == [len(first.dataset.train), len(first.dataset.test)]
    again, second = walked(behind("er", file))
    assert len(computed) == 2, "the second run computed nothing"
    assert again.metrics() == first.metrics()
    assert [e.samples for e in record.of(ev.LatentsTaken)] == [e.samples for e in second.of(ev.LatentsTaken)]
    for other in (behind("finetune", file), toy_seed(behind("er", file), 2)):
        walked(other)
    assert len(computed) == 2
    learner = again.learner
    raw = again.images.tasks[1].train.fetch(slice(0, 9))
    expected = learner.model.front(learner.normalize(raw)).half()
    assert torch.allclose(again.stream.tasks[1].train.fetch(slice(0, 9)), expected, atol=1e-3)


def toy_seed(config: RunConfig, seed: int) -> RunConfig:
    return config.override([f"seed={seed}"])


def test_other_weights_cuts_precisions_and_images_have_files_of_their_own(tmp_path: Path, computed: list[int]) -> None:
    file, other = weights(tmp_path), weights(tmp_path, 1)
    walked(behind("finetune", file))
    for more in (
        behind("finetune", other),
        behind("finetune", file, model={"cut": "hidden2"}),
        behind("finetune", file, model={"latents": "float32"}),
        behind("finetune", file, train={"normalize": "unit"}),
        behind("finetune", file, dataset={"name": "digits"}, model={"weights": "none", "norm": True}),
    ):
        before = len(computed)
        walked(more)
        assert len(computed) == before + 2
    files = latent_files.listed()
    assert len(files) == 10, "two for each, none for a front of one run alone"
    assert {f.dtype for f in files} == {"float16", "float32"}
    assert all(f.what.startswith("blobs") for f in files)
    assert sum(f.bytes for f in files) == latent_files.clear()
    assert latent_files.listed() == []


def test_a_front_that_one_run_alone_has_is_not_kept(tmp_path: Path) -> None:
    walked(behind("finetune", "none"))
    walked(behind("finetune", weights(tmp_path), base={"on": "classes", "epochs": 1}))
    assert latent_files.listed() == []


@pytest.mark.parametrize("damage", ["short", "empty", "other"])
def test_a_file_that_is_not_whole_is_made_again(damage: str, tmp_path: Path, computed: list[int]) -> None:
    file = weights(tmp_path)
    first, _ = walked(behind("er", file))
    for found in latent_files.listed():
        whole = found.path.read_bytes()
        found.path.unlink()
        if damage == "other":
            np.save(found.path, np.zeros((3, 3), np.float16))
        else:
            found.path.write_bytes(whole[: len(whole) // 2] if damage == "short" else b"")
    again, _ = walked(behind("er", file))
    assert len(computed) == 4
    assert again.metrics() == first.metrics()
    walked(behind("er", file))
    assert len(computed) == 4


def test_a_process_that_dies_while_it_writes_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    file = weights(tmp_path)
    usual = Passes.worked

    def dying(passes: Passes, n: int) -> None:
        if passes._name == "latents":
            raise KeyboardInterrupt
        usual(passes, n)

    with monkeypatch.context() as inside:
        inside.setattr(Passes, "worked", dying)
        with pytest.raises(KeyboardInterrupt):
            walked(behind("er", file))
    assert latent_files.listed() == []
    assert not list(latent_cache.folder().glob("*.part"))
    walked(behind("er", file))
    assert len(latent_files.listed()) == 2


def test_a_full_disk_is_said_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = weights(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    session, record = walked(behind("er", file))
    (warned,) = record.of(ev.Warned)
    assert "latents are not kept in" in warned.message
    assert "No space left on device" in warned.message
    monkeypatch.undo()
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    assert walked(behind("er", file))[0].metrics() == session.metrics()


def test_who_comes_second_waits_for_the_first(tmp_path: Path) -> None:
    path = latent_cache.folder() / "x.npy"
    order: list[str] = []

    def first() -> None:
        with latent_cache.alone(path, Passes()):
            order.append("in")
            held.set()
            time.sleep(0.3)
            order.append("out")

    held = threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    held.wait()
    with latent_cache.alone(path, Passes()):
        order.append("second")
    thread.join()
    assert order == ["in", "out", "second"]


def test_a_digest_is_of_the_images_and_of_nothing_else() -> None:
    pixels = torch.randint(0, 256, (30, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    other = pixels.clone()
    other[17, 0, 2, 3] ^= 1
    digests = [latent_cache.digest_of(TensorImages(p)) for p in (pixels, pixels.clone(), other, pixels[:29])]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
