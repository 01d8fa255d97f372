"""The residual blocks of Rainbow Memory's networks, where every convolution ends with a ReLU.

Unlike He et al. 2016, the second convolution of a block and the 1x1 shortcut have a ReLU too, and (except in the
ImageNet network) none follows the sum.
"""

from __future__ import annotations

from torch import Tensor, nn


def conv_block(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch normalization (eps 1e-6), ReLU."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(n_out, eps=1e-6),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3x3 blocks and a shortcut, added."""

    def __init__(self, n_in: int, n_out: int, stride: int, *, last_relu: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_block(n_in, n_out, 3, stride), conv_block(n_out, n_out, 3))
        changes = stride != 1 or n_in != n_out
        self.shortcut: nn.Module = conv_block(n_in, n_out, 1, stride) if changes else nn.Identity()
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, H, W) to (B, n_out, H / stride, W / stride)."""
        out = self.body(x) + self.shortcut(x)
        return out.relu() if self.last_relu else out  # type: ignore[no-any-return]


def stages(
    widths: tuple[int, ...], depths: tuple[int, ...], n_in: int, *, last_relu: bool = False
) -> dict[str, nn.Module]:
    """Stages of residual blocks, "stage1" and so on; every one but the first halves the image."""
    out: dict[str, nn.Module] = {}
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        blocks: list[nn.Module] = []
        for i in range(depth):
            stride = 2 if i == 0 and stage > 0 else 1
            blocks.append(Residual(n_in, width, stride, last_relu=last_relu))
            n_in = width
        out[f"stage{stage + 1}"] = nn.Sequential(*blocks)
    return out
