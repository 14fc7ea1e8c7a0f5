"""Nets this small gain nothing from a second thread, and on a busy machine they lose by it."""

import torch

torch.set_num_threads(1)
