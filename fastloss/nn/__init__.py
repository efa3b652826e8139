"""Losses as modules, one file per kernel family. Constructors follow `torch.nn`."""

from fastloss.nn import adversarial, composed, heads, language, pairs, pointwise, regions, rows, similarity
from fastloss.nn.adversarial import *
from fastloss.nn.composed import *
from fastloss.nn.heads import *
from fastloss.nn.language import *
from fastloss.nn.pairs import *
from fastloss.nn.pointwise import *
from fastloss.nn.regions import *
from fastloss.nn.rows import *
from fastloss.nn.similarity import *

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
