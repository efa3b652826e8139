"""The losses that can be measured. A new loss is an entry of LOSSES and rows in `suites`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import fastloss
import fastloss.functional as ours

from .suites import Row


@dataclass(frozen=True)
class Loss:
    """One loss, as the harness sees it.

    Attributes:
        native: What a user calls without fastloss: ``native(input, target, **options)``, the mean by default.
        ours: The same, of `fastloss.functional` or a module.
        target: Makes a target for an input of the row's shape.
        reads: Tensors of the input's size that forward and backward together must read at least once.
        writes: Such tensors that must be written: the gradients.
        summands: The mean's divisor, where the loss is a sum over samples divided by it: the float64 values
            are then computed in slices of samples. None for losses that mix samples; they are computed whole.
        inplace: Whether ours takes ``inplace=True``.
        both: The target is differentiated as well.
        others: More ways of PyTorch, by name.
        products: For losses of all pairs: how many (N, D) operands the products of derivatives and vectors have, 1
            where the pairs are of one set with itself, else 2.
    """

    native: Callable[..., Tensor]
    ours: Callable[..., Tensor]
    target: Callable[[Row, torch.Generator], Tensor]
    reads: int
    writes: int
    summands: Callable[[Tensor], float] | None
    inplace: bool
    both: bool = False
    products: int = 0
    others: dict[str, Callable[..., Tensor]] = field(default_factory=dict)

    def minimal_bytes(self, row: Row) -> int:
        """Least traffic of forward and backward. Index targets, 8 bytes per row of logits, are left out."""
        return (self.reads + self.writes) * row.tensor_bytes


def _class_target(row: Row, generator: torch.Generator) -> Tensor:
    device = generator.device
    if row.target == "probabilities":
        scores = torch.randn(row.shape, generator=generator, device=device)
        return scores.softmax(1).to(row.torch_dtype)
    shape = (row.shape[0], *row.shape[2:])
    target = torch.randint(row.shape[1], shape, generator=generator, device=device)
    if row.ignored:
        target[torch.rand(shape, generator=generator, device=device) < row.ignored] = -100
    return target


def _class_summands(target: Tensor) -> float:
    if target.is_floating_point():
        return target.numel() / target.size(1)
    return float((target != -100).sum())


def _real_target(row: Row, generator: torch.Generator) -> Tensor:
    return torch.randn(row.shape, generator=generator, device=generator.device).to(row.torch_dtype)


def _binary_target(row: Row, generator: torch.Generator) -> Tensor:
    return torch.randint(2, row.shape, generator=generator, device=generator.device).to(row.torch_dtype)


def _elements(target: Tensor) -> float:
    return float(target.numel())


def _reduced(values: Tensor, reduction: str) -> Tensor:
    return values.mean() if reduction == "mean" else values.sum()


def _eager_sigmoid_focal(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """torchvision's composition with its default alpha and gamma."""
    p = torch.sigmoid(input)
    ce = F.binary_cross_entropy_with_logits(input, target, reduction="none")
    loss = ce * (1 - (p * target + (1 - p) * (1 - target))) ** 2.0
    return _reduced((0.25 * target + 0.75 * (1 - target)) * loss, reduction)


def _eager_softmax_focal(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The usual composition: cross entropy per row, its probability from it."""
    nll = F.cross_entropy(input, target, reduction="none")
    return _reduced((1 - torch.exp(-nll)) ** 2.0 * nll, reduction)


def _eager_logprob_entropy(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """What trainers by reinforcement write: the log-probability of a token, and a bonus of its entropy."""
    log_p = F.log_softmax(input, -1)
    logprob = log_p.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return _reduced(-logprob + 0.01 * (log_p.exp() * log_p).sum(-1), reduction)


def _logprob_entropy(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    logprob, entropy, _ = ours.token_logprobs(input, target, return_entropy=True)
    assert logprob is not None  # both were asked for
    assert entropy is not None
    return _reduced(-logprob - 0.01 * entropy, reduction)


def _eager_combined(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Focal cross entropy and z-loss, written out."""
    nll = F.cross_entropy(input, target, reduction="none")
    return _reduced((1 - torch.exp(-nll)) ** 2.0 * nll + 1e-4 * input.logsumexp(-1).square(), reduction)


def _combined(input: Tensor, target: Tensor, reduction: Any = "mean") -> Tensor:
    def formula(row: Any) -> Tensor:
        return -row.others.square() * row.logprob + 1e-4 * row.lse.square()

    return ours.flex_cross_entropy(input, target, formula, reduction=reduction)


def _rows_of(native: Callable[..., Tensor], fused: Callable[..., Tensor], reads: int) -> Loss:
    return Loss(native, fused, _class_target, reads, writes=1, summands=_class_summands, inplace=False)


def _pointwise(
    native: Callable[..., Tensor],
    fused: Callable[..., Tensor],
    target: Callable[[Row, torch.Generator], Tensor] = _real_target,
) -> Loss:
    """Reads input and target, writes the input's gradient."""
    return Loss(native, fused, target, reads=2, writes=1, summands=_elements, inplace=False)


@dataclass(frozen=True)
class _Split:
    """A loss of vectors as one of ``(input, target)``: ``split`` makes the other arguments of a target."""

    function: Callable[..., Any]
    split: Callable[[Tensor], tuple[Tensor, ...]]

    def __call__(self, input: Tensor, target: Tensor, **options: Any) -> Tensor:
        return self.function(input, *self.split(target), **options)


def _vectors(
    native: Callable[..., Tensor], fused: Callable[..., Tensor], others: int, split: Callable[[Tensor], Any]
) -> Loss:
    """Reads all vectors, writes the input's gradient. The target has ``others`` per row: shape (N, others, D)."""

    def target(row: Row, generator: torch.Generator) -> Tensor:
        shape = (row.shape[0], others, row.shape[1])
        return torch.randn(shape, generator=generator, device=generator.device).to(row.torch_dtype)

    return Loss(
        native=_Split(native, split),
        ours=_Split(fused, split),
        target=target,
        reads=1 + others,
        writes=1,
        summands=lambda target: float(len(target)),
        inplace=False,
    )


def _eager_clip(x: Tensor, y: Tensor) -> Tensor:
    """open_clip's composition, with the normalisation that its models have in front."""
    z = _LOGIT_SCALE * F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).T
    diagonal = torch.arange(len(z), device=z.device)
    return (F.cross_entropy(z, diagonal) + F.cross_entropy(z.T, diagonal)) / 2


def _eager_siglip(x: Tensor, y: Tensor) -> Tensor:
    """open_clip's composition."""
    z = _LOGIT_SCALE * F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).T - 10.0
    signs = 2 * torch.eye(len(z), dtype=z.dtype, device=z.device) - 1
    return -F.logsigmoid(signs * z).sum() / len(z)


def _eager_nt_xent(x: Tensor, y: Tensor) -> Tensor:
    """The usual composition over 2N vectors."""
    n, z = len(x), F.normalize(torch.cat((x, y)), dim=-1)
    s = (z @ z.T / 0.5).masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), float("-inf"))
    return F.cross_entropy(s, torch.arange(-n, n, device=z.device).remainder(2 * n))


def _eager_supcon(x: Tensor, labels: Tensor) -> Tensor:
    """The authors' composition, without NaN where an anchor has no positive."""
    z = F.normalize(x, dim=-1)
    s = z @ z.T / 0.1
    others = ~torch.eye(len(s), dtype=torch.bool, device=s.device)
    positives = (labels.unsqueeze(1) == labels) & others
    log_p = s - s.masked_fill(~others, float("-inf")).logsumexp(1, keepdim=True)
    count = positives.sum(1)
    return -((positives * log_p).sum(1) / count.clamp_min(1)).sum() / (count > 0).sum()


_LOGIT_SCALE = 14.3  # CLIP's at the start
_PER_LABEL = 8


@dataclass(frozen=True)
class _Image:
    """A loss of images and texts with its scalars, and normalised."""

    function: Callable[..., Any]
    scalars: tuple[float, ...]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return self.function(x, y, *self.scalars, normalize=True)


def _all_pairs(
    native: Callable[..., Tensor], fused: Callable[..., Tensor], products: int, labels: bool = False
) -> Loss:
    """Reads two sets of vectors (or one and its labels) and writes their gradients."""

    def target(row: Row, generator: torch.Generator) -> Tensor:
        if labels:
            return torch.randint(
                row.shape[0] // _PER_LABEL, row.shape[:1], generator=generator, device=generator.device
            )
        return _real_target(row, generator).requires_grad_()

    sets = 1 if labels else 2
    return Loss(native, fused, target, sets, sets, None, False, both=not labels, products=products)


@lru_cache
def _labels(rows: int, classes: int, device: torch.device) -> Tensor:
    return torch.arange(rows, device=device).mul(7919).remainder(classes)


@dataclass(frozen=True)
class _Head:
    """A loss of hidden states and a classifier, which is the target, as one of both."""

    function: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __call__(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return self.function(hidden, weight, _labels(len(hidden), len(weight), hidden.device))


def _classifier(row: Row, generator: torch.Generator) -> Tensor:
    weight = torch.randn(row.classes, row.shape[1], generator=generator, device=generator.device)
    return weight.div_(row.shape[1] ** 0.5).to(row.torch_dtype).requires_grad_()


def _chunked(hidden: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    """PyTorch's own way to save the memory of logits, from 2.13 on."""
    return F.linear_cross_entropy(hidden, weight, target, options=torch.nn.LinearCrossEntropyOptions())


LOSSES: dict[str, Loss] = {
    "head": Loss(
        native=_Head(lambda hidden, weight, target: F.cross_entropy(F.linear(hidden, weight), target)),
        ours=_Head(ours.linear_cross_entropy),
        target=_classifier,
        reads=1,
        writes=1,
        summands=None,
        inplace=False,
        both=True,
        others={"torch, chunked": _Head(_chunked)},
    ),
    "clip": _all_pairs(_eager_clip, _Image(ours.clip_loss, (_LOGIT_SCALE,)), products=2),
    "siglip": _all_pairs(_eager_siglip, _Image(ours.siglip_loss, (_LOGIT_SCALE, -10.0)), products=2),
    "nt_xent": _all_pairs(_eager_nt_xent, ours.nt_xent_loss, products=1),
    "supcon": _all_pairs(_eager_supcon, ours.supcon_loss, products=1, labels=True),
    "cosine_embedding": _vectors(
        F.cosine_embedding_loss, ours.cosine_embedding_loss, 1, lambda y: (y[:, 0], y.new_ones(len(y)))
    ),
    "triplet_margin": _vectors(F.triplet_margin_loss, ours.triplet_margin_loss, 2, lambda y: (y[:, 0], y[:, 1])),
    # Outputs of rows are read before their gradient is known.
    "logprob_entropy": _rows_of(_eager_logprob_entropy, _logprob_entropy, reads=2),
    "combined": _rows_of(_eager_combined, _combined, reads=1),
    "huber": _pointwise(F.huber_loss, ours.huber_loss),
    "smooth_l1": _pointwise(F.smooth_l1_loss, ours.smooth_l1_loss),
    "mse": _pointwise(F.mse_loss, ours.mse_loss),
    "l1": _pointwise(F.l1_loss, ours.l1_loss),
    "bce_with_logits": _pointwise(
        F.binary_cross_entropy_with_logits, ours.binary_cross_entropy_with_logits, _binary_target
    ),
    "sigmoid_focal": _pointwise(_eager_sigmoid_focal, fastloss.SigmoidFocalLoss(), _binary_target),
    "softmax_focal": Loss(
        native=_eager_softmax_focal,
        ours=ours.softmax_focal_loss,
        target=_class_target,
        reads=1,
        writes=1,
        summands=_class_summands,
        inplace=True,
    ),
    # Read logits, write their gradient.
    "cross_entropy": Loss(
        native=F.cross_entropy,
        ours=ours.cross_entropy,
        target=_class_target,
        reads=1,
        writes=1,
        summands=_class_summands,
        inplace=True,
    ),
}
