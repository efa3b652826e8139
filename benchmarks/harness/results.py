"""The records a run leaves behind, and their JSON form."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .suites import Row


@dataclass
class VariantResult:
    """One line of the table; None is "not measured".

    Attributes:
        name: The variant.
        path: For ours: "kernel", "native" or "reference".
        note: Why the variant has no numbers.
        us: Median microseconds of a step; p10_us and p90_us the deciles.
        rounds: Samples taken, of ``repeats`` steps each.
        vs_eager: How many times faster than native eager; vs_compile: than torch.compile.
        gb_per_s: The row's minimal bytes by the time.
        copy_percent: Time of a plain copy of these bytes into fresh memory by this time;
            warm_copy_percent: of one into memory that is already mapped.
        products_percent: Time of the matrix products that ours needs by this time.
        extra_bytes: Peak memory above inputs and logits.
        loss_error: Relative, against float64. gradient_error: relative to the largest entry.
    """

    name: str
    path: str | None = None
    note: str | None = None
    us: float | None = None
    p10_us: float | None = None
    p90_us: float | None = None
    rounds: int | None = None
    repeats: int | None = None
    vs_eager: float | None = None
    vs_compile: float | None = None
    gb_per_s: float | None = None
    copy_percent: float | None = None
    warm_copy_percent: float | None = None
    products_percent: float | None = None
    extra_bytes: int | None = None
    loss_error: float | None = None
    gradient_error: float | None = None


@dataclass
class RowResult:
    """All lines of a row.

    Attributes:
        others_cores: Cores that other programs kept busy while this row was timed.
        failure: What ended the row before it had lines.
    """

    row: Row
    minimal_bytes: int
    gradient_bytes: int
    others_cores: float | None
    variants: list[VariantResult]
    failure: str | None = None

    def variant(self, name: str) -> VariantResult | None:
        return next((variant for variant in self.variants if variant.name == name), None)


@dataclass
class Run:
    """A suite under one environment."""

    huge_pages: bool
    rows: list[RowResult] = field(default_factory=list)

    @property
    def title(self) -> str:
        return "with THP_MEM_ALLOC_ENABLE=1 (torch's huge pages)" if self.huge_pages else "torch's defaults"


@dataclass
class Report:
    suite: str
    date: str
    command: str
    machine: dict[str, Any]
    runs: list[Run] = field(default_factory=list)

    def save(self, file: Path) -> None:
        rows = asdict(self)
        for saved, run in zip(rows["runs"], self.runs, strict=True):
            for saved_row, result in zip(saved["rows"], run.rows, strict=True):
                saved_row["label"] = result.row.label
        file.write_text(json.dumps(rows, indent=1) + "\n")

    @classmethod
    def load(cls, file: Path) -> Report:
        data = json.loads(file.read_text())
        runs = [Run(run["huge_pages"], [_row_result_from(row) for row in run["rows"]]) for run in data.pop("runs")]
        return cls(**data, runs=runs)


def row_from(data: dict[str, Any]) -> Row:
    options = tuple((name, value) for name, value in data["options"])
    return Row(**{**data, "shape": tuple(data["shape"]), "options": options})


def _row_result_from(data: dict[str, Any]) -> RowResult:
    return RowResult(
        row_from(data["row"]),
        data["minimal_bytes"],
        data["gradient_bytes"],
        data["others_cores"],
        [VariantResult(**variant) for variant in data["variants"]],
        data.get("failure"),
    )
