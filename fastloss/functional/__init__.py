"""Functional losses, one module per kernel family. Signatures follow `torch.nn.functional`.

Type checkers read the stub beside this file (`make stubs`), which has every option by name and says what comes back.
"""

import torch.fx

from fastloss.functional import (
    _examples,
    adversarial,
    composed,
    heads,
    language,
    pairs,
    pointwise,
    regions,
    rows,
    similarity,
)
from fastloss.functional.adversarial import *
from fastloss.functional.composed import *
from fastloss.functional.heads import *
from fastloss.functional.language import *
from fastloss.functional.pairs import *
from fastloss.functional.pointwise import *
from fastloss.functional.regions import *
from fastloss.functional.rows import *
from fastloss.functional.similarity import *

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

for _name in __all__:
    _examples.complete(globals()[_name])
    torch.fx.wrap(_name)  # a call by way of this module is one node of a graph, as a call of PyTorch's is
