"""The network that reads: a straightened plate in, signs over two rows of columns out.

A plain convolutional backbone and CTC (Graves et al. 2006) over the upper row of columns and then
the lower: a plate of one line is said in the upper row alone.
"""

import torch
from torch import Tensor, nn

from edge.reader import SIGNS
from training.reader.feed import COUNTRIES

COLUMNS = 48
"""Of each of the two rows."""


class ReaderNet(nn.Module):
    """Signs of plates from pictures (n, 3, 64, 192), BGR, 0 to 255.

    ``forward`` gives logits of signs (n, 96, 37), the upper row's columns from the left and then
    the lower's, and of COUNTRIES (n, countries). Column 0 is no sign, the others SIGNS.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (20, 40, 64, 96)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.look = nn.Sequential(
            _layer(3, a, (2, 2)),
            _layer(a, b, (2, 2)),
            _Residual(b),
            _layer(b, c, (2, 1)),
            _Residual(c),
            _layer(c, d, (2, 1)),
            _Residual(d),
            _layer(d, d, (2, 1)),
        )
        self.whole = nn.Sequential(nn.Linear(2 * d, d), nn.ReLU(inplace=True))
        self.around = nn.Sequential(
            nn.Conv2d(d, d, (3, 7), padding=(1, 3), bias=False), nn.BatchNorm2d(d)
        )
        self.signs = nn.Conv2d(d, len(SIGNS) + 1, 1)
        self.country = nn.Linear(d, len(COUNTRIES))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        seen = self.look(pictures / 127.5 - 1.0)  # (n, d, 2, 48)
        rows = seen.mean(3)
        whole = self.whole(torch.cat((rows[:, :, 0], rows[:, :, 1]), 1))
        known = torch.relu(self.around(seen) + whole[:, :, None, None])
        with torch.autocast(pictures.device.type, enabled=False):
            signs, country = self.signs(known.float()), self.country(whole.float())
        return signs.flatten(2).transpose(1, 2), country


def _layer(before: int, after: int, stride: tuple[int, int] = (1, 1)) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Two convolutions added to what came in (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(_layer(width, width), _layer(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)
