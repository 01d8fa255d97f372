"""Image folders: any image into one size; beyond the budget decoded as they are read, with the same pixels."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder as TorchvisionFolder
from torchvision.transforms import v2

from cllab.data import _decode, _images
from cllab.data._cache import Files
from cllab.data._decode import Rule
from cllab.data._images import FolderImages, HostImages
from cllab.data.base import JoinedImages, TensorImages, join
from cllab.data.imagefolder import ImageFolder
from cllab.errors import DataError

CLASSES = ("ant", "bee", "cat")
KINDS = ("png", "jpg", "bmp", "webp", "JPEG")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("CLLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of many sizes, modes and formats."""
    random = np.random.default_rng(0)
    for split, count in (("train", 7), ("test", 4)):
        for name in CLASSES:
            for i in range(count):
                h, w = random.integers(5, 60, 2)
                image = Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8))
                kind = KINDS[i % len(KINDS)]
                if i == 0:
                    image = image.convert(random.choice(["L", "RGBA", "P"]))
                path = tmp_path / "pictures" / split / name / f"{name}_{i}.{kind}"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
    return tmp_path / "pictures"


def cached(cache: Path) -> list[Path]:
    return sorted(cache.iterdir()) if cache.exists() else []


def every(images) -> torch.Tensor:
    return images.fetch(torch.arange(len(images)))


@pytest.mark.parametrize("size", [8, 32])
def test_pixels_and_labels_are_torchvisions(folder: Path, size: int) -> None:
    data = ImageFolder.open(ImageFolder.Config(size=size), folder)
    # torchvision's pipeline on Pillow images, as the reproduced systems use it: squash, bilinear, antialiased
    resize = v2.Resize((size, size), interpolation=v2.InterpolationMode.BILINEAR)
    for split, name in ((data.train, "train"), (data.test, "test")):
        theirs = TorchvisionFolder(folder / name, transform=v2.Compose([resize, v2.PILToTensor()]))
        assert torch.equal(split.fetch(slice(None)), torch.stack([image for image, _ in theirs]))
        assert split.labels.tolist() == theirs.targets
        assert data.classes == tuple(theirs.classes)
    assert data.files is not None
    assert data.files[1][0] == "test/ant/ant_0.png"
    info = data.info
    assert (info.n_classes, info.shape, info.n_train, info.n_test) == (3, (3, size, size), 21, 12)


def test_gray(folder: Path) -> None:
    data = ImageFolder.open(ImageFolder.Config(channels="gray"), folder)
    assert data.shape == (1, 32, 32)
    assert len(data.info.mean) == len(data.info.std) == 1
    path = folder / "train" / "bee" / "bee_2.bmp"
    expected = Image.open(path).convert("L").resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(data.train.fetch(slice(9, 10))[0, 0].numpy(), np.asarray(expected))


def test_beyond_the_budget_the_pixels_are_the_same(folder: Path, cache: Path) -> None:
    streamed = ImageFolder.open(ImageFolder.Config(memory_budget=0), folder)
    assert isinstance(streamed.train.images, FolderImages)
    assert cached(cache) == []
    stored = ImageFolder.open(ImageFolder.Config(), folder)
    assert isinstance(stored.train.images, TensorImages)
    assert len(cached(cache)) == 1
    for one, other in ((streamed.train, stored.train), (streamed.test, stored.test)):
        for split in (one, other, join(one, other)):
            split.prefetch(slice(0, 5))
        shuffled = torch.randperm(len(one), generator=torch.Generator().manual_seed(0)).repeat(2)
        assert torch.equal(one.fetch(shuffled), other.fetch(shuffled))
        assert torch.equal(one.labels, other.labels)
        assert one.images.nbytes == other.images.nbytes
        assert one.shape == other.shape
    assert streamed.files == (list(stored.files[0]), list(stored.files[1]))  # type: ignore[index]
    # a cache made under a larger budget does not override a smaller one
    assert isinstance(ImageFolder.open(ImageFolder.Config(memory_budget=0), folder).train.images, FolderImages)


def store(folder: Path, **more) -> FolderImages:
    names = [f"train/ant/ant_{i}.{KINDS[i % 5]}" for i in range(7)]
    return FolderImages(Files(folder, names, Rule("RGB", 16, 16, convert=True, resize=True)), "cpu", **more)


def test_what_was_announced_is_not_decoded_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = store(folder)
    expected = every(store(folder))
    images.prefetch(torch.tensor([4, 2, 2, 6]))
    done = [future.result() for future in images._window.values()]
    assert len(done) == 3
    count, decode = [], _images.decode_chunk
    monkeypatch.setattr(_images, "decode_chunk", lambda *a: (count.append(1), decode(*a))[1])
    assert torch.equal(images.fetch(torch.tensor([2, 4, 6])), expected[[2, 4, 6]])
    assert count == []
    assert torch.equal(images.fetch(torch.tensor([6, 0])), expected[[6, 0]])
    assert count == [1]


def test_announced_images_decode_while_something_else_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = store(folder, threads=2)
    both = threading.Barrier(3, timeout=10)
    decode = _images.decode_chunk

    def meet(*arguments):
        both.wait()
        return decode(*arguments)

    monkeypatch.setattr(_images, "decode_chunk", meet)
    images.prefetch(torch.tensor([0, 1]))
    # returns only when two decoding threads run while this one does
    both.wait()
    assert images.fetch(torch.tensor([0, 1])).shape == (2, 3, 16, 16)


def test_memory_is_bounded(folder: Path) -> None:
    item = 3 * 16 * 16
    images = store(folder, window_bytes=3 * item + 5)
    images.prefetch(torch.arange(7))
    assert images.held_bytes == 3 * item
    assert torch.equal(every(images), every(store(folder)))
    assert images.held_bytes == 3 * item
    # the window holds what was mentioned last
    assert list(images._window) == [4, 5, 6]
    assert torch.equal(store(folder, window_bytes=0).fetch(torch.tensor([1, 1, 3])), every(images)[[1, 1, 3]])


def test_a_damaged_image_is_named_when_it_is_read(folder: Path) -> None:
    path = folder / "train" / "ant" / "ant_1.jpg"
    path.write_bytes(path.read_bytes()[:200])
    data = ImageFolder.open(ImageFolder.Config(memory_budget=0), folder)
    data.train.fetch(torch.tensor([0, 2]))
    with pytest.raises(DataError, match=str(path)):
        data.train.fetch(torch.tensor([0, 1]))


def test_host_images_and_joined_images(folder: Path) -> None:
    pixels = every(store(folder))
    host = HostImages(pixels, "cpu")
    index = torch.tensor([6, 0, 0, 3])
    assert torch.equal(host.fetch(index), pixels[index])
    assert (host.shape, host.nbytes, len(host)) == ((3, 16, 16), pixels.numel(), 7)
    joined = JoinedImages(host, store(folder))
    index = torch.tensor([8, 2, 13])
    joined.prefetch(index)
    assert set(joined.second._window) >= {1, 6}  # type: ignore[attr-defined]
    assert torch.equal(joined.fetch(index), pixels[[1, 2, 6]])


def test_images_that_do_not_fit_on_the_device_stay_on_the_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_images, "_room", lambda device: 1000)
    data = ImageFolder.open(None, folder, device="meta")
    assert isinstance(data.train.images, HostImages)
    assert data.train.labels.device.type == "meta"


def test_one_size_for_all_is_kept(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.*"):
        Image.open(path).convert("RGB").resize((20, 12)).save(path)
    data = ImageFolder.open(ImageFolder.Config(size=0), folder)
    assert data.shape == (3, 12, 20)
    path = folder / "test" / "cat" / "cat_1.jpg"
    Image.open(path).resize((21, 12)).save(path)
    refused(folder, f"{path}: must be 20x12", config=ImageFolder.Config(size=0), kept=1)


def refused(root: Path, *words: str, config: ImageFolder.Config | None = None, kept: int = 0) -> None:
    with pytest.raises(DataError) as caught:
        ImageFolder.open(config, root)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(cached(root.parent / "cache" / "data")) == kept


def test_faults_are_named(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "dataset.root must name a folder with {train,test|val}/<class>/<image>")
    (folder / "test" / "dog").mkdir()
    refused(folder, f"{folder / 'train' / 'dog'} is missing")
    (folder / "train" / "dog").mkdir()
    refused(folder, f"{folder / 'train' / 'dog'} has no images")
    (folder / "train" / "dog").rmdir()
    (folder / "test" / "dog").rmdir()
    (folder / "test" / "cat").rename(tmp_path / "away")
    refused(folder, f"{folder / 'test' / 'cat'} is missing")
    (tmp_path / "away").rename(folder / "test" / "cat")
    (folder / "train" / "x.png").write_bytes((folder / "train" / "ant" / "ant_0.png").read_bytes())
    refused(folder, str(folder / "train" / "x.png"), "no class folder")
    (folder / "train" / "x.png").unlink()
    (folder / "train" / "ant" / "no.png").touch()
    refused(folder, str(folder / "train" / "ant" / "no.png"), "empty")
    (folder / "train" / "ant" / "no.png").write_text("not an image")
    refused(folder, str(folder / "train" / "ant" / "no.png"), "not an image")
    (folder / "train" / "ant" / "no.png").unlink()
    deep = folder / "train" / "ant" / "deep.png"
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(deep)
    refused(folder, str(deep), "8 bits")
    (folder / "test").rename(tmp_path / "away")
    refused(folder, f"{folder / 'test'} is missing")


def test_what_is_no_image_is_left_out(folder: Path) -> None:
    before = ImageFolder.open(None, folder)
    (folder / "train" / "ant" / "notes.txt").write_text("hello")
    (folder / "train" / "ant" / ".hidden.png").write_text("hello")
    (folder / "test" / ".DS_Store").write_text("hello")
    assert ImageFolder.open(None, folder).files == before.files


def test_val_where_test_has_no_labels(folder: Path, cache: Path) -> None:
    expected = ImageFolder.open(None, folder).test.fetch(slice(None))
    (folder / "test").rename(folder / "val")
    assert torch.equal(ImageFolder.open(None, folder).test.fetch(slice(None)), expected)
    (folder / "test").mkdir()
    (folder / "test" / "0001.png").write_bytes((folder / "val" / "ant" / "ant_0.png").read_bytes())
    assert torch.equal(ImageFolder.open(None, folder).test.fetch(slice(None)), expected)


def test_folders_inside_classes_count(folder: Path) -> None:
    before = ImageFolder.open(None, folder)
    for path in list((folder / "train" / "bee").iterdir()):
        path.parent.joinpath("images").mkdir(exist_ok=True)
        path.rename(path.parent / "images" / path.name)
    after = ImageFolder.open(None, folder)
    assert torch.equal(after.train.fetch(slice(None)), before.train.fetch(slice(None)))
    assert torch.equal(after.train.labels, before.train.labels)


def test_sizes_have_caches_of_their_own(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (16, 24)
    for size in sizes:
        ImageFolder.open(ImageFolder.Config(size=size), folder)
    assert len(cached(cache)) == 2
    monkeypatch.setattr(_decode, "decode_file", None)
    for size in sizes:
        assert ImageFolder.open(ImageFolder.Config(size=size), folder).shape == (3, size, size)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ImageFolder.open(None, folder).train
    index = torch.tensor([3, 20, 3, 0])
    stores = [ImageFolder.open(None, folder, device="cuda")]
    monkeypatch.setattr(_images, "_room", lambda device: 1000)
    stores.append(ImageFolder.open(None, folder, device="cuda"))
    stores.append(ImageFolder.open(ImageFolder.Config(memory_budget=0), folder, device="cuda"))
    assert {type(data.train.images) for data in stores} == {TensorImages, HostImages, FolderImages}
    for data in stores:
        batch = data.train.fetch(index.cuda())
        assert batch.device.type == data.train.labels.device.type == "cuda"
        assert torch.equal(batch.cpu(), expected.fetch(index))
