"""The network: from a picture to plates' corners, in one pass without anchors.

A plain convolutional backbone, a feature pyramid (Lin et al. 2017, arXiv:1612.03144) and one
linear layer a level, after FCOS (Tian et al. 2019, arXiv:1904.01355) with corners in place of
a box's sides.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
"""Pixels between the cells of each level."""
_REACH = 4.0  # strides from a cell to a corner that is one of the last layer's units away
_START = ((-0.7, -0.2), (0.7, -0.2), (0.7, 0.2), (-0.7, 0.2))  # corners before any training
_RARE = 0.01  # the score before any training


class PlateNet(nn.Module):
    """Corners of plates from pictures (n, 3, height, width), BGR, 0 to 255, sides in 32s.

    ``forward`` gives (n, cells, 9): a score as a logit, then four corners as x, y in pixels,
    from the plate's upper left clockwise; the cells of the finest level first, row by row.
    """

    def __init__(
        self, widths: tuple[int, int, int, int, int] = (16, 32, 48, 96, 128), neck: int = 48
    ) -> None:
        super().__init__()
        a, b, c, d, e = widths
        self.to8 = nn.Sequential(_layer(3, a, 2), _layer(a, b, 2), _layer(b, c, 2), _Residual(c))
        self.to16 = nn.Sequential(_layer(c, d, 2), _Residual(d), _Residual(d))
        self.to32 = nn.Sequential(_layer(d, e, 2), _Residual(e), _Residual(e))
        self.sides = nn.ModuleList([_layer(width, neck, size=1) for width in (c, d, e)])
        self.smooth = nn.ModuleList([_layer(neck, neck) for _ in STRIDES])
        self.heads = nn.ModuleList([nn.Conv2d(neck, 9, 1) for _ in STRIDES])
        start = torch.tensor([torch.logit(torch.tensor(_RARE)), *sum(_START, ())])
        for head in self.heads:
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            nn.init.normal_(head.weight, std=0.01)
            head.bias.data.copy_(start)

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        fine = self.to8(pictures / 127.5 - 1.0)
        middle = self.to16(fine)
        coarse = self.to32(middle)
        last = self.sides[2](coarse)
        second = self.sides[1](middle) + F.interpolate(last, scale_factor=2.0)
        first = self.sides[0](fine) + F.interpolate(second, scale_factor=2.0)
        necks = [smooth(x) for smooth, x in zip(self.smooth, (first, second, last), strict=True)]
        with torch.autocast(pictures.device.type, enabled=False):  # corners need all the digits
            levels = [head(neck.float()) for head, neck in zip(self.heads, necks, strict=True)]
        flat = torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)
        points, strides = cells([(level.shape[2], level.shape[3]) for level in levels])
        corners = flat[..., 1:] * (strides * _REACH)[:, None] + points.repeat(1, 4)
        return torch.cat((flat[..., :1], corners), 2)


def cells(sizes: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """The cells' middles (cells, 2) as x, y in pixels and their strides (cells,).

    ``sizes`` are rows and columns of each level.
    """
    points: list[Tensor] = []
    strides: list[Tensor] = []
    for (rows, columns), stride in zip(sizes, STRIDES, strict=True):
        y = (torch.arange(rows) + 0.5) * stride
        x = (torch.arange(columns) + 0.5) * stride
        grid = torch.stack((x[None, :].expand(rows, columns), y[:, None].expand(rows, columns)), 2)
        points.append(grid.reshape(-1, 2))
        strides.append(torch.full_like(points[-1][:, 0], float(stride)))
    return torch.cat(points), torch.cat(strides)


def _layer(before: int, after: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Two convolutions through half the width, added to what came in (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(_layer(width, width // 2), _layer(width // 2, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)
