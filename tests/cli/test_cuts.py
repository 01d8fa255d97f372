"""What `cllab cuts` says, against the published table of MobileNetV1 and counting by hand."""

from __future__ import annotations

import json

import pytest

from cllab.__main__ import run
from cllab.engine import cuts
from cllab.models.base import Network
from tests.models.test_models import backbone

PUBLISHED = {
    "": (49152, 185.43),
    "conv1": (131072, 181.89),
    "conv2_1/dw": (131072, 180.71),
    "conv2_2/dw": (65536, 171.73),
    "conv3_1/dw": (131072, 162.16),
    "conv3_2/dw": (32768, 145.09),
    "conv4_1/dw": (65536, 136.11),
    "conv4_2/dw": (16384, 119.19),
    "conv5_1/dw": (32768, 110.50),
    "conv5_2/dw": (32768, 93.43),
    "conv5_3/dw": (32768, 76.36),
    "conv5_4/dw": (32768, 59.29),
    "conv5_5/dw": (32768, 42.22),
    "conv5_6/dw": (8192, 25.36),
    "conv6/dw": (16384, 16.83),
    "pool6": (1024, 0.05),
}
"""Numbers of a latent, and millions of multiply-accumulates above, at 128 pixels and 50 classes."""


def test_arithmetic_and_weights_are_those_of_the_published_table() -> None:
    network = Network(backbone("mobilenet-v1", (3, 128, 128)), 50, head="unbiased")
    found = {c.name: c for c in cuts.of(network, (3, 128, 128))}
    assert len(found) == 29, "28 parts, and the images"
    for name, (numbers, above) in PUBLISHED.items():
        cut = found[name]
        assert (cut.bytes(4), cut.bytes(2), cut.bytes(1)) == (4 * numbers, 2 * numbers, numbers)
        assert cut.above / 1e6 == pytest.approx(above, abs=0.006), name
        assert cut.below + cut.above == found[""].above
    assert (found["conv5_4/dw"].weights, found["pool6"].weights) == (2_177_024, 51_200)
    assert not any(m._forward_hooks for m in network.modules()), "nothing is left on the network"


def test_the_table_of_a_small_network_is_counted_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cuts", "mlp", "--dataset", "digits", "--set", "model.width=20", "--json"]) == 0
    images, first, second = json.loads(capsys.readouterr().out)
    assert (images["name"], images["shape"]) == ("images", [1, 8, 8])
    assert images["above"] == 64 * 20 + 20 * 20 + 20 * 10
    assert images["weights"] == 65 * 20 + 21 * 20 + 21 * 10
    assert first == {"name": "hidden1", "shape": [20], "below": 1280, "above": 600, "weights": 21 * 20 + 21 * 10}
    assert second == {"name": "hidden2", "shape": [20], "below": 1680, "above": 200, "weights": 210}


def test_it_prints_every_cut_and_the_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cuts", "mlp400", "--dataset", "mnist"]) == 0
    said = capsys.readouterr()
    rows = [line.split()[0] for line in said.out.splitlines()[1:]]
    assert rows == ["(images)", "hidden1", "hidden2"]
    assert "1x28x28" in said.out
    assert "1.6 kB" in said.out, "400 numbers as float32"
    assert "--set model.cut=hidden2" in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mobilnet"], "no model 'mobilnet'; did you mean 'mobilenet-v1'?"),
        (
            ["mlp", "hiden1"],
            "cuts: 'mlp' has no part 'hiden1'; it can be cut behind hidden1, hidden2; did you mean 'hidden1'?",
        ),
        (["mlp", "--dataset", "mnits"], "no dataset 'mnits'; did you mean 'mnist'?"),
        (["mobilenet-v1", "--dataset", "digits"], "needs images of at least 32 pixels, 'digits' has 8"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cuts", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert message in said.err
