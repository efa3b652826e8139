"""How a docstring of fastloss becomes reStructuredText that napoleon and docutils understand."""

from __future__ import annotations

import re

import fastloss

OPTIONS = re.compile(r"^(Keyword-only options[^:]*):\n(?= )", re.MULTILINE)
FACT = re.compile(r"^([A-Z][A-Za-z ,]*): (\S.*(?:\n+ +.*)*)(?=\n\n|\n[A-Z][A-Za-z ,]*: |\s*\Z)", re.MULTILINE)
BAR = re.compile(r"(`+[^`]*`+)|\|")  # an absolute value, which is no substitution
NAME = re.compile(r"(?<![`:\w])`([\w.]+)`(?!`)")


def linked(name: str) -> str:
    """A name in single backticks: a link where this site describes it, else code."""
    short = name.removeprefix("fastloss.").removeprefix("functional.")
    if short in fastloss.functional.__all__:
        return f":py:obj:`{name} <fastloss.functional.{short}>`"
    if name.startswith("fastloss.") and short in {*fastloss.__all__} - {"functional", "isa", "nn", "reference"}:
        return f":py:obj:`{name}`"
    return f"``{name}``"


def restructured(text: str) -> str:
    """Options have a heading that says who shares them; the facts at the end (``Dtypes: ...``) are a list of fields."""
    head, arguments, facts = text.partition("\nArgs:\n")
    facts = BAR.sub(lambda found: found[1] or r"\|", arguments + facts)
    facts = re.sub(r"^Returns:\n(?= )", ":Returns:\n", facts, flags=re.MULTILINE)  # no type stands before a colon
    facts = FACT.sub(r":\1: \2\n", facts)
    text = OPTIONS.sub(lambda found: f"*{' '.join(found[1].split())}.*\n\nKeyword Args:\n", head + facts)
    return NAME.sub(lambda found: linked(found[1]), text)
