"""Functional losses, one module per kernel family. Signatures follow `torch.nn.functional`.

Losses that can return statistics are annotated ``Tensor | Any``: with ``return_stats=True`` they return a pair of loss
and statistics, and a union of the two would have every caller say which one it is.
"""

from fastloss.functional import adversarial, pairs, pointwise, rows, similarity
from fastloss.functional.adversarial import *
from fastloss.functional.pairs import *
from fastloss.functional.pointwise import *
from fastloss.functional.rows import *
from fastloss.functional.similarity import *

__all__: list[str] = []
__all__ += adversarial.__all__
__all__ += pairs.__all__
__all__ += pointwise.__all__
__all__ += rows.__all__
__all__ += similarity.__all__
