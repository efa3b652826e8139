"""Losses of representations: latent variables, and views of one sample that should agree and not collapse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from fastloss._core._torch import F
from fastloss._core.formula import as_number, expm1
from fastloss._core.options import NOT_NEGATIVE, POSITIVE, ComposedOptions, check_domain
from fastloss.engines.composition import loss
from fastloss.losses.forecasting import reduce_values

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["barlow_twins_loss", "kl_standard_normal", "koleo_loss", "vicreg_loss"]

_WHY = "no kernel of ours has its formula"


@loss(
    title="KLStandardNormal",
    takes=ComposedOptions,
    domains={"beta": NOT_NEGATIVE, "free_bits": NOT_NEGATIVE},
    words={"free_bits_of": ("element", "dimension")},
    path="reference",
    why=_WHY,
)
def kl_standard_normal(
    mu: Tensor,
    logvar: Tensor,
    beta: float | Tensor = 1.0,
    free_bits: float | Tensor = 0.0,
    free_bits_of: Literal["element", "dimension"] = "element",
    reduction: str = "mean",
    **options: Unpack[ComposedOptions],
) -> Tensor:
    r"""The divergence of a Gaussian encoder from the standard normal (Kingma and Welling 2014; :math:`\beta`: Higgins
    et al. 2017).

    With :math:`v = \log \sigma^2` = ``logvar``, of each sample

    .. math::
        \ell = \beta \sum_d \tfrac12 \left(\mu_d^2 + e^{v_d} - v_d - 1\right).

    Equivalent to ``beta * (0.5 * (mu ** 2 + logvar.exp() - logvar - 1)).sum(-1).mean()``.

    Args:
        mu, logvar: Means and logarithms of variances, of one shape; the latent dimensions are the last one.
        beta: :math:`\beta`, 0 or more; float or 0-d tensor.
        free_bits: In nats, what a term costs at least, so that it has no gradient below (Kingma et al. 2016); float or
            0-d tensor.
        free_bits_of: What a term is: an ``"element"``, or a ``"dimension"``, the mean over the samples that count.
        reduction: ``"none"`` (one value per sample; per dimension with free bits of dimensions), ``"sum"``, or
            ``"mean"`` over the samples. Of dimensions both add.

    Keyword-only options:
        mask: Bool, the shape without the last dimension: which samples count.
        normalizer: Replaces the mean's divisor; float or 0-d tensor. Not for free bits of dimensions.
        empty: Value of a mean over no samples: ``"nan"``, or ``"zero"``. The gradient is zero either way.
        loss_dtype: dtype of the loss. Default: that of ``mu``; float32 under autocast.

    Returns:
        The loss: as above for ``"none"``, otherwise ``()``.

    Raises: RuntimeError for shapes that differ; ValueError for options.
    Gradient: with respect to ``mu`` and ``logvar``; differentiable again.
    Memory: what PyTorch keeps of some eight operations.
    Accuracy: the value keeps its digits near the prior; half precision computes in float32.

    Example:
        >>> mu, logvar = torch.randn(8, 5, requires_grad=True), torch.randn(8, 5)
        >>> fastloss.functional.kl_standard_normal(mu, logvar, beta=4.0, free_bits=0.1).backward()
    """
    name, mask = "kl_standard_normal", options.get("mask")
    check_domain(name, beta=beta, free_bits=free_bits)
    if mu.shape != logvar.shape or not mu.dim():
        raise RuntimeError(
            f"fastloss.{name}: mu has shape {tuple(mu.shape)}, logvar {tuple(logvar.shape)}; "
            "expected one shape, the latent dimensions last"
        )
    dtype = torch.promote_types(mu.dtype, torch.float32)
    m, v = mu.to(dtype), logvar.to(dtype)
    if mask is not None:
        m, v = (torch.where(mask.unsqueeze(-1), t, 0.0) for t in (m, v))
    least = as_number(free_bits, m)
    terms = 0.5 * (m * m + (expm1(v) - v))
    if free_bits_of == "element":
        terms = torch.where(terms < least, least, terms) * as_number(beta, m)
        return reduce_values(terms.sum(-1), mu, mask, reduction, options)
    if options.get("normalizer") is not None:
        raise ValueError(f"fastloss.{name}: normalizer is of samples, and free bits of dimensions are of their mean")
    flat = terms.flatten(0, -2) if terms.dim() > 1 else terms.unsqueeze(0)
    count = flat.new_tensor(flat.shape[0]) if mask is None else mask.sum()
    mean = flat.sum(0) / count
    if options.get("empty") == "zero":
        mean = torch.where(count > 0, mean, 0.0)
    mean = torch.where(mean < least, least, mean) * as_number(beta, m)
    return reduce_values(mean, mu, None, "none" if reduction == "none" else "sum", {**options, "mask": None})


def _both(name: str, z0: Tensor, z1: Tensor) -> tuple[Tensor, Tensor]:
    if z0.dim() != 2 or z0.shape != z1.shape:
        raise RuntimeError(
            f"fastloss.{name}: z0 and z1 have shapes {tuple(z0.shape)} and {tuple(z1.shape)}; expected one shape (N, D)"
        )
    dtype = torch.promote_types(z0.dtype, torch.float32)
    return z0.to(dtype), z1.to(dtype)


def _off_diagonal(c: Tensor) -> Tensor:
    return c.masked_fill(torch.eye(c.shape[0], dtype=torch.bool, device=c.device), 0.0)


@loss(
    domains={"lam": NOT_NEGATIVE, "eps": POSITIVE}, path="reference", why=_WHY, holds={"z0": "vector", "z1": "vector"}
)
def barlow_twins_loss(z0: Tensor, z1: Tensor, lam: float | Tensor = 0.0051, eps: float | Tensor = 1e-5) -> Tensor:
    r"""Barlow Twins: dimensions of two views correlate with themselves alone (Zbontar et al. 2021,
    https://arxiv.org/abs/2103.03230).

    With C the (D, D) matrix of the dimensions' correlations over the batch,

    .. math::
        \ell = \sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2.

    Equivalent to the authors' ``c = bn(z0).T @ bn(z1) / N``, ``bn = BatchNorm1d(D, affine=False)``, and
    ``((c.diagonal() - 1) ** 2).sum() + lam * off_diagonal(c).pow(2).sum()``.

    Args:
        z0, z1: Representations of two views of the samples, shape :math:`(N, D)`.
        lam: :math:`\lambda`, 0 or more; float or 0-d tensor.
        eps: What the variances of dimensions are raised by; float or 0-d tensor.

    Returns:
        The loss, shape ``()``, of the dtype of ``z0``.

    Raises: RuntimeError for other shapes; ValueError for hyperparameters.
    Gradient: with respect to both; finite for a dimension that is constant, whose correlation is 0.
    Memory: both normalised views and C.
    Accuracy: half precision computes in float32.
    """
    check_domain("barlow_twins_loss", lam=lam, eps=eps)
    a, b = _both("barlow_twins_loss", z0, z1)

    def normalized(z: Tensor) -> Tensor:
        z = z - z.mean(0)
        return z / (z.square().mean(0) + as_number(eps, z)).sqrt()

    c = normalized(a).mT @ normalized(b) / a.shape[0]
    made = (c.diagonal() - 1).square().sum() + as_number(lam, c) * _off_diagonal(c).square().sum()
    return made.to(z0.dtype)


@loss(
    title="VICRegLoss",
    domains={"invariance": NOT_NEGATIVE, "variance": NOT_NEGATIVE, "covariance": NOT_NEGATIVE, "eps": POSITIVE},
    path="reference",
    why=_WHY,
    holds={"z0": "vector", "z1": "vector"},
)
def vicreg_loss(
    z0: Tensor,
    z1: Tensor,
    invariance: float | Tensor = 25.0,
    variance: float | Tensor = 25.0,
    covariance: float | Tensor = 1.0,
    eps: float | Tensor = 1e-4,
) -> Tensor:
    r"""VICReg: views agree, dimensions vary and do not correlate (Bardes et al. 2022,
    https://arxiv.org/abs/2105.04906).

    With s the standard deviation of a dimension over the batch and K its covariance matrix, both by N - 1,

    .. math::
        \ell = \lambda \frac1{N D} \sum (z_0 - z_1)^2
             + \mu \sum_{z} \frac1{2 D} \sum_d \max\left(0, 1 - \sqrt{s_d^2 + \epsilon}\right)
             + \nu \sum_{z} \frac1D \sum_{i \ne j} K_{ij}^2.

    Equivalent to the authors' ``sim_coeff * repr_loss + std_coeff * std_loss + cov_coeff * cov_loss`` on one process.

    Args:
        z0, z1: Representations of two views of the samples, shape :math:`(N, D)`, N of 2 or more.
        invariance, variance, covariance: :math:`\lambda, \mu, \nu`, 0 or more; floats or 0-d tensors.
        eps: :math:`\epsilon`; float or 0-d tensor.

    Returns:
        The loss, shape ``()``, of the dtype of ``z0``.

    Raises: RuntimeError for other shapes; ValueError for hyperparameters.
    Gradient: with respect to both; finite for a dimension that is constant.
    Memory: both centred views and their covariance matrices.
    Accuracy: half precision computes in float32.
    """
    check_domain("vicreg_loss", invariance=invariance, variance=variance, covariance=covariance, eps=eps)
    a, b = _both("vicreg_loss", z0, z1)
    (n, width), made = a.shape, as_number(invariance, a) * F.mse_loss(a, b)
    for z in (a, b):
        z = z - z.mean(0)
        spread = torch.relu(1 - (z.square().sum(0) / (n - 1) + as_number(eps, z)).sqrt()).mean() / 2
        among = _off_diagonal(z.mT @ z / (n - 1)).square().sum() / width
        made = made + as_number(variance, z) * spread + as_number(covariance, z) * among
    return made.to(z0.dtype)


@loss(title="KoLeoLoss", domains={"eps": POSITIVE}, path="reference", why=_WHY)
def koleo_loss(features: Tensor, eps: float | Tensor = 1e-8) -> Tensor:
    r"""KoLeo: vectors of a batch keep away from their nearest neighbours (Sablayrolles et al. 2019,
    https://arxiv.org/abs/1806.03198).

    With the vectors brought to length one,

    .. math::
        \ell = -\frac1N \sum_i \log\left(\min_{j \ne i} \|x_i - x_j\| + \epsilon\right).

    Equivalent to DINOv2's ``KoLeoLoss()(features)``, up to the 1e-8 that its distance adds to each component.

    Args:
        features: Vectors, shape :math:`(N, D)`, N of 2 or more.
        eps: :math:`\epsilon`; float or 0-d tensor.

    Returns:
        The loss, shape ``()``, of the dtype of ``features``.

    Raises: RuntimeError for other shapes; ValueError for hyperparameters.
    Gradient: with respect to ``features``, 0 between two equal vectors; to the nearest neighbours too.
    Memory: the (N, N) matrix of products.
    Accuracy: half precision computes in float32; distances are those of the differences.
    """
    check_domain("koleo_loss", eps=eps)
    if features.dim() != 2 or features.shape[0] < 2:
        raise RuntimeError(
            f"fastloss.koleo_loss: features have shape {tuple(features.shape)}; expected (N, D), N of 2 or more"
        )
    x = F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1, eps=1e-12)
    with torch.no_grad():
        products = x @ x.mT
        nearest = products.masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), -torch.inf).argmax(1)
    squares = (x - x[nearest]).square().sum(-1)
    same = squares == 0
    distance = torch.where(same, 0.0, torch.where(same, 1.0, squares).sqrt())
    return -(distance + as_number(eps, x)).log().mean().to(features.dtype)
