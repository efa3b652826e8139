# ruff: noqa: N999
"""Introspection and memory of fastloss; importing the module registers the operators torch.ops.fastloss.*"""

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

def pairs_losses() -> list[tuple[str, str]]:
    """Losses of the pairs family, likewise."""

def components() -> dict[str, int]:
    """Of each operator of the pointwise family, how many numbers an element of a tensor is."""

def divergence_losses() -> list[tuple[str, str]]:
    """Losses of the divergence family, likewise."""

def similarity_losses() -> list[tuple[str, str]]:
    """Losses of the similarity family, likewise, in the order of the numbers by which its operators know them."""

def apply(isa: str, function: str, data: bytes, is_double: bool) -> bytes:
    """Runs a vector function (exp, log, ..., half conversions) of an ISA on packed values, for tests."""

def pooled_tensor(shape: list[int], strides: list[int], element_bytes: int, is_bfloat16: bool) -> object:
    """A DLPack capsule of uninitialised CPU memory from the gradient pool, to which it returns when freed."""

def is_tiny(input: object, target: object, ignore_index: object, most: int) -> bool:
    """Whether these are CPU tensors of logits and of targets, none ignored, that PyTorch's own operator is best for."""

def open_gate(table: object, tensor: type, parameter: type) -> None:
    """Gives `is_tiny` DLPack's table of a tensor's C functions; without it `is_tiny` answers False."""

def memory_usage() -> tuple[int, int]:
    """Bytes of the gradient pool that tensors use, and that lie idle."""

def memory_release_idle() -> None:
    """Gives the idle blocks of the gradient pool back to the system."""
