"""MobileNetV1 and EfficientNet-Lite0: sizes, weights of others, and how a network wants its images."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cllab.data.augment.pipeline import Input, normalize, resized
from cllab.data.where import dataset_status
from cllab.engine.control import Control
from cllab.engine.networks import input_of
from cllab.engine.parts import open_dataset
from cllab.engine.run import Session
from cllab.errors import DataError, UsageError
from cllab.models import _weights
from cllab.models.base import Network
from cllab.models.efficientnet_lite0 import EfficientNetLite0
from cllab.models.mobilenet_v1 import MobileNetV1
from cllab.models.torchvision_resnet import TorchvisionResNet
from cllab.settings.config import RunConfig
from cllab.worker import precheck
from tests.conftest import Record
from tests.models.test_models import backbone

LATENTS = {
    "conv1": (32, 64, 64, 3_257_248),
    "conv2_1/dw": (32, 64, 64, 3_256_896),
    "conv2_2/dw": (64, 32, 32, 3_254_016),
    "conv3_1/dw": (128, 32, 32, 3_244_160),
    "conv3_2/dw": (128, 16, 16, 3_226_112),
    "conv4_1/dw": (256, 16, 16, 3_190_016),
    "conv4_2/dw": (256, 8, 8, 3_121_152),
    "conv5_1/dw": (512, 8, 8, 2_983_424),
    "conv5_2/dw": (512, 8, 8, 2_714_624),
    "conv5_3/dw": (512, 8, 8, 2_445_824),
    "conv5_4/dw": (512, 8, 8, 2_177_024),
    "conv5_5/dw": (512, 8, 8, 1_908_224),
    "conv5_6/dw": (512, 4, 4, 1_639_424),
    "conv6/dw": (1024, 4, 4, 1_101_824),
    "pool6": (1024, 51_200),
}
"""Shape of the latents at 128 pixels, and the weights above with a head of 50 classes without bias: the table of the
published network, by the names of its layers."""


def test_mobilenet_has_the_published_shapes_and_numbers_of_weights_at_every_cut() -> None:
    network = Network(backbone("mobilenet-v1", (3, 128, 128)), 50, head="unbiased").eval()
    assert _weights.count(network) == 3_258_176
    names = list(network.backbone.parts)
    assert (len(names), names[19]) == (28, "conv5_4/dw"), "the nineteenth, counted from 0"
    assert tuple(names) == MobileNetV1.info.cuts
    x = torch.randn(1, 3, 128, 128)
    shapes = {}
    with torch.inference_mode():
        for name, part in network.backbone.parts.items():
            x = part(x)
            shapes[name] = tuple(x.shape[1:])
    for name, (*shape, above) in LATENTS.items():
        assert shapes[name] == tuple(shape), name
        parts = [network.backbone.parts[n] for n in names[names.index(name) + 1 :]]
        assert sum(map(_weights.count, [*parts, network.head])) == above, name


def test_mobilenet_takes_pytorchcv_names() -> None:
    own = MobileNetV1.own_name
    assert own("features.init_block.conv.weight") == "parts.conv1.0.weight"
    assert own("features.stage1.unit1.dw_conv.bn.bias") == "parts.conv2_1/dw.1.bias"
    assert own("features.stage4.unit5.dw_conv.conv.weight") == "parts.conv5_4/dw.0.weight"
    assert own("features.stage5.unit2.pw_conv.bn.running_var") == "parts.conv6/sep.1.running_var"
    assert own("output.weight") == "output.weight"


def test_efficientnet_pads_as_tensorflow_does() -> None:
    """At stride 2 of an even image, "same" pads at the far end alone."""
    stem = backbone("efficientnet-lite0", (3, 32, 32)).parts["stem"][0]  # type: ignore[index]
    x = torch.randn(1, 3, 8, 8)
    assert torch.allclose(stem(x), F.conv2d(F.pad(x, (0, 1, 0, 1)), stem.weight, None, 2), atol=1e-6)
    odd = torch.randn(1, 3, 7, 7)
    assert torch.allclose(stem(odd), F.conv2d(F.pad(odd, (1, 1, 1, 1)), stem.weight, None, 2), atol=1e-6)


def test_efficientnet_takes_the_packages_weights_strictly() -> None:
    net = backbone("efficientnet-lite0", (3, 112, 112))
    assert _weights.count(net) + 1280 * 1000 + 1000 == 4_652_008
    path = EfficientNetLite0.pretrained(None, "imagenet")
    _weights.load(EfficientNetLite0, net, path)
    state = torch.load(path, weights_only=True)
    assert torch.equal(net.parts["block6"].depthwise_conv.weight, state["_blocks.5._depthwise_conv.weight"])
    assert torch.equal(net.parts["last"][1].running_var, state["_bn1.running_var"])  # type: ignore[index]
    assert {m.eps for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}
    name = _weights.receipt("imagenet", path)
    assert name == f"imagenet sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_efficientnet_bounds_what_it_expands_at_six() -> None:
    """ReLU6 behind the expansion and the depth-wise convolution: kernels 1,000 times as large move nothing further."""
    block = backbone("efficientnet-lite0", (3, 32, 32)).parts["block3"].eval()
    seen: list[torch.Tensor] = []
    block.depthwise_conv.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))  # type: ignore[operator, union-attr]
    block.project_conv.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))  # type: ignore[operator, union-attr]
    for conv in (block.expand_conv, block.depthwise_conv):
        conv.weight.data.mul_(1000)  # type: ignore[operator, union-attr]
    block(1000 * torch.rand(2, 24, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert len(seen) == 2
    for inside in seen:
        assert inside.min() == 0
        assert inside.max() == 6


def accuracy(classes: int, train: int, test: int) -> float:
    """Cosine to the class means of pooled, centered features, on the first images of the first classes."""
    config = RunConfig.from_dict(
        {
            "device": "cpu",
            "dataset": {"name": "cifar100"},
            "method": {"name": "finetune"},
            "model": {"name": "efficientnet-lite0", "weights": "imagenet", "size": 112},
        }
    )
    data = open_dataset(config, torch.device("cpu"))
    seen = input_of(config, data.info, 3)
    assert (seen.size, seen.mean[0], seen.std[0]) == (112, 0.498, 0.502)
    net = backbone("efficientnet-lite0", seen.shape(data.shape)).eval()  # type: ignore[arg-type]
    _weights.load(EfficientNetLite0, net, EfficientNetLite0.pretrained(None, "imagenet"))

    @torch.inference_mode()
    def features(split: Any, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        where = torch.cat([(split.labels == c).nonzero().flatten()[:n] for c in range(classes)])
        found = torch.cat([net(seen(split.fetch(part))) for part in torch.split(where, 50)])
        return found, split.labels[where]

    (f, y), (g, z) = features(data.train, train), features(data.test, test)
    f, g = f - f.mean(0), g - f.mean(0)
    means = F.normalize(torch.stack([f[y == c].mean(0) for c in range(classes)]))
    return float(((F.normalize(g) @ means.T).argmax(1) == z).float().mean())


def needs_cifar() -> None:
    if not dataset_status("cifar100", scan=False).found:
        pytest.skip("CIFAR-100 is not in $CLLAB_DATA")


@pytest.mark.slow
def test_its_features_tell_fifty_cifar_classes_apart() -> None:
    """63.8 % with other code: 40 training and 20 test images of each of the first 50 classes."""
    needs_cifar()
    assert accuracy(50, 40, 20) == pytest.approx(0.638, abs=0.005)


def test_its_features_tell_ten_cifar_classes_apart_by_five_images() -> None:
    needs_cifar()
    assert accuracy(10, 5, 5) > 0.6


# -- weights


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    net = backbone("slim-resnet18", (3, 32, 32), filters=4)
    from cllab.models.slim_resnet18 import SlimResNet18

    good = {f"module.backbone.{k}": v + 1 for k, v in net.state_dict().items()}
    path = tmp_path / "w.pt"
    torch.save({"state_dict": {**good, "module.head.weight": torch.zeros(3)}}, path)
    _weights.load(SlimResNet18, net, path)
    assert torch.equal(net.parts["stem"][0].weight, good["module.backbone.parts.stem.0.weight"])  # type: ignore[index]

    def refused(state: Any, message: str) -> None:
        torch.save(state, path)
        before = {k: v.clone() for k, v in net.state_dict().items()}
        with pytest.raises(DataError, match=message) as caught:
            _weights.load(SlimResNet18, net, path)
        assert "\n" not in str(caught.value)
        assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items()), "nothing was changed"

    less = dict(net.state_dict())
    del less["parts.stem.0.weight"]
    refused(less, "do not fit this model: nothing for 'parts.stem.0.weight'")
    wide = backbone("slim-resnet18", (3, 32, 32), filters=5).state_dict()
    refused(wide, r"'parts.stem.0.weight' is \(5, 3, 3, 3\), not \(4, 3, 3, 3\)")
    refused({**net.state_dict(), "parts.stage9.weight": torch.zeros(1)}, "'parts.stage9.weight' is none of its parts")
    refused([1, 2], "holds no weights by name")
    path.write_text("no weights")
    with pytest.raises(DataError, match="not a file of weights"):
        _weights.load(SlimResNet18, net, path)


def test_torchvision_names_fit_and_what_was_not_fetched_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.models as tv

    state = tv.resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "r.pth")
    net = backbone("torchvision-resnet", (3, 32, 32))
    _weights.load(TorchvisionResNet, net, tmp_path / "r.pth")
    assert torch.equal(net.parts["stage2"][0].conv1.weight, state["layer2.0.conv1.weight"])  # type: ignore[index]
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(DataError, match=r"model.weights = 'imagenet': no .*resnet18.*pth; python -c .* fetches it"):
        TorchvisionResNet.pretrained(TorchvisionResNet.Config(), "imagenet")


def config(**model: Any) -> RunConfig:
    return RunConfig.from_dict(
        {
            "device": "cpu",
            "dataset": {"name": "digits"},
            "scenario": {"tasks": 2, "stream": "online"},
            "method": {"name": "finetune"},
            "model": model,
        }
    )


def test_weights_are_checked_before_a_run_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^model.weights = 'imagenet': there are none of 'mlp'; .*efficientnet-lite0"):
        config(name="mlp", weights="imagenet")
    missing = config(name="mlp", weights=str(tmp_path / "gone.pt"))
    with pytest.raises(UsageError, match=r"model.weights: no file '.*gone.pt'"):
        precheck(missing)
    torch.save({"a": torch.zeros(1)}, tmp_path / "bad.pt")
    with pytest.raises(DataError, match="do not fit"):
        precheck(config(name="mlp", weights=str(tmp_path / "bad.pt")))


def test_a_path_is_kept_whole(tmp_path: Path) -> None:
    found = RunConfig.from_toml(
        '[dataset]\nname = "blobs"\n[method]\nname = "er"\n[model]\nname = "mlp"\nweights = "w.pt"\n', base=tmp_path
    )
    assert found.model.common["weights"] == str((tmp_path / "w.pt").resolve())


def test_a_run_begins_with_its_weights_and_says_their_hash(tmp_path: Path) -> None:
    from cllab.record import events as ev

    net = backbone("mlp", (1, 8, 8), layers=2, width=7)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    record = Record()
    session = Session(config(name="mlp", layers=2, width=7, weights=str(tmp_path / "w.pt")), record, Control())
    session.start()
    for name, value in net.state_dict().items():
        assert torch.equal(session.learner.model.backbone.state_dict()[name], value)
    assert torch.equal(session.learner.new_model(3).backbone.parts["hidden1"][1].weight, net.parts["hidden1"][1].weight)  # type: ignore[index]
    (started,) = record.of(ev.RunStarted)
    digest = hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()
    assert started.versions["weights"] == f"w.pt sha256:{digest}"
    assert session.result("done")["versions"]["weights"] == started.versions["weights"]


# -- how images enter


@pytest.mark.parametrize(("h", "w", "size"), [(32, 32, 112), (40, 24, 16), (8, 8, 8)])
def test_resizing_is_pillows_bicubic(h: int, w: int, size: int) -> None:
    raw = torch.randint(0, 256, (3, 3, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = resized(raw, size)
    assert (found.shape, found.dtype) == ((3, 3, size, size), torch.uint8)
    for image, out in zip(raw, found, strict=True):
        want = np.asarray(
            Image.fromarray(image.permute(1, 2, 0).numpy()).resize((size, size), Image.Resampling.BICUBIC)
        )
        gaps = np.abs(out.permute(1, 2, 0).numpy().astype(int) - want.astype(int))
        assert gaps.max() <= 4, "noise overshoots, and is cut to a byte between the two passes"
        assert gaps.mean() < (0.02 if h == w else 0.3), "of what is not square, the passes round otherwise"


def test_a_grey_image_becomes_three_channels_of_the_networks_scale() -> None:
    raw = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    seen = Input((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), channels=3)
    assert seen.shape((1, 8, 8)) == (3, 8, 8)
    for c, (mean, std) in enumerate(zip(seen.mean, seen.std, strict=True)):
        assert torch.allclose(seen(raw)[:, c], (raw[:, 0] / 255 - mean) / std, atol=1e-6)


def test_without_wishes_images_are_seen_as_before() -> None:
    raw = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    assert torch.equal(Input(mean, std)(raw), normalize(raw, mean, std))


def test_a_run_on_resized_images_trains_and_keeps_small_ones_in_the_memory() -> None:
    tables = config(name="slim-resnet18", filters=2, size=16)
    session = Session(tables.override(["method=er", "memory.capacity=20"]), Record(), Control())
    session.start()
    widths: set[tuple[int, ...]] = set()
    after = session.method.after_step

    def note(batch: Any) -> None:
        widths.add(tuple(batch.x.shape[1:]))
        after(batch)

    session.method.after_step = note  # type: ignore[method-assign]
    session._task(session.stream.tasks[0])
    assert widths == {(1, 16, 16)}
    assert session.learner.memory.columns["images"].shape[1:] == (1, 8, 8)
    with pytest.raises(UsageError, match=r"at least 32 pixels, 'digits' has 8; model\.size resizes them"):
        config(name="mobilenet-v1")
    config(name="mobilenet-v1", size=32)


def test_small_cnn_has_1600_features_of_a_digit_that_keep_their_scale() -> None:
    net = backbone("small-cnn", (1, 28, 28))
    h = torch.randn(64, 1, 28, 28)
    spread = []
    for name in ("conv1", "conv2"):
        h = net.parts[name](h)
        spread.append(h.square().mean().sqrt().item())
    assert h.shape == (64, 1600)
    assert net.width == 256
    assert all(0.5 < s < 4 for s in spread), "not a tenth from layer to layer"
