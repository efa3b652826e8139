"""A training objective as a weighted sum of named terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Objective", "ObjectiveResult"]


class ObjectiveResult(NamedTuple):
    """What an `Objective` returns. Reading it makes no host wait; `float` of one of its tensors does.

    Attributes:
        total: The sum of the weighted terms, shape ``()``.
        parts: Each term as its criterion returned it, by name.
        weighted: Each term times its weight, by name.

    Example:
        >>> objective = fastloss.Objective(task=(fastloss.MSELoss(), 1.0), aux=(fastloss.L1Loss(), 0.1))
        >>> x, y = torch.randn(8, requires_grad=True), torch.randn(8)
        >>> result = objective(task=(x, y), aux=(x, y))
        >>> result.total.backward()
        >>> sorted(result.parts)
        ['aux', 'task']
    """

    total: Tensor
    parts: dict[str, Tensor]
    weighted: dict[str, Tensor]

    @property
    def shares(self) -> dict[str, Tensor]:
        """Each weighted term divided by the total, detached. A negative term has a negative share."""
        total = self.total.detach()
        return {name: part.detach() / total for name, part in self.weighted.items()}


class _Term(torch.nn.Module):
    """A criterion and its weight; modules, parameters and tensors among them are registered."""

    def __init__(self, criterion: Callable[..., Tensor], weight: Any) -> None:
        super().__init__()
        self.criterion = criterion
        if isinstance(weight, Tensor) and not isinstance(weight, torch.nn.Parameter):
            self.register_buffer("weight", weight)
        else:
            self.weight = weight

    def weight_at(self, step: int) -> Any:
        weight: Any = self.weight
        return weight(step) if callable(weight) else weight

    def extra_repr(self) -> str:
        criterion = "" if isinstance(self.criterion, torch.nn.Module) else f"{self.criterion!r}, "
        return f"{criterion}weight={self.weight!r}"


class Objective(torch.nn.Module):
    r"""A weighted sum of named terms:

    .. math:: L = \sum_k w_k(t)\, L_k

    Each keyword names a term, a pair of a criterion and its weight. The criterion is a module or a function that
    returns a scalar. The weight is a number, a tensor (a `torch.nn.Parameter` is learned, any other tensor is a
    buffer), or a schedule: a function of the step, as `fastloss.schedules` makes them.

    Equivalent to ``w0 * criterion0(*args0) + w1 * criterion1(*args1) + ...``, in the order of the terms.

    A term of weight 0 is computed and multiplied, so that every parameter has a gradient; a term that is NaN or
    infinite makes the total so too.

    Args:
        terms: ``name=(criterion, weight)``.

    Shape: a call takes, for each term by its name, a tuple of arguments of its criterion, a dictionary of keyword
        arguments, or the only argument. It returns an `ObjectiveResult`, whose tensors have shape ``()``.
    State: ``state_dict`` holds the step, tensors that are weights, and the state of criteria that are modules.
    Cost: one product and one sum per term, as the expression has; the host never waits for the device.
        `torch.compile` takes a scheduled weight for a constant and compiles again when it changes: compile the model
        and the criteria rather than the objective, or give the weight as a tensor.

    Example:
        >>> objective = fastloss.Objective(
        ...     task=(fastloss.CrossEntropyLoss(), 1.0),
        ...     smooth=(fastloss.functional.huber_loss, fastloss.schedules.warmup(0.1, steps=1000)),
        ... )
        >>> logits, target = torch.randn(8, 5, requires_grad=True), torch.randint(5, (8,))
        >>> result = objective(task=(logits, target), smooth=(logits[1:], logits[:-1]))
        >>> result.total.backward()
        >>> objective.step()
    """

    __call__: Callable[..., ObjectiveResult]

    def __init__(self, /, **terms: tuple[Callable[..., Tensor], Any]) -> None:
        super().__init__()
        self.steps = 0
        self.terms = torch.nn.ModuleDict()
        if not terms:
            raise ValueError("fastloss.Objective: expected at least one term, name=(criterion, weight)")
        for name, term in terms.items():
            if not isinstance(term, tuple) or len(term) != 2 or not callable(term[0]):
                raise TypeError(f"fastloss.Objective: expected {name}=(criterion, weight), got {term!r}")
            if isinstance(term[1], (str, type(None))):
                raise TypeError(
                    f"fastloss.Objective: expected a number, a tensor or a function of the step as the weight of "
                    f"{name}, got {term[1]!r}"
                )
            if hasattr(torch.nn.ModuleDict(), name):
                raise ValueError(f"fastloss.Objective: {name!r} is a name of torch.nn.ModuleDict; rename the term")
            self.terms[name] = _Term(*term)

    def forward(self, /, **given: Any) -> ObjectiveResult:
        if given.keys() != self.terms.keys():
            raise TypeError(
                f"fastloss.Objective: expected arguments of the terms {', '.join(self.terms)}, got those of "
                f"{', '.join(given) or 'none'}; pass them as name=(input, target)"
            )
        parts, weighted = {}, {}
        total: Any = None
        term: Any
        for name, term in self.terms.items():
            criterion, arguments = term.criterion, given[name]
            if isinstance(arguments, tuple):
                part = criterion(*arguments)
            elif isinstance(arguments, dict):
                part = criterion(**arguments)
            else:
                part = criterion(arguments)
            if not isinstance(part, Tensor) or part.dim():
                what = f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
                raise ValueError(
                    f"fastloss.Objective: expected a tensor of shape () from the criterion of {name}, got {what}; "
                    'use reduction="mean" or "sum", without statistics'
                )
            parts[name] = part
            weighted[name] = product = term.weight_at(self.steps) * part
            total = product if total is None else total + product
        return ObjectiveResult(total, parts, weighted)

    @property
    def weights(self) -> dict[str, Any]:
        """The weight of each term at the present step, by name."""
        terms: Any = self.terms.items()
        return {name: term.weight_at(self.steps) for name, term in terms}

    def step(self) -> None:
        """Goes to the next step of the schedules."""
        self.steps += 1

    def get_extra_state(self) -> int:
        return self.steps

    def set_extra_state(self, state: int) -> None:
        self.steps = state
