"""What is measured: suites of rows. A new shape, dtype, layout or loss is a line here."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """One benchmark: a loss on an input of one shape, dtype and layout.

    Attributes:
        shape: Of the input; for class losses (N, C, d1, ...).
        dtype: Name in torch.
        layout: Key of `inputs.LAYOUTS`.
        loss: Key of `losses.LOSSES`.
        target: Which of the loss's target kinds.
        ignored: Fraction of the rows whose target is ignore_index.
        options: Keyword arguments that the native function and ours both take.
        classes: Of a head, whose input is hidden states.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str = "contiguous"
    loss: str = "cross_entropy"
    target: str = "indices"
    ignored: float = 0.0
    options: tuple[tuple[str, float], ...] = ()
    classes: int = 0

    @property
    def label(self) -> str:
        sizes = (*self.shape, self.classes) if self.classes else self.shape
        parts = [self.loss.replace("_", " "), self.dtype, "x".join(map(str, sizes))]
        parts += [self.layout] * (self.layout != "contiguous")
        parts += [self.target] * (self.target != "indices")
        parts += [f"{self.ignored:.0%} ignored"] * (self.ignored > 0)
        parts += [f"{name}={value:g}" for name, value in self.options]
        return " ".join(parts)

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)

    @property
    def numel(self) -> int:
        return torch.Size(self.shape).numel()

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the input, and so of its gradient."""
        return self.numel * self.torch_dtype.itemsize


SUITES: dict[str, tuple[Row, ...]] = {
    # A minute on two cores: one row of every regime.
    "quick": (
        Row((4, 4)),
        Row((64, 100)),
        Row((256, 1000)),
        Row((8192, 1000)),
        Row((8192, 1000), "bfloat16"),
        Row((65536, 80)),
        Row((2, 21, 256, 256)),
        Row((512, 32000)),
    ),
    # The figures fastloss promises: language models, ImageNet, detection, segmentation, and the tiny ones.
    "ce": (
        Row((2048, 32000)),
        Row((1024, 128256)),
        Row((8192, 1000)),
        Row((65536, 80)),
        Row((2048, 32000), "bfloat16"),
        Row((8192, 1000), "bfloat16"),
        Row((256, 1000)),
        Row((8, 21, 256, 256)),
        Row((1, 2)),
        Row((4, 4)),
        Row((32, 10)),
        Row((64, 100)),
    ),
    # Where the kernel overtakes the native operator.
    "small": (
        *(Row((n, c)) for n in (1, 4, 16, 64, 256) for c in (1, 2, 10, 100, 1000)),
        *(Row((n, c), "bfloat16") for n in (4, 64, 256) for c in (10, 1000)),
    ),
    # The same logits lying differently in memory.
    "layouts": (
        Row((4096, 2000)),
        Row((4096, 2000), layout="transposed"),
        Row((4096, 2000), layout="padded"),
        Row((4096, 2000), layout="strided"),
        Row((8, 21, 256, 256)),
        Row((8, 21, 256, 256), layout="channels_last"),
        Row((8, 2, 256, 256)),
        Row((4, 128, 32000), layout="transposed"),
        # A language model's logits (4, 128, 16384), seen with the classes at dimension 1, and flat: one cost.
        Row((4, 16384, 128), layout="transposed"),
        Row((512, 16384)),
        Row((2, 8, 32, 64, 64)),
    ),
    # Options that change the work per row.
    "options": (
        Row((8192, 1000), options=(("label_smoothing", 0.1),)),
        Row((8192, 1000), ignored=0.5),
        Row((8192, 1000), target="probabilities"),
        Row((2048, 32000), "bfloat16", ignored=0.5),
        Row((2048, 32000), options=(("label_smoothing", 0.1),)),
    ),
    # One value per element, from out of cache down to where dispatch is all there is.
    "pointwise": tuple(
        Row((n,), loss=loss)
        for loss in ("huber", "smooth_l1", "mse", "l1", "bce_with_logits", "sigmoid_focal")
        for n in (10_000_000, 1_000_000, 100_000, 1000, 100, 1)
    ),
    # All pairs of two sets of vectors: the sizes that libraries run out of memory at, and those that are all dispatch.
    "similarity": (
        Row((4096, 256), loss="clip"),
        Row((8192, 512), loss="clip"),
        Row((4096, 256), "bfloat16", loss="clip"),
        *(Row(shape, loss="clip") for shape in ((1024, 128), (256, 128), (32, 64), (4, 16))),
        Row((4096, 256), loss="siglip"),
        *(Row(shape, loss="nt_xent") for shape in ((2048, 128), (128, 128), (8, 16))),
        *(Row(shape, loss="supcon") for shape in ((2048, 128), (256, 128), (16, 16))),
    ),
    "similarity_huge": (Row((16384, 256), loss="clip"),),
    # Hidden states and a classifier: language models, many classes, and sizes that are all dispatch.
    "heads": tuple(
        Row((n, d), dtype, loss="head", classes=c)
        for n, d, c in (
            (2048, 512, 32000),
            (2048, 128, 32000),
            (4096, 1024, 8192),
            (512, 128, 4000),
            (128, 256, 1000),
            (256, 64, 100),
            (32, 64, 100),
        )
        for dtype in ("float32", "bfloat16")
    ),
    # Outputs of rows, and a user's own formula.
    "outputs": tuple(
        Row(shape, loss=loss)
        for loss in ("logprob_entropy", "combined")
        for shape in ((2048, 32000), (8192, 1000), (256, 1000), (64, 100), (4, 4))
    ),
    "softmax_focal": (Row((8192, 1000), loss="softmax_focal"), Row((2048, 32000), loss="softmax_focal")),
    # Classes from two to more than any vocabulary, at about 8 million logits.
    "classes": tuple(Row((2**23 // c, c)) for c in (2, 3, 8, 21, 64, 257, 1024, 8192, 65536, 262144)),
    "dtypes": tuple(Row((4096, 2000), dtype) for dtype in ("float64", "float32", "float16", "bfloat16")),
    # Language-model heads on a GPU, and the small class counts that published kernels leave behind.
    "gpu": (
        *(Row((8192, c), "bfloat16") for c in (1000, 4096, 32000, 50304, 128256)),
        *(Row((8192, c)) for c in (1000, 32000, 128256)),
        Row((32768, 65536), "bfloat16"),
        *(Row((32768, c), "bfloat16") for c in (80, 256, 1000, 4096)),
        Row((8, 21, 512, 512)),
        Row((8, 21, 512, 512), "bfloat16", layout="channels_last"),
        Row((256, 1000)),
        Row((4, 4)),
        *(Row((8192, c), dtype, loss="softmax_focal") for c in (1000, 32000) for dtype in ("bfloat16", "float32")),
    ),
    # Pairs and triplets of embeddings: narrow and wide ones, one off 16 bytes, one longer than a block holds.
    "gpu_pairs": tuple(
        Row(shape, dtype, loss=loss)
        for loss in ("cosine_embedding", "triplet_margin")
        for dtype in ("float32", "bfloat16")
        for shape in ((1_000_000, 64), (65536, 1024), (65536, 1001), (4096, 16384))
    ),
    # All pairs: CLIP's batch, where products are what counts; batches of one strip; and one that is all launches.
    "gpu_similarity": (
        *(Row((n, 1024), "bfloat16", loss="clip") for n in (32768, 8192)),
        Row((8192, 1024), loss="clip"),
        Row((16384, 1024), "bfloat16", loss="siglip"),
        Row((4096, 256), "bfloat16", loss="nt_xent"),
        Row((8192, 256), "bfloat16", loss="supcon"),
        Row((256, 128), loss="clip"),
    ),
    # Tensors far larger than any L2, and one that is all launches.
    "gpu_pointwise": tuple(
        Row((n,), dtype, loss=loss)
        for n, dtype in ((100_000_000, "float32"), (100_000_000, "bfloat16"), (1000, "float32"))
        for loss in ("huber", "smooth_l1", "mse", "l1", "bce_with_logits", "sigmoid_focal")
    ),
}
