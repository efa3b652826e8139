"""What sets one loss apart from the others, and what a call of a loss is about: facts, no decision."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, NamedTuple, ParamSpec, Protocol

from torch import Tensor

from fastloss._core import options as _options
from fastloss._core import signatures as _signatures

P = ParamSpec("P")


class Problem(NamedTuple):
    """What a function written by hand makes of its arguments.

    Attributes:
        arguments: Tensors, hyperparameters and, where PyTorch's function has one, the weight, by name.
        reduction: Without PyTorch's deprecated arguments.
        options: Those that losses share.
        why_not: Why no kernel may be asked.
    """

    arguments: dict[str, Any]
    reduction: str
    options: Any
    why_not: str = ""


class Other(NamedTuple):
    """The call of another loss, which arguments may stand for."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(eq=False)  # one object for each loss, which caches find by identity
class Record:
    """What every engine's losses have.

    Attributes:
        name: Of the public function.
        params: Names of its hyperparameters, in the functor's order.
        domains: Which values they may have, if not all (`_options.DOMAINS`).
        pose: The function as it is written: the arguments of a call to its problem.
        formula: The loss in plain PyTorch.
        reference: The public function of `fastloss.reference`.
        engine: Whose kernels it runs, if any.
        family: Name of the modules of `fastloss.functional`, `fastloss.nn` and `fastloss.reference` that hold it.
        options: Those that its losses share.
        returns: What the public functions return.
        criterion: Whether it has a module.
        module: PyTorch's module, whose place ours takes.
        title: Name of our module, if it is not that of the function.
        words: Of arguments that are one of several words: these.
        holds: What tensors hold that are not just real numbers, in a word of `fastloss.functional._examples.SAMPLES`;
            the example in the docstring and the tests draw such values.
    """

    engine: ClassVar[Any] = ""
    family: ClassVar[Any]
    options: ClassVar[type]
    returns: ClassVar[str] = "Tensor | Any"
    criterion: ClassVar[bool] = True

    name: str
    params: tuple[str, ...] = ()
    domains: dict[str, _options.Domain] = field(default_factory=dict)
    pose: Callable[..., Any] = None  # type: ignore[assignment]
    formula: Callable[..., Any] = None  # type: ignore[assignment]
    reference: Callable[..., Any] = None  # type: ignore[assignment]
    module: type[Any] | None = None
    title: str = ""
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Of the arguments, without options."""
        parameters = inspect.signature(self.pose).parameters.values()
        return tuple(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)

    @functools.cached_property
    def tensors(self) -> tuple[str, ...]:
        """Arguments of a call of the module, not of the constructor: what has no default, or None."""
        parameters = inspect.signature(self.pose).parameters
        return tuple(name for name in self.names if parameters[name].default in (inspect.Parameter.empty, None))

    @property
    def buffers(self) -> tuple[str, ...]:
        """Arguments that our module keeps as buffers, if they are tensors."""
        return ()

    def accepts(self, *params: Any) -> bool:
        """Whether the kernel takes these hyperparameters; the formula refuses or computes others."""
        return _options.in_domain(self.name, **dict(zip(self.params, params, strict=True)))

    def check_words(self, name: str, **values: Any) -> None:
        """Refuses what is none of the `words`."""
        for what, value in values.items():
            if what in self.words and value not in self.words[what]:
                raise ValueError(f"fastloss.{name}: {what} must be one of {', '.join(self.words[what])}, got {value!r}")

    def declare(self, formula: Callable[..., Any]) -> None:
        """Takes the formula, which is written below the function."""
        self.formula = formula
        self.complete()

    def complete(self) -> None:
        """Makes all that is cached: in Python 3.11 a cached property has a lock, which torch.compile cannot trace."""
        for kind in type(self).__mro__:
            for name, value in vars(kind).items():
                if isinstance(value, functools.cached_property):
                    made = getattr(self, name)
                    if isinstance(made, Record):
                        made.complete()


@dataclass(eq=False)
class Loss(Record):
    """A loss of elements, or of pairs of vectors. Its formula takes the tensors and the hyperparameters, and knows no
    weight, mask and reduction.

    Attributes:
        operator: Name of the operator, if it is another.
        tensors: Names of its tensor arguments, in the functor's order.
        optional: The name of one more that may be None; with it the operator is another one, ``<name>_<optional>``.
        words: The functor is told the word's number.
        fixed: Those tensors in which PyTorch does not differentiate.
        weight_promotes: Whether the dtype of ``weight`` counts in that of the loss even where ``dtype`` is "equal".
        weight_mean: Whether a mean divides by the sum of ``weight`` rather than by the number of elements.
        same_size: Whether the tensors must have one shape, as opposed to being broadcast.
        same_rank: Whether they must have as many dimensions each.
        warns: Whether a broadcast target is worth a warning, as in PyTorch.
        components: How many numbers, along the last dimension of each tensor, an element is: 4 of boxes.
        pairs: Whether it is of the pairs family: a value per row of vectors, of one size, and per weight and mask.
        label: Name of the tensor with one label per row, the last one, if there is one.
        torch: PyTorch's function, which takes calls without our options, by name.
        plain: Which hyperparameters PyTorch's function computes as we want them, if not all.
        tiny: Up to this many elements PyTorch's own operator is faster: its C++ autograd costs some 15 us less than a
            Python autograd.Function. Measured on 2 cores, float32 (`python -m benchmarks.harness --suite pointwise`).
        native: This operator: of two tensors, the reduction's number and the hyperparameters.
        dtype: What decides the dtype of the loss where those of the tensors differ: ``"promoted"``, the tensors' and
            the weight's common one; ``"target"`` or ``"input"``, that of this tensor; ``"equal"``: PyTorch refuses
        floating: Those tensors, besides the first one, that must be of floating point.
        bools: Whether the others may be bool, and not only integers.
        autocasts: Whether PyTorch's autocast makes the loss float32 where the arguments are half.
        batchmean: Whether ``"batchmean"`` is a reduction too.
        empty: Value of a mean over nothing, unless the option of this name says another.
        takes: Which values of the hyperparameters the kernel takes, of those in ``domains``.
        check: Raises what PyTorch raises for the arguments of a call with our options.
    """

    options = _options.WeightedPointOptions

    operator: str = ""
    tensors: tuple[str, ...] = ("input", "target")
    optional: str = ""
    fixed: tuple[str, ...] = ()
    weight_promotes: bool = False
    weight_mean: bool = False
    same_size: bool = False
    same_rank: bool = False
    warns: bool = False
    components: int = 1
    pairs: bool = False
    label: str = ""
    torch: Callable[..., Any] | None = None
    plain: Callable[..., bool] | None = None
    tiny: int = -1
    native: Any = None
    dtype: Literal["promoted", "target", "input", "equal"] = "promoted"
    floating: tuple[str, ...] = ()
    bools: bool = True
    autocasts: bool = True
    batchmean: bool = False
    empty: Literal["nan", "zero"] = "nan"
    takes: Callable[..., bool] = lambda *params: True
    check: Callable[[dict[str, Any], Any], None] | None = None

    def __post_init__(self) -> None:
        self.operator = self.operator or self.name
        if self.native is None:  # in another release of PyTorch
            self.tiny = -1

    @functools.cached_property
    def engine(self) -> str:
        return "products" if self.pairs else "elements"

    @functools.cached_property
    def fuller(self) -> Loss | Any:
        """The loss with its optional tensor; None if it has none."""
        return (
            None
            if not self.optional
            else replace(
                self,
                operator=f"{self.name}_{self.optional}",
                tensors=(*self.tensors, self.optional),
                optional="",
                fixed=(*self.fixed, self.optional),
                native=None,
            )
        )

    @property
    def family(self) -> str:
        return "pairs" if self.pairs else "pointwise"

    @functools.cached_property
    def weighs_whole(self) -> bool:
        """Whether it has a weight in PyTorch, of the input's size."""
        return self.warns and "weight" in self.names

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """Of arguments that may be given by name to a call that is no more than tensors and hyperparameters."""
        parameters = inspect.signature(self.pose).parameters
        return {name: parameters[name].default for name in ("reduction", *self.params, *self.absent)}

    @functools.cached_property
    def default_params(self) -> tuple[Any, ...]:
        return self.numbers(self.defaults[name] for name in self.params)

    @functools.cached_property
    def absent(self) -> tuple[str, ...]:
        """Arguments that are None in such a call."""
        return tuple(name for name in ("weight", "size_average", "reduce", self.optional) if name in self.names)

    @functools.cached_property
    def fixed_positions(self) -> tuple[int, ...]:
        return tuple(self.tensors.index(name) for name in self.fixed)

    def casts(self, weight: Tensor | None, device: str) -> bool:
        """Whether autocast makes the loss of half arguments float32.

        Where PyTorch multiplies by a weight and adds, its autocast leaves both alone; on CUDA it adds in float32.
        """
        return self.autocasts and not (self.weight_mean and weight is not None and device == "cpu")

    def accepts(self, *params: Any) -> bool:
        return super().accepts(*params) and self.takes(*params)

    @functools.cached_property
    def along(self) -> bool:
        """Whether a value is made of what lies along the last dimension of the tensors."""
        return self.pairs or self.components > 1

    def numbers(self, params: Iterable[Any]) -> tuple[Any, ...]:
        """The hyperparameters as the functor takes them: of a word its number; a text, which no kernel takes, of what
        should be one and is none."""
        made = []
        for name, value in zip(self.params, params, strict=True):
            words = self.words.get(name)
            made.append(value if words is None else words.index(value) if value in words else str(value))
        return tuple(made)


@dataclass(eq=False)
class SoftmaxLoss(Record):
    """A loss of the softmax of logits. Its formula takes of a row what a functor is given (Note [Rows] in
    `csrc/engines/softmax/contract.h`), by name those that it reads: ``nll``, -log p of the target, ``p``, and ``q``,
    1 - p; then the hyperparameters. It knows no class dimension, weight, smoothing, option and reduction.

    Attributes:
        operator: Name of the operator, if it is another.
        factor: Name of the one that multiplies the loss, and may be one number for each class.
        probabilities: Whether the kernel takes probabilities as targets, and not only classes.
        torch: PyTorch's function, which takes calls without our options.
        native: PyTorch's operator: of input, target, weight, the reduction's number, ignore_index and label_smoothing.
        reads: Which of nll, p and q the formula reads.
    """

    engine = "softmax"
    family = "rows"
    options = _options.RowOptions
    tensors = ("input", "target")

    operator: str = ""
    factor: str = ""
    probabilities: bool = False
    torch: Callable[..., Tensor] | None = None
    native: Callable[..., Tensor] | None = None
    reads: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.operator = self.operator or self.name
        self.domains = {**_options.ROW_NUMBERS, **self.domains}

    @property
    def buffers(self) -> tuple[str, ...]:
        return ("weight", self.factor)

    def declare(self, formula: Callable[..., Any]) -> None:
        super().declare(formula)
        self.reads = frozenset(inspect.signature(formula).parameters) - {*self.params}


@dataclass(eq=False)
class RowOutputs(Record):
    """What rows of logits yield, a number each: no loss, so it has no reduction and no module. Its formula takes logits
    that are capped and tempered, with the classes last, and what else it names of the function's arguments.
    """

    engine = "outputs"
    family = "language"
    options = _options.NoOptions
    criterion = False

    def __post_init__(self) -> None:
        self.domains = {name: _options.ROW_NUMBERS[name] for name in ("softcap", "temperature")}


@dataclass(eq=False)
class DivergenceLoss(Record):
    """A loss of two rows of logits, classes last. Its formula takes the logarithms of both rows' probabilities, the
    teacher's probabilities, and the arguments that are its own; it returns a value per row.

    Attributes:
        operators: For each kind, the name of its operator and those of its hyperparameters.
        chosen: `token_logprobs`, which reads the student's row of k classes.
    """

    engine = "divergence"
    family = "language"
    options = _options.DivergenceOptions
    returns = "Tensor"
    tensors = ("input", "target")

    operators: dict[str, tuple[str, ...]] = field(default_factory=dict)
    chosen: Callable[..., Tensor] = None  # type: ignore[assignment]


@dataclass(eq=False)
class LayerOutputs(RowOutputs):
    """What rows of logits of a linear layer yield, or a formula of a row."""


@dataclass(eq=False)
class LayerDivergence(DivergenceLoss):
    """A divergence of the logits of a linear layer, and perhaps of those of a teacher's layer.

    Attributes:
        of: The divergence of logits.
    """

    options = _options.LayerOptions  # type: ignore[assignment]
    tensors = ("input", "linear_weight", "target", "linear_bias", "target_weight", "target_bias")  # type: ignore[assignment]

    of: Any = None

    def __post_init__(self) -> None:
        self.domains, self.words = self.of.record.domains, self.of.record.words


@dataclass(eq=False)
class SimilarityLoss(Record):
    """A loss of all pairs of two sets of vectors. Its formula takes the matrix of similarities, or of distances, the
    pairs that are positive and those that are negative, and the hyperparameters; it returns what
    `fastloss.engines.similarity.formula.counted` does.

    Attributes:
        functor: Name of the functor in ``csrc/losses/losses.h``, if it is not that of the loss.
        params: Kernels take them as constants.
        distances: The functor takes squared distances.
        by_kind: A mean averages positive and negative pairs apart, each over those with a value.
    """

    engine = "similarity"
    family = "similarity"
    options = _options.SimilarityOptions
    returns = "Tensor"

    functor: str = ""
    distances: bool = False
    by_kind: bool = False

    def __post_init__(self) -> None:
        self.functor = self.functor or self.name.removesuffix("_loss")


@dataclass(eq=False)
class RegionLoss(Record):
    """A loss of sums over pixels. Its formula takes a `fastloss.engines.regions.Sums` and returns the terms; or, of one
    that sorts pixels, the errors of all pixels, their targets and which of them count.

    Attributes:
        sorts: Whether it sorts.
        reads: Names of the formula's further arguments.
    """

    engine = "regions"
    family = "regions"
    tensors = ("input", "target")
    buffers = ("weight",)

    takes: type = _options.RatioOptions
    sorts: bool = False
    reads: tuple[str, ...] = ()

    @property
    def options(self) -> type:  # type: ignore[override]
        return self.takes

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """Of its options."""
        return {name: _options.DEFAULTS.get(name) for name in _options.names(self.options)}

    def declare(self, formula: Callable[..., Any]) -> None:
        super().declare(formula)
        self.reads = tuple(inspect.signature(formula).parameters)[3 if self.sorts else 1 :]


@dataclass(eq=False)
class HeadLoss(Record):
    """A loss of hidden states and the weight of a classifier: a softmax loss of their products. Its formula takes the
    logit of the target's class, and the ``margins``; it returns what stands in the logit's place, and the derivative.

    Attributes:
        of: The loss of the logits.
        cosine: The vectors are brought to length one first.
        margins: Hyperparameters of the formula, in its order. Not those of ``of``, which are ``params``.
    """

    engine = "softmax"
    family = "heads"
    options = _options.HeadOptions

    of: Any = None
    cosine: bool = False
    margins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.domains = {**self.of.record.domains, **self.domains}

    @property
    def rows(self) -> SoftmaxLoss:
        """What is known of the loss of the logits."""
        return self.of.record

    @functools.cached_property
    def tensors(self) -> tuple[str, ...]:
        return (*self.names[:3], *(name for name in self.names if name == "linear_bias"))

    @property
    def buffers(self) -> tuple[str, ...]:
        return () if self.cosine else self.rows.buffers


@dataclass(eq=False)
class Composition(Record):
    """A loss made of others. Its formula takes the arguments of a call.

    Attributes:
        room: Its `family`.
        takes: Its `options`.
        inputs: Its `tensors`, where they are not those that have no default, or None.
        keeps: Those of its constructor that it keeps as buffers.
        path, why: Of a loss that its function writes out in plain PyTorch, what `explain` says; its formula is itself.
        tiny: The loss by PyTorch's own operators where these are fastest, of the arguments of a call; else None.
    """

    returns = "Tensor"

    room: str = "composed"
    takes: type = _options.NoOptions
    inputs: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    path: Literal["", "native", "reference"] = ""
    why: str = ""
    tiny: Callable[..., Tensor | None] | None = None

    @functools.cached_property
    def tensors(self) -> tuple[str, ...]:
        return self.inputs or super().tensors

    @property
    def family(self) -> str:
        return self.room

    @property
    def options(self) -> type:  # type: ignore[override]
        return self.takes

    @property
    def buffers(self) -> tuple[str, ...]:
        return self.keeps


class PublicLoss(Protocol, Generic[P]):
    """A function that `publish` has made; its formula is written below it."""

    record: Any

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...

    def formula(self, formula: Callable[..., Any]) -> None:
        """Declares the formula."""


def publish(
    record: Record, function: Callable[P, Any], reference: Callable[P, Any], text: str, by_name: bool = False
) -> PublicLoss[P]:
    """Makes `function` the loss of `fastloss.functional` and `reference` that of `fastloss.reference`.

    Both have the name and the signature of the pose, with each option ``by_name`` or all as ``**options``.
    """
    pose, returns = record.pose, record.returns
    signature = inspect.signature(pose).replace(return_annotation=returns)
    if by_name:
        signature = signature.replace(parameters=[*_signatures.of_function(pose).values()])
    for made, room in ((function, "functional"), (reference, "reference")):
        functools.update_wrapper(made, pose)
        made.__module__ = f"fastloss.{room}.{record.family}"  # where pickles look for it
    function.__doc__ = text
    _options.DOMAINS.setdefault(record.name, record.domains)
    record.reference = _options.takes_tensors(reference)
    for made in (function, reference, record.reference):
        made.__annotations__ = {**pose.__annotations__, "return": returns}
        made.__signature__ = signature  # type: ignore[attr-defined]

    public: Any = function
    public.record, public.formula = record, record.declare
    return public
