"""The losses of a dense detection head: torchvision's focal loss, and its generalized IoU loss of boxes."""

import curves
import torch
from torchvision import ops

import fastloss


def trained() -> list[float]:
    torch.manual_seed(0)
    head = torch.nn.Linear(32, 20 + 4)
    x, label = torch.randn(200, 32), torch.nn.functional.one_hot(torch.randint(20, (200,)), 20).float()
    corner = torch.rand(200, 2)
    box = torch.cat((corner, corner + 0.5), 1)

    def loss() -> torch.Tensor:
        made = head(x)
        low, size = made[:, 20:22], made[:, 22:].exp()
        found = torch.cat((low, low + size), 1)
        focal = ops.sigmoid_focal_loss(made[:, :20], label, reduction="sum") / len(x)
        return focal + ops.generalized_box_iou_loss(found, box, reduction="mean")

    return curves.train(head, loss)


native = trained()
with fastloss.patch("torchvision"):
    curves.same(native, trained())
