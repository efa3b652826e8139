"""pytorch-metric-learning: losses of all pairs and of all triplets of a batch."""

import curves
import torch
from pytorch_metric_learning import losses

import fastloss


def trained(criterion: torch.nn.Module) -> list[float]:
    torch.manual_seed(0)
    model, x, y = torch.nn.Linear(32, 8), torch.randn(64, 32), torch.arange(64) % 8
    return curves.train(model, lambda: criterion(model(x), y))


for criterion in (losses.MultiSimilarityLoss(), losses.ContrastiveLoss(), losses.TripletMarginLoss()):
    native = trained(criterion)
    with fastloss.patch("pytorch_metric_learning"):
        curves.same(native, trained(criterion))
