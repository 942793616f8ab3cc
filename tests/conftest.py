"""One thread for small tensors: on a busy machine several only wait for one another."""

import torch

torch.set_num_threads(1)
