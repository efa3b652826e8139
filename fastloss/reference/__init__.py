"""Every loss again in plain torch: the specification, and the fallback wherever no kernel applies.

The functions here take the arguments of their namesakes in :mod:`fastloss.functional`. They are ordinary
compositions of torch operators: any device and dtype, differentiable to any order and in both modes, and at
home under ``torch.func`` and ``torch.compile``.
"""

from fastloss.reference import adversarial, composed, heads, language, pairs, pointwise, regions, rows, similarity
from fastloss.reference.adversarial import *
from fastloss.reference.composed import *
from fastloss.reference.heads import *
from fastloss.reference.language import *
from fastloss.reference.pairs import *
from fastloss.reference.pointwise import *
from fastloss.reference.regions import *
from fastloss.reference.rows import *
from fastloss.reference.similarity import *

__all__: list[str] = []
__all__ += adversarial.__all__
__all__ += composed.__all__
__all__ += heads.__all__
__all__ += language.__all__
__all__ += pairs.__all__
__all__ += pointwise.__all__
__all__ += regions.__all__
__all__ += rows.__all__
__all__ += similarity.__all__
