"""Lightning: statistics of losses in its logs."""

from __future__ import annotations

from typing import Any

import torch

from fastloss._core import options as _options
from fastloss.nn._base import LossModule

try:
    from lightning.pytorch import Callback
except ImportError:
    from pytorch_lightning import Callback

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
