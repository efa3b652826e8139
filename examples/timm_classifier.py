"""timm's criteria, of which a training script makes one by its factory or its class."""

import curves
import timm
import timm.loss
import torch

import fastloss


def trained(criterion: torch.nn.Module, soft: bool) -> list[float]:
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=100)
    x, y = torch.randn(16, 3, 32, 32), torch.randint(100, (16,))
    target = 0.7 * torch.nn.functional.one_hot(y, 100) + 0.003 if soft else y
    return curves.train(model, lambda: criterion(model(x), target), steps=10)


for criterion, soft in (
    (timm.loss.LabelSmoothingCrossEntropy(0.1), False),
    (timm.loss.SoftTargetCrossEntropy(), True),
    (timm.loss.AsymmetricLossSingleLabel(), False),
):
    native = trained(criterion, soft)
    with fastloss.patch("timm"):  # criteria that exist already use ours too
        curves.same(native, trained(criterion, soft))
