"""Lightning logs what the loss knows of each batch; the training step stays as it is."""

from typing import Any

import curves
import lightning.pytorch as lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

import fastloss
from fastloss.integrations.lightning import LossStats


class Classifier(lightning.LightningModule):
    def __init__(self, criterion: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.criterion, self.curve = torch.nn.Linear(16, 10), criterion, []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = self.criterion(self.model(batch[0]), batch[1])
        self.curve.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def trained(criterion: torch.nn.Module, *callbacks: lightning.Callback) -> tuple[list[float], dict[str, Any]]:
    torch.manual_seed(0)
    x = torch.randn(256, 16)
    batches = DataLoader(TensorDataset(x, x[:, :10].argmax(1)), batch_size=32)
    module = Classifier(criterion)
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=list(callbacks),
    )  # fmt: skip
    trainer.fit(module, batches)
    return module.curve, trainer.callback_metrics


if __name__ == "__main__":
    native, _ = trained(torch.nn.CrossEntropyLoss())
    ours, logged = trained(fastloss.CrossEntropyLoss(), LossStats(fields=("accuracy", "entropy", "grad_norm")))
    curves.same(native, ours)
    assert set(logged) == {"criterion/accuracy", "criterion/entropy", "criterion/grad_norm"}
    print({name: round(value.item(), 4) for name, value in logged.items()})
