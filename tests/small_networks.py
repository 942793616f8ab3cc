"""Networks that are small enough to be known."""

import torch


class Mlp(torch.nn.Module):
    """A small network that takes its times as a column."""

    def __init__(self, width=32, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Linear(3, width, dtype=dtype)
        self.dropout = torch.nn.Dropout(0.5)
        self.last = torch.nn.Linear(width, 2, dtype=dtype)
        self.seen = []

    def forward(self, x, t):
        self.seen.append((x.dtype, t.dtype, tuple(t.shape)))
        hidden = self.first(torch.cat([x, t[:, None].to(x.dtype)], 1))
        return self.last(self.dropout(torch.nn.functional.silu(hidden)))


class Shrink(torch.nn.Module):
    """s = −0.95 x, on N(0, I) an error of 0.05 x: η = 2 (1 − e^{−L})²/L and ε*² = 0.0025 d L."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(-0.95, dtype=dtype))

    def forward(self, x, t):
        return self.slope * x
