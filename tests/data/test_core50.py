"""CORe50 and folders of sessions: found in their layouts, checked, and refused in one line of what is missing."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from cllab.data import core50
from cllab.data.core50 import CATEGORIES, CORe50
from cllab.data.session_folder import SessionFolder
from cllab.data.where import dataset_status
from cllab.errors import DataError
from tests.data.data_samples import save_png
from tests.scenarios.scenario_toys import stream
from tests.scenarios.sessions import TESTED, paths

FRAMES = [f"s{s}/o{o}/C_{s:02}_{o:02}_{f:03}.png" for s in range(1, 12) for o in range(1, 51) for f in (1, 299)]


def pixels_of(name: str) -> np.ndarray:
    s, o, f = (int(part) for part in name.removesuffix(".png").split("/")[2].split("_")[1:])
    return np.broadcast_to(np.array([s, o, f % 256], np.uint8)[:, None, None], (3, 4, 4))


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core50, "N_TRAIN", 800)
    monkeypatch.setattr(core50, "N_TEST", 300)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of the archive, two frames of every unit."""
    root = tmp_path_factory.mktemp("core50")
    for name in FRAMES:
        save_png(root / "core50_128x128" / name, pixels_of(name))
    return root


def mapped(root: Path, names: list[str], *, compressed: bool = False) -> Path:
    images = np.stack([pixels_of(name).transpose(1, 2, 0) for name in names])
    (np.savez_compressed if compressed else np.savez)(root / "core50_imgs.npz", x=images)
    (root / "paths.pkl").write_bytes(pickle.dumps(names))
    return root


def check(data: core50.Dataset, tested: int) -> None:  # type: ignore[name-defined]
    assert data.files is not None
    assert (len(data.train), len(data.test)) == (800, tested)
    assert data.classes[:6] == (
        "plug adapter 1",
        "plug adapter 2",
        "plug adapter 3",
        "plug adapter 4",
        "plug adapter 5",
        "mobile phone 1",
    )
    for split, names, sessions in (
        (data.train, data.files[0], data.sessions.train),
        (data.test, data.files[1], data.sessions.test),
    ):
        pixels = split.fetch(slice(None))[:, :, 0, 0]
        for i, name in enumerate(names):
            assert pixels[i].tolist() == pixels_of(name)[:, 0, 0].tolist()
            assert split.labels[i] == int(pixels[i][1]) - 1
            assert sessions[i] == int(pixels[i][0]) - 1
            assert (int(pixels[i][0]) in TESTED) is (split is data.test)
    assert len(set(data.files[0])) == 800


def test_folders_and_the_file_of_all_images_give_the_same_data(archive: Path, tmp_path: Path) -> None:
    assert dataset_status("core50", archive).found
    folders = CORe50.open(None, archive)
    check(folders, 15)
    assert CATEGORIES[folders.train.labels[0] // 5] == "plug adapter"
    check(CORe50.open(CORe50.Config(test="full"), archive), 300)
    shuffled = np.random.default_rng(0).permutation(FRAMES).tolist()
    data = CORe50.open(None, mapped(tmp_path, shuffled))
    check(data, 15)
    assert data.files == folders.files
    for name in ("ni", "nc", "nic", "nicv2"):
        assert stream(name, data).counts.tolist() == stream(name, folders).counts.tolist()


def test_the_array_alone_is_read_where_the_file_was_unpacked(tmp_path: Path) -> None:
    mapped(tmp_path, FRAMES)
    with zipfile.ZipFile(tmp_path / "core50_imgs.npz") as file:
        file.extract("x.npy", tmp_path)
    (tmp_path / "core50_imgs.npz").unlink()
    check(CORe50.open(None, tmp_path), 15)


def test_the_reduced_test_set_is_every_twentieth_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    names = paths(tuple(range(1, 12)))
    train, test = core50._divided(names, "lists", "reduced")
    assert (len(train), len(test), len(core50._divided(names, "lists", "full")[1])) == (119_894, 2_249, 44_972)
    tested = sorted(name for name in names if int(name[1 : name.index("/")]) in TESTED)
    assert sorted(test) == tested[::20]
    per_object = np.bincount([int(name.split("/")[1][1:]) for name in test])[1:]
    assert sorted(set(per_object.tolist())) == [44, 45, 46][: len(set(per_object.tolist()))]
    assert {int(name[1 : name.index("/")]) for name in test} == set(TESTED)
    assert CORe50.info.n_train == 119_894
    assert CORe50.info.n_test == 2_249


def test_what_is_missing_is_said_in_one_line(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(reason: str) -> None:
        with pytest.raises(DataError, match=reason) as caught:
            CORe50.open(None, tmp_path)
        assert "\n" not in str(caught.value)

    refused("core50: nothing found in")
    home = tmp_path / "core50_128x128"
    shutil.copytree(archive / "core50_128x128", home)
    shutil.move(home / "s4", tmp_path / "s4")
    refused("core50_128x128/s4 is missing")
    shutil.move(tmp_path / "s4", home / "s4")
    (home / "s4/o9/C_04_09_001.png").unlink()
    refused("core50_128x128: 799 of 800 images to learn")
    (home / "s4/o9/C_04_09_299.png").unlink()
    refused("s4/o9 is missing or empty")
    save_png(home / "s4/o9/C_04_10_001.png", pixels_of(FRAMES[0]))
    refused("s4/o9/C_04_10_001.png is not named as a frame is")
    (home / "s4/o9/C_04_10_001.png").unlink()
    save_png(home / "s4/o51/C_04_51_001.png", pixels_of(FRAMES[0]))
    refused("is of no session from 1 to 11 and object from 1 to 50")
    shutil.rmtree(home)
    mapped(tmp_path, FRAMES, compressed=True)
    refused("core50_imgs.npz: is compressed; unpack it into x.npy")
    mapped(tmp_path, FRAMES[:-1])
    refused("paths.pkl: 299 of 300|799 of 800|of 800 images")
    mapped(tmp_path, FRAMES)
    (tmp_path / "paths.pkl").write_bytes(pickle.dumps(FRAMES[:-1]))
    refused("names 1,099 images, core50_imgs.npz holds 1,100")
    (tmp_path / "paths.pkl").write_bytes(pickle.dumps(torch.zeros(2)))
    refused("paths.pkl: not a list of names")
    (tmp_path / "paths.pkl").unlink()
    refused("paths.pkl is missing")
    mapped(tmp_path, FRAMES)
    with pytest.raises(DataError, match=r"dataset.size = 64, but core50_imgs.npz holds images of 4 pixels"):
        CORe50.open(CORe50.Config(size=64), tmp_path)
    (tmp_path / "core50_imgs.npz").write_bytes(b"PK no")
    refused("holds no array 'x'")


# -- folders of sessions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes in sessions s1 to s10, of which the last class has only five."""
    root = tmp_path / "mine"
    for c, name in enumerate(("cup", "ball", "can")):
        for s in range(1, 11 if c < 2 else 6):
            for i in range(2):
                save_png(root / name / f"s{s}" / f"{i}.png", np.full((3, 4, 4), 40 * c + 4 * s + i, np.uint8))
    return root


def test_any_folders_of_sessions_are_a_dataset(folder: Path) -> None:
    data = SessionFolder.open(SessionFolder.Config(size=0), folder)
    assert data.sessions is not None
    assert data.classes == ("ball", "can", "cup")
    assert data.sessions.names == tuple(f"s{s}" for s in range(1, 11)), "in natural order"
    assert sorted(set(data.sessions.test.tolist())) == [2, 6], "every fourth from the third on"
    assert (len(data.train), len(data.test)) == (2 * (8 + 8 + 4), 2 * (2 + 2 + 1))
    code = {"cup": 0, "ball": 1, "can": 2}
    for split, sessions in ((data.train, data.sessions.train), (data.test, data.sessions.test)):
        for x, y, s in zip(
            split.fetch(slice(None))[:, 0, 0, 0].tolist(), split.labels.tolist(), sessions.tolist(), strict=True
        ):
            assert (x - 40 * code[data.classes[y]]) // 4 == s + 1
    made = stream("nicv2", data)
    assert sum(len(t.train) for t in made.tasks) == len(data.train)
    assert [t.name for t in made.apart] == ["s3", "s7"]
    chosen = SessionFolder.open(SessionFolder.Config(test_sessions="s1, s10"), folder)
    assert chosen.sessions is not None
    assert sorted(set(chosen.sessions.test.tolist())) == [0, 9]


def test_folders_that_are_none_of_sessions_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    def refused(reason: str, config: SessionFolder.Config | None = None) -> None:
        with pytest.raises(DataError, match=reason) as caught:
            SessionFolder.open(config, folder)
        assert "\n" not in str(caught.value)

    refused("names 's99', which is no session; there are s1, s2", SessionFolder.Config(test_sessions="s99"))
    everything = ",".join(f"s{s}" for s in range(1, 11))
    refused("of 10 sessions 10 are tested on", SessionFolder.Config(test_sessions=everything))
    refused("can has no images to learn", SessionFolder.Config(test_sessions="s1,s2,s3,s4,s5"))
    save_png(folder / "cup" / "s1" / "deep" / "0.png", np.zeros((3, 4, 4), np.uint8))
    refused("cup/s1/deep/0.png is not at|nothing found in")
    shutil.rmtree(folder / "cup" / "s1" / "deep")
    (folder / "cup" / "s1" / "0.png").write_bytes(b"")
    refused("cup/s1/0.png: the file is empty")
    # a data folder with other datasets in it is not taken for one
    assert not dataset_status("session-folder", tmp_path).found
