"""Real text that is on every machine: the Python sources of the standard library, as word-level token ids."""

from __future__ import annotations

import array
import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

UNKNOWN = "<unk>"
# A line break with the indentation after it is one token: it carries Python's block structure.
_TOKEN = re.compile(r"\n *|[A-Za-z_]\w*|\d+|[^\s\w]")
_SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__"}


@dataclass(frozen=True)
class Corpus:
    """Token ids, shape ``(T,)``, and the vocabulary they index; id 0 is ``<unk>``."""

    tokens: Tensor
    vocabulary: list[str]
    files: int

    @property
    def unknown_fraction(self) -> float:
        return float((self.tokens == 0).double().mean())


def load(vocabulary_size: int) -> Corpus:
    """Read the standard library's sources and keep the most frequent ``vocabulary_size - 1`` tokens.

    Raises:
        RuntimeError: this Python has no standard-library sources on disk.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    table: dict[str, int] = {}
    ids = array.array("q")
    files = 0
    for path in sorted(root.rglob("*.py")):
        if _SKIPPED.intersection(path.relative_to(root).parts):
            continue
        source = path.read_text(encoding="utf-8", errors="ignore")
        ids.extend([table.setdefault(token, len(table)) for token in _TOKEN.findall(source)])
        files += 1
    if not ids:
        raise RuntimeError(f"benchmarks.demo: no Python sources under {root}; use a Python installed with them")
    raw = torch.tensor(ids, dtype=torch.long)
    words = list(table)
    kept = torch.bincount(raw).argsort(descending=True, stable=True)[: vocabulary_size - 1]
    new_id = torch.zeros(len(words), dtype=torch.long)
    new_id[kept] = torch.arange(1, len(kept) + 1)
    return Corpus(new_id[raw], [UNKNOWN, *(words[i] for i in kept.tolist())], files)


def batch(tokens: Tensor, size: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random windows: inputs ``(size, length)`` and, one token later, targets ``(size * length,)``."""
    starts = torch.randint(len(tokens) - length, (size, 1), generator=generator)
    windows = tokens[starts + torch.arange(length + 1)]
    return windows[:, :-1].contiguous(), windows[:, 1:].reshape(-1)
