"""Lightning: statistics of losses, and means over epochs, in its logs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fastloss._core import options as _options
from fastloss.monitor import LossTracker
from fastloss.nn._base import LossModule

try:
    from lightning.pytorch.callbacks import Callback
except ModuleNotFoundError:
    from pytorch_lightning.callbacks import Callback

__all__ = ["LossStats"]


def _takes_stats(module: torch.nn.Module) -> bool:
    record = getattr(getattr(module, "_function", None), "record", None) if isinstance(module, LossModule) else None
    return record is not None and "return_stats" in _options.names(record.options)


class LossStats(Callback):
    """Logs what the losses of fastloss in a module know of each training batch: `RowStats` and `PointStats`.

    The module logs ``{name}/accuracy``, ``{name}/grad_norm`` and so on, ``name`` that of the criterion in it. The
    numbers come from the pass that makes the loss; the training step stays as it is. Criteria of torch.nn take part
    after ``fastloss.convert(module)``.

    Args:
        every: Log at every so many batches.
        fields: Log these alone. None: all that a loss has.

    Example: ``Trainer(callbacks=[fastloss.integrations.lightning.LossStats(every=50)])``
    """

    def __init__(self, every: int = 1, fields: tuple[str, ...] | None = None) -> None:
        self.every, self.fields = every, fields
        self._batch, self._found, self._hooks = 0, {}, []  # type: ignore[var-annotated]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        for name, module in pl_module.named_modules():
            if _takes_stats(module):
                self._listen(name, module)

    def _listen(self, name: str, module: torch.nn.Module) -> None:
        asked = False

        def ask(module: Any, args: Any, options: Any) -> Any:
            nonlocal asked
            theirs = options.get("return_stats") or module._options.get("return_stats")
            asked = module.training and not theirs and self._batch % self.every == 0
            return args, {**options, "return_stats": True} if asked else options

        def keep(module: Any, args: Any, output: Any) -> Any:
            if not asked:
                return output
            loss, self._found[name] = output
            return loss

        self._hooks.append(module.register_forward_pre_hook(ask, with_kwargs=True))
        self._hooks.append(module.register_forward_hook(keep))

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._batch = batch_idx

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        for name, stats in self._found.items():
            for field in self.fields or stats._fields:
                pl_module.log(f"{name}/{field}", getattr(stats, field).float())
        self._found.clear()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)


def _scalars(outputs: Any) -> dict[str, Tensor]:
    """The scalars among what a step of a LightningModule returns."""
    if isinstance(outputs, Tensor):
        outputs = {"loss": outputs}
    found = outputs.items() if isinstance(outputs, Mapping) else ()
    return {name: value for name, value in found if isinstance(value, Tensor) and value.numel() == 1}


class Tracking(Callback):
    """Keeps a `LossTracker`: `fastloss.lightning_callback`."""

    def __init__(self, tracker: LossTracker) -> None:
        self.tracker = tracker
        self.warned: set[tuple[str, str]] = set()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.tracker.update(_scalars(outputs))

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any, **__: Any) -> None:
        if not trainer.sanity_checking:
            self.tracker.update(_scalars(outputs), validation=True)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # after the validation within the epoch
        pl_module.log_dict({f"loss/{name}": mean for name, mean in self.tracker.step().items()})
        for alarm in self.tracker.alarms:
            if alarm[:2] not in self.warned:
                self.warned.add(alarm[:2])
                warnings.warn(f"fastloss: {alarm.text}", stacklevel=2)
