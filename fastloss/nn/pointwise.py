"""Modules of one element at a time: PyTorch's own, with our function underneath, and ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from fastloss import _options
from fastloss._explain import Path, _planners
from fastloss.functional import pointwise as functional

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from fastloss._options import PointOptions

__all__ = [
    "AsymmetricLoss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CharbonnierLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LogCoshLoss",
    "MSELoss",
    "MarginRankingLoss",
    "PoissonNLLLoss",
    "QuantileLoss",
    "RobustLoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
]

_DOCUMENT = """`fastloss.functional.{function}` as a module{drop_in}.

    Args:
        {arguments}: {meaning}.
        options: Keyword-only, `fastloss.functional.{function}`'s shared options. Tensors among them usually change from
            call to call: ``forward`` takes all of them too, and there they win.

    Shape:
        ``forward({tensors}, **options)``, see `fastloss.functional.{function}`.
    """


class _Loss(torch.nn.Module):
    """What the modules share; a subclass says which function it calls and which of its attributes are arguments."""

    _function: Callable[..., Any]
    _arguments: tuple[str, ...] = ()
    _options: dict[str, Any]

    def _keywords(self, options: dict[str, Any]) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self._arguments}
        return {**own, **self._options, **options}

    def _plan(self, *tensors: Any, **options: Any) -> tuple[Path, str]:
        return _planners[type(self)._function](*tensors, **self._keywords(options))

    def forward(self, *tensors: Any, **options: Unpack[PointOptions]) -> Any:
        return type(self)._function(*tensors, **self._keywords(options))  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        shown = {name: getattr(self, name) for name in self._shown}
        return ", ".join(f"{name}={value}" for name, value in {**shown, **self._options}.items())

    _shown: tuple[str, ...] = ()


def _drop_in(
    native: type[torch.nn.Module], function: Callable[..., Any], arguments: tuple[str, ...], tensors: str
) -> type[Any]:
    """A module with PyTorch's constructor, ``state_dict`` and class, that calls ``function``."""

    class Module(_Loss, native):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            own = {name: kwargs.pop(name) for name in list(kwargs) if name in _module_options - _init_names(native)}
            native.__init__(self, *args, **kwargs)
            self._options = own

    return _finish(Module, native.__name__, function, arguments, tensors, native)


def _init_names(module: type[torch.nn.Module]) -> frozenset[str]:
    return frozenset(module.__init__.__code__.co_varnames)


_module_options = _options.names(_options.WeightedPointOptions)


def _finish(
    module: type[Any],
    name: str,
    function: Callable[..., Any],
    arguments: tuple[str, ...],
    tensors: str,
    native: type[torch.nn.Module] | None,
) -> type[Any]:
    module.__name__ = module.__qualname__ = name
    module.__module__ = function.__module__.replace(".functional.", ".nn.")  # where pickle finds it
    module._function = staticmethod(function)
    module._arguments = arguments
    module.__doc__ = _DOCUMENT.format(
        function=function.__name__,
        drop_in=f"; a drop-in for `torch.nn.{name}`, instances of which its instances are" if native else "",
        arguments=", ".join(arguments),
        meaning=f"As in `torch.nn.{name}`" if native else f"As in `fastloss.functional.{function.__name__}`",
        tensors=tensors,
    )
    return module


def _own(
    name: str,
    function: Callable[..., Any],
    defaults: dict[str, Any],
    tensors: str = "input, target",
    options: frozenset[str] = _module_options,
) -> type[Any]:
    """A module for a loss that torch.nn does not have."""
    names = tuple(defaults)

    class Module(_Loss):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()
            if len(args) > len(names):
                raise TypeError(f"{name}: expected at most {len(names)} positional arguments, got {len(args)}")
            unknown = kwargs.keys() - set(names) - options
            if unknown:
                raise TypeError(f"{name}: unexpected argument {', '.join(sorted(unknown))}")
            values = {**defaults, **dict(zip(names, args, strict=False))}
            values.update({key: kwargs.pop(key) for key in names if key in kwargs})
            for key, value in values.items():
                setattr(self, key, value)
            self._options = kwargs

    Module._shown = names
    return _finish(Module, name, function, names, tensors, None)


_nn = torch.nn
_f = functional
HuberLoss = _drop_in(_nn.HuberLoss, _f.huber_loss, ("reduction", "delta"), "input, target")
SmoothL1Loss = _drop_in(_nn.SmoothL1Loss, _f.smooth_l1_loss, ("reduction", "beta"), "input, target")
MSELoss = _drop_in(_nn.MSELoss, _f.mse_loss, ("reduction",), "input, target")
L1Loss = _drop_in(_nn.L1Loss, _f.l1_loss, ("reduction",), "input, target")
BCEWithLogitsLoss = _drop_in(
    _nn.BCEWithLogitsLoss,
    _f.binary_cross_entropy_with_logits,
    ("weight", "reduction", "pos_weight"),
    "input, target",
)
BCELoss = _drop_in(_nn.BCELoss, _f.binary_cross_entropy, ("weight", "reduction"), "input, target")
SoftMarginLoss = _drop_in(_nn.SoftMarginLoss, _f.soft_margin_loss, ("reduction",), "input, target")
HingeEmbeddingLoss = _drop_in(_nn.HingeEmbeddingLoss, _f.hinge_embedding_loss, ("margin", "reduction"), "input, target")
MarginRankingLoss = _drop_in(
    _nn.MarginRankingLoss, _f.margin_ranking_loss, ("margin", "reduction"), "input1, input2, target"
)
PoissonNLLLoss = _drop_in(
    _nn.PoissonNLLLoss, _f.poisson_nll_loss, ("log_input", "full", "eps", "reduction"), "input, target"
)
GaussianNLLLoss = _drop_in(
    _nn.GaussianNLLLoss, _f.gaussian_nll_loss, ("full", "eps", "reduction"), "input, target, var"
)
KLDivLoss = _drop_in(_nn.KLDivLoss, _f.kl_div, ("reduction", "log_target"), "input, target")

SigmoidFocalLoss = _own(
    "SigmoidFocalLoss",
    _f.sigmoid_focal_loss,
    {"alpha": 0.25, "gamma": 2.0, "reduction": "mean", "ignore_index": None, "label_smoothing": 0.0},
    "inputs, targets",
)
HingeLoss = _own("HingeLoss", _f.hinge_loss, {"margin": 1.0, "p": 1, "reduction": "mean"})
LogCoshLoss = _own("LogCoshLoss", _f.log_cosh_loss, {"reduction": "mean"})
QuantileLoss = _own("QuantileLoss", _f.quantile_loss, {"q": 0.5, "reduction": "mean"})
CharbonnierLoss = _own("CharbonnierLoss", _f.charbonnier_loss, {"eps": 1e-3, "reduction": "mean"})
RobustLoss = _own("RobustLoss", _f.robust_loss, {"alpha": 1.0, "scale": 1.0, "reduction": "mean"})
AsymmetricLoss = _own(
    "AsymmetricLoss", _f.asymmetric_loss, {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05, "reduction": "mean"}
)
