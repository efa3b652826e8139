"""segmentation_models_pytorch: cross entropy of pixels with smoothing and ignored ones, and its focal loss."""

import curves
import torch
from segmentation_models_pytorch import losses

import fastloss


def trained(criterion: torch.nn.Module, ignored: int) -> list[float]:
    torch.manual_seed(0)
    model, x = torch.nn.Conv2d(3, 5, 3, padding=1), torch.randn(2, 3, 24, 24)
    y = torch.randint(5, (2, 24, 24))
    y[:, 0] = ignored
    return curves.train(model, lambda: criterion(model(x), y))


for criterion, ignored in (
    (losses.SoftCrossEntropyLoss(smooth_factor=0.1, ignore_index=255), 255),
    (losses.FocalLoss("multiclass"), 0),
):
    native = trained(criterion, ignored)
    with fastloss.patch("segmentation_models_pytorch"):
        curves.same(native, trained(criterion, ignored))
