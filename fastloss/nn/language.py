"""Modules of language models."""

from fastloss.functional import language
from fastloss.nn._base import modules_of

_modules = modules_of(language)
globals().update(_modules)
__all__ = [*_modules]
