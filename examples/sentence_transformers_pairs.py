"""Multiple negatives ranking, as sentence-transformers trains pairs of sentences, here of given vectors."""

import curves
import torch
from sentence_transformers.sentence_transformer import losses

import fastloss


class Projection(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(32, 16)

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": self.linear(features["vectors"])}


def trained() -> list[float]:
    torch.manual_seed(0)
    model, x = Projection(), torch.randn(64, 32)
    criterion = losses.MultipleNegativesRankingLoss(model, scale=20.0)
    columns = [{"vectors": x}, {"vectors": x + torch.randn(64, 32)}]
    return curves.train(model, lambda: criterion(columns, None))


native = trained()
with fastloss.patch("sentence_transformers"):
    curves.same(native, trained())
