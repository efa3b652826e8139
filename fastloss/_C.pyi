# ruff: noqa: N999
"""Introspection of fastloss's kernels; importing the module registers the operators torch.ops.fastloss.*"""

def build() -> dict[str, str]:
    """Of this build: "torch" it was compiled against, "abi_target" (lowest torch it loads in), "compiler"."""

def isa_compiled() -> list[str]:
    """Names of the ISAs in this build, best first."""

def isa_available() -> list[str]:
    """Names of the ISAs that this CPU runs, best first."""

def isa_active() -> str:
    """Name of the ISA in force; ValueError if FASTLOSS_ISA names one that is unknown or does not run here."""

def isa_force(name: str) -> None:
    """Puts an ISA in force; ValueError, listing the possible names, if it is unknown or does not run here."""

def rows_losses() -> list[tuple[str, str]]:
    """Losses of the rows family: operator name, and its parameters' names separated by commas."""

def pointwise_losses() -> list[tuple[str, str]]:
    """Losses of the pointwise family, likewise."""

def apply(isa: str, function: str, data: bytes, is_double: bool) -> bytes:
    """Runs a vector function (exp, log, log1p, tanh, half conversions) of an ISA on packed values, for tests."""
