"""CLIP's loss without the matrix of similarities."""

import curves
import torch
from open_clip.loss import ClipLoss

from fastloss.integrations import open_clip


class Towers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = torch.nn.Linear(48, 32), torch.nn.Linear(24, 32)
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.0))


def trained(criterion: torch.nn.Module) -> list[float]:
    torch.manual_seed(0)
    model, images, texts = Towers(), torch.randn(128, 48), torch.randn(128, 24)

    def loss() -> torch.Tensor:
        image, text = (torch.nn.functional.normalize(t, dim=1) for t in (model.image(images), model.text(texts)))
        return criterion(image, text, model.logit_scale.exp())

    return curves.train(model, loss)


curves.same(trained(ClipLoss()), trained(open_clip.ClipLoss()))
