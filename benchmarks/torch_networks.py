"""The forecasting networks as PyTorch writes them, with truefill's defaults, for
``forecast_networks.py``: windows [N, bars, features] -> raw outputs [N, outputs]."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

UNITS, LAYERS, AVERAGE = 64, 2, 10


class Recurrent(nn.Module):
    def __init__(self, kind: str, features: int, outputs: int, units: int = UNITS,
                 both: bool = False, hidden: int = 0) -> None:  # fmt: skip
        super().__init__()
        self.units, self.both = units, both
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.cell = cell(features, units, LAYERS, batch_first=True, bidirectional=both)
        size = 2 * units if both else units
        between = [nn.Linear(size, hidden), nn.ReLU()] if hidden else []
        self.head = nn.Sequential(*between, nn.Linear(hidden or size, outputs))

    def last(self, x: Any) -> Any:
        out, _ = self.cell(x)
        if not self.both:
            return out[:, -1]
        return torch.cat([out[:, -1, : self.units], out[:, 0, self.units :]], 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.last(x))


class Decomposition(nn.Module):
    """Moving average with repeated ends, and the remainder."""

    def forward(self, x: Any) -> tuple[Any, Any]:
        ends = (AVERAGE // 2, AVERAGE - 1 - AVERAGE // 2)
        padded = nn.functional.pad(x.transpose(1, 2), ends, mode="replicate")
        trend = nn.functional.avg_pool1d(padded, AVERAGE, 1).transpose(1, 2)
        return trend, x - trend


class Dlstm(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.parts = Decomposition()
        self.trend, self.remainder = (
            nn.LSTM(features, UNITS, LAYERS, batch_first=True) for _ in range(2)
        )
        self.head = nn.Linear(UNITS, outputs)

    def forward(self, x: Any) -> Any:
        trend, remainder = self.parts(x)
        return self.head(self.trend(trend)[0][:, -1] + self.remainder(remainder)[0][:, -1])


class Dlinear(nn.Module):
    def __init__(self, window: int, features: int, outputs: int) -> None:
        super().__init__()
        self.parts = Decomposition()
        self.trend, self.remainder = (nn.Linear(window, outputs, bias=False) for _ in range(2))
        self.head = nn.Linear(features * outputs, outputs)

    def forward(self, x: Any) -> Any:
        trend, remainder = self.parts(x)
        seen = self.trend(trend.transpose(1, 2)) + self.remainder(remainder.transpose(1, 2))
        return self.head(seen.flatten(1))


class Cnn(nn.Module):
    def __init__(self, window: int, features: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, kernel in ((features, 32, 3), (32, 64, 5), (64, 128, 7)):
            layers += [nn.Conv1d(before, after, kernel, padding=kernel // 2), nn.ReLU()]
            layers += [nn.MaxPool1d(2)]
        self.layers = nn.Sequential(*layers)
        sizes = (window // 8 * 128, 128, 64)
        self.head = nn.Sequential(
            nn.Linear(sizes[0], 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(),
            nn.Linear(64, outputs),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return self.head(self.layers(x.transpose(1, 2)).flatten(1))


class Block(nn.Module):
    def __init__(self, width: int = 128, heads: int = 8, wide: int = 512) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.wide = nn.Sequential(nn.Linear(width, wide), nn.ReLU(), nn.Linear(wide, width))

    def forward(self, x: Any, last: bool) -> Any:
        normal = self.before(x)
        asked = normal[:, -1:] if last else normal
        query = self._by_head(self.query(asked))
        key, value = (self._by_head(part) for part in self.keys_values(normal).chunk(2, -1))
        heard = nn.functional.scaled_dot_product_attention(query, key, value)
        heard = heard.transpose(1, 2).reshape(asked.shape)
        x = (x[:, -1:] if last else x) + self.out(heard)
        return x + self.wide(self.between(x))

    def _by_head(self, x: Any) -> Any:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, window: int, features: int, outputs: int, width: int = 128) -> None:
        super().__init__()
        self.embed = nn.Linear(features, width)
        self.places = nn.Parameter(0.02 * torch.randn(window, width))
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)

    def forward(self, x: Any) -> Any:
        x = self.embed(x) + self.places
        x = self.blocks[1](self.blocks[0](x, last=False), last=True)
        return self.head(self.norm(x[:, 0]))


class Gated(nn.Module):
    def __init__(self, window: int, features: int, outputs: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            [
                Recurrent("lstm", features, outputs, 128, both=True, hidden=128),
                Cnn(window, features, outputs),
                Attention(window, features, outputs),
            ]
        )
        self.gate = nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 3))

    def forward(self, x: Any) -> Any:
        share = torch.softmax(self.gate(x[:, -1]), 1)
        each = torch.stack([member(x) for member in self.members], 1)
        return (share[:, :, None] * each).sum(1)


def make(name: str, window: int, features: int, outputs: int) -> nn.Module:
    """The network of this name."""
    if name in ("lstm", "gru"):
        return Recurrent(name, features, outputs)
    if name == "bilstm":
        return Recurrent("lstm", features, outputs, both=True)
    if name == "dlstm":
        return Dlstm(features, outputs)
    return {"dlinear": Dlinear, "cnn": Cnn, "attention": Attention, "gated": Gated}[name](
        window, features, outputs
    )
