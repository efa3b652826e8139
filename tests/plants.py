"""Faults planted in the shells of the losses, Python and C++: for each of them a test must fail (`make plants`).

A plant replaces a text that stands once in its file. The tests named beside it are those that should see it: a plant
that they pass by is a hole in them. (The CUDA kernels have plants of their own, in test_cuda_emulation.py.)

    python tests/plants.py [--only TEXT]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Plant:
    """A fault: in which file what becomes what; the tests that see it, files or tests in them, with blanks between."""

    file: str
    old: str
    new: str
    tests: str

    @property
    def compiled(self) -> bool:
        return self.file.startswith("csrc")


PLANTS = (
    # Whether CUDA kernels may be used.
    Plant(
        "fastloss/_core/verified.py",
        "    if in_backward() or _capturing() or (index",
        "    if _capturing() or (index",
        "test_selftest.py::test_nothing_is_asked_where_it_would_be_recorded",
    ),
    Plant(
        "fastloss/_core/verified.py",
        "    if in_backward() or _capturing() or (index",
        "    if in_backward() or (index",
        "test_selftest.py::test_nothing_is_asked_where_it_would_be_recorded",
    ),
    Plant(
        "fastloss/_core/verified.py",
        '        return _refused.get(key, "")\n\n\ndef _capturing',
        '        return ""\n\n\ndef _capturing',
        "test_selftest.py::test_wrong_kernel_is_left",
    ),
    Plant(
        "fastloss/_core/verified.py",
        "    except (OSError, RuntimeError, ValueError, KeyError, TypeError):",
        "    except (OSError, RuntimeError):",
        "test_selftest.py::test_file_that_cannot_be_read",
    ),
    Plant(
        "fastloss/_core/verified.py",
        "    thread.start()\n    thread.join()",
        "    run()",
        "test_selftest.py::test_asked_under_modes",
    ),
    Plant(
        "fastloss/_core/verified.py",
        'if "CUDA error" in str(error) or "fastloss: CUDA" in str(error) else None)',
        "if str(error) else None)",
        "test_selftest.py::test_check_that_fails",
    ),
    Plant(
        "fastloss/_selftest.py",
        "share.nan_to_num(nan=math.inf).max()",
        "share.nan_to_num(nan=0.0).max()",
        "test_selftest.py::test_wrong_kernels_are_found",
    ),
    Plant(
        "fastloss/_selftest.py",
        '    if route.path != "kernel":',
        "    if False:",
        "test_selftest.py::test_a_call_without_kernel_is_no_proof",
    ),
    # When gradients are made, and what becomes of them.
    Plant(
        "fastloss/_core/autograd.py",
        "return reduction != 0 and dtype is not torch.float16 and not torch.compiler.is_compiling()",
        "return reduction != 0 and not torch.compiler.is_compiling()",
        "properties/test_gradients.py::test_float16_gradient_survives_the_scaler",
    ),
    Plant(
        "fastloss/_core/autograd.py",
        "return math.isfinite(factor) and (grad.dtype != torch.bfloat16 or math.frexp(factor)[0] in (0.5, -0.5))",
        "return True",
        "properties/test_gradients.py::test_upstream",
    ),
    Plant(
        "fastloss/_core/autograd.py",
        "            ctx.grads = None\n            # On the CPU",
        "            # On the CPU",
        "properties/test_gradients.py::test_gradient_can_be_changed_in_place test_autograd.py",
    ),
    Plant(
        "fastloss/_core/autograd.py",
        "        if not torch.is_grad_enabled():\n            try:",
        "        if True:\n            try:",
        "properties/test_gradients.py::test_second_derivatives",
    ),
    Plant(
        "fastloss/_core/autograd.py",
        "        if total.untyped_storage().data_ptr() != memory:\n",
        "        if False:\n",
        "engines/softmax/test_inplace.py",
    ),
    Plant(
        "fastloss/_core/autograd.py",
        "        node.register_prehook(refuse)\n",
        "        pass\n",
        "engines/softmax/test_inplace.py",
    ),
    Plant(
        "fastloss/_core/autograd.py",
        "    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value",
        "    return value",
        "properties/test_inside_torch.py::test_inference_mode",
    ),
    Plant(
        "fastloss/engines/elements.py",
        "            named[name] = bool(named[name])\n",
        "            pass\n",
        "properties/test_gradients.py::test_second_derivatives",
    ),
    Plant(
        "fastloss/engines/divergence.py",
        "        normalizer = mask.sum(dtype=torch.float64)\n",
        "        pass\n",
        "engines/divergence/test_divergence.py::test_options",
    ),
    Plant(
        "fastloss/engines/divergence.py",
        'ignore_index=_NO_CLASS, mask=options.get("mask"),',
        "ignore_index=_NO_CLASS,",
        "engines/divergence/test_divergence.py::test_top_k",
    ),
    # Which path a call takes, and what is said about it.
    Plant(
        "fastloss/_core/route.py",
        'take(name, "reference", reason) if reason else take(name, "kernel", COVERED)',
        'take(name, "kernel", reason or COVERED)',
        "test_explain.py",
    ),
    Plant(
        "fastloss/engines/elements.py",
        "        and input.shape == target.shape\n",
        "",
        "engines/elements/test_points.py::test_broadcast test_elements.py::test_shapes_as_torch",
    ),
    Plant(
        "fastloss/engines/elements.py",
        "        if tensors[position].requires_grad:\n            return None\n",
        "        pass\n",
        "properties/test_inside_torch.py::test_gradients_that_pytorch_does_not_give",
    ),
    Plant(
        "fastloss/_core/guards.py",
        '        if t.layout != torch.strided:\n            return "the layout is not strided"\n',
        "",
        "test_fallback.py",
    ),
    Plant(
        "fastloss/_core/guards.py",
        '            return "an argument is a lazily negated view"\n',
        '            return ""\n',
        "engines/softmax/test_edges.py test_fallback.py",
    ),
    # Dtypes and reductions.
    Plant(
        "fastloss/_core/record.py",
        "return self.autocasts and not (self.weight_mean",
        "return self.autocasts or (self.weight_mean",
        "test_elements.py",
    ),
    Plant(
        "fastloss/engines/elements.py",
        "    made = loss_dtype if dims is None else computed\n",
        "    made = loss_dtype\n",
        "test_elements.py::test_reduced_dimensions_round_once",
    ),
    Plant(
        "fastloss/engines/elements.py",
        "            divisor = (weight if mask is None else torch.where(mask, weight, 0)).sum(dtype=torch.float64)\n",
        "            divisor = weight.sum(dtype=torch.float64)\n",
        "properties/test_shared_options.py::test_options",
    ),
    Plant(
        "fastloss/engines/elements.py",
        'return torch.where(divisor == 0, 0.0, mean) if empty == "zero" else mean',
        "return mean",
        "properties/test_shared_options.py::test_options",
    ),
    Plant(
        "fastloss/engines/elements.py",
        "    count = mask.sum() if mask is not None else",
        "    count = mask.numel() * mask.new_ones((), dtype=torch.int64) if mask is not None else",
        "properties/test_shared_options.py::test_statistics",
    ),
    # Options.
    Plant(
        "fastloss/_core/options.py",
        "    if isinstance(normalizer, Tensor) and normalizer.numel() != 1:\n",
        "    if False:\n",
        "test_arguments.py::test_what_is_no_normalizer",
    ),
    Plant(
        "fastloss/_core/options.py",
        "    unknown = [word for word in given if word not in known]",
        "    unknown: list[str] = []",
        "test_elements.py::test_unknown_arguments_name_the_nearest",
    ),
    Plant(
        "fastloss/_core/options.py",
        "        if number is not None and not holds(number):\n",
        "        if False:\n",
        "test_hyperparameters.py test_elements.py",
    ),
    # Rows.
    Plant(
        "fastloss/engines/softmax.py",
        "            kept = target != ignore_index if mask is None else mask & (target != ignore_index)\n",
        "            kept = target != ignore_index\n",
        "engines/softmax/test_options.py test_soak.py",
    ),
    Plant(
        "fastloss/engines/softmax.py",
        "    row = int(bad.nonzero()[0])\n",
        "    row = int(bad.nonzero()[-1])\n",
        "engines/softmax/test_errors.py",
    ),
    Plant(
        "fastloss/engines/softmax.py",
        "    overwrite = inplace and not is_compiling() and not repeats_memory(input)\n",
        "    overwrite = inplace and not is_compiling()\n",
        "engines/softmax/test_options.py::test_inplace_leaves_repeated_memory_alone",
    ),
    Plant(
        "fastloss/engines/softmax.py",
        "    return input.is_leaf or (base is not None and base.is_leaf and base.requires_grad)\n",
        "    return input.is_leaf\n",
        "engines/softmax/test_inplace.py",
    ),
    Plant(
        "fastloss/_core/stats.py",
        "        accuracy, entropy, perplexity, mean_lse,",
        "        accuracy, entropy, mean_lse, perplexity,",
        "engines/softmax/test_options.py",
    ),
    # Modules.
    Plant(
        "fastloss/nn/_base.py",
        "        settings = {**settings, **options}\n",
        "        settings = {**options, **settings}\n",
        "test_module.py",
    ),
    Plant(
        "fastloss/nn/_base.py",
        "        if native is None or self._options:\n",
        "        if native is None:\n",
        "test_graphs.py",
    ),
    Plant(
        "fastloss/losses/adversarial.py",
        '    label = sign if mode == "hinge" else max(sign, 0)\n',
        '    label = sign if mode == "hinge" else 1 - max(sign, 0)\n',
        "test_adversarial.py",
    ),
    # Similarities.
    Plant(
        "fastloss/engines/similarity/strips.py",
        "            self.bounds = [(b, min(b + height, n)) for b in range(0, n, height)]\n",
        "            self.bounds = [(b, b + height) for b in range(0, n - height + 1, height)]\n",
        "engines/similarity/test_similarity.py",
    ),
    Plant(
        "fastloss/engines/similarity/plan.py",
        "            self.sums = self.sums / 2\n",
        "            pass\n",
        "engines/similarity/test_similarity.py",
    ),
    Plant(
        "fastloss/engines/similarity/autograd.py",
        "            grad_output = grad_output * call.processes()\n",
        "            pass\n",
        "engines/similarity/test_distributed.py",
    ),
    Plant(
        "fastloss/engines/similarity/ring.py",
        "            self.known = (own_labels >= 0) & (own_labels < own.shape[0])\n",
        "            self.known = own_labels >= 0\n",
        "engines/similarity/test_distributed.py",
    ),
    Plant(
        "fastloss/engines/similarity/plan.py",
        "        factor = factor.double() * missing\n",
        "        factor = factor.double()\n",
        "engines/similarity/test_similarity.py",
    ),
    Plant(
        "fastloss/engines/similarity/__init__.py",
        "            row_labels = torch.where(row_labels < m, row_labels, -1)\n",
        "            pass\n",
        "engines/similarity/test_similarity.py",
    ),
    Plant(
        "fastloss/engines/similarity/formula.py",
        "        kept = others if kept is None else others & kept\n",
        "        kept = others\n",
        "engines/similarity/test_similarity_reference.py",
    ),
    Plant(
        "fastloss/engines/similarity/formula.py",
        "        s = s / number(factor, s) if call.divides else number(factor, s) * s\n",
        "        s = number(factor, s) * s\n",
        "engines/similarity/test_similarity_reference.py",
    ),
    # C++: what operators check, count and write.
    Plant(
        "csrc/torch/tensors.h",
        "      if (!b || !(all[i].written || all[j].written) ||",
        "      if (!b || true || !(all[i].written || all[j].written) ||",
        "test_operators.py",
    ),
    Plant(
        "csrc/torch/operators.h",
        "    check_call(call, Backend::numbers(id));\n    check_memory(call, written, nullptr",
        "    check_memory(call, written, nullptr",
        "test_operators.py",
    ),
    Plant(
        "csrc/engines/divergence/cpu.h",
        "        c.gap = select(c.near, c.q * (c.d + c.psi), c.p - c.q);\n",
        "        c.gap = c.p - c.q;\n",
        "engines/divergence/test_divergence.py::test_near",
    ),
    Plant(
        "csrc/engines/divergence/cpu.h",
        "      row.direct = apart < (T)kClose && -apart < (T)kClose;\n",
        "      row.direct = true;\n",
        "engines/divergence/test_divergence.py::test_far_logits",
    ),
    Plant(
        "csrc/engines/softmax/logits.h",
        "  return upstream * V((T)(1 / a.temperature));\n",
        "  return upstream;\n",
        "engines/softmax/test_options.py",
    ),
    Plant(
        "csrc/engines/softmax/operators.cpp",
        "        const bool keep = (!target || y != ignore_index) && (!mask || mask[i]);\n",
        "        const bool keep = (!target || y != ignore_index);\n",
        "engines/softmax/test_options.py",
    ),
    Plant(
        "csrc/engines/softmax/operators.cpp",
        "  if (!weight || !target) all.weight = all.kept;\n",
        "",
        "properties/test_values.py engines/softmax/test_edges.py",
    ),
    Plant(
        "csrc/engines/products/operators.cpp",
        "empty_zero && divisor == 0 ? 0 : sums.loss / divisor",
        "sums.loss / divisor",
        "properties/test_shared_options.py",
    ),
    Plant(
        "csrc/engines/products/operators.cpp",
        "    args.scale *= upstream_of(grad_output);\n",
        "",
        "properties/test_gradients.py",
    ),
    Plant(
        "csrc/torch/tensors.h",
        "      STD_TORCH_CHECK(stride > reach,",
        "      STD_TORCH_CHECK(true || stride > reach,",
        "test_operators.py",
    ),
    Plant(
        "csrc/torch/tensors.h",
        "    if (code == (int64_t)type) return type;\n",
        "    if ((int32_t)code == (int32_t)type) return type;\n",
        "test_operators.py",
    ),
    Plant(
        "csrc/engines/softmax/call.h",
        "  STD_TORCH_CHECK(probability || !target_grad,",
        "  STD_TORCH_CHECK(true || !target_grad,",
        "test_operators.py",
    ),
    Plant(
        "csrc/torch/memory.cpp",
        "    if (block->bytes < bytes || block->bytes / kLargestWaste > bytes) continue;\n",
        "    if (block->bytes < bytes) continue;\n",
        "test_memory.py",
    ),
    Plant("csrc/torch/memory.cpp", "  p.in_use -= loan->used;\n", "", "test_memory.py"),
    # That an ISA which this CPU lacks is refused shows on such a CPU alone.
    Plant("csrc/simd/isa.cpp", '  if (kept == "sse2") return "baseline";\n', "", "test_isa.py"),
)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment, check=False, text=True, capture_output=True)


def copy_of_tree(folder: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for library in (ROOT / "fastloss").glob("*.so"):
        shutil.copy2(library, folder / "fastloss")


def try_plant(plant: Plant, folder: Path, environment: dict[str, str]) -> str:
    """What is wrong: nothing if a test fails."""
    path = folder / plant.file
    right = path.read_text()
    path.write_text(right.replace(plant.old, plant.new))
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    try:
        if plant.compiled and (made := run(build, folder, environment)).returncode:
            return f"does not compile: {made.stdout[-300:]}"
        tests = [f"tests/{name}" for name in plant.tests.split()]
        quick = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header"]
        code = run([sys.executable, "-m", "pytest", *quick, *tests], folder, environment).returncode
        if code < 0:  # a signal has ended it, as it would end the suite
            return ""
        return {0: "NOT FOUND: every test passes", 1: ""}.get(code, f"pytest ended with {code}")
    finally:
        path.write_text(right)


# What a new loss takes besides its functor and its function (csrc/losses/example.h, fastloss/losses/example.py).
EXAMPLE = (
    ("csrc/losses/losses.h", '  X(l1_loss, L1, "")', '  X(example_loss, Example, "eps") \\\n  X(l1_loss, L1, "")'),
    ("csrc/losses/functors.h", '#include "losses/focal.h"', '#include "losses/example.h"\n#include "losses/focal.h"'),
    ("fastloss/losses/__init__.py", '    if topic.name != "example"\n', ""),
    (
        "tests/cases/regression.py",
        '    Elements("mse_loss"',
        '    Elements("example_loss", points=(((3.0, 1.0), {"eps": 0.5}, 1.5), ((1.0, 1.2), {"eps": 0.5}, 0.0))),\n'
        '    Elements("mse_loss"',
    ),
)


def add_example(folder: Path, environment: dict[str, str]) -> str:
    """What is wrong if the loss to copy becomes one of ours: nothing if it passes every test that a loss has."""
    for file, old, new in EXAMPLE:
        path = folder / file
        path.write_text(path.read_text().replace(old, new))
    if (made := run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], folder, environment)).returncode:
        return f"does not compile: {made.stdout[-300:]}"
    run([sys.executable, "tests/stubs.py"], folder, {**environment, "PYTHONPATH": "."})
    about = "(example_loss or ExampleLoss or derivatives) and not example.py"
    done = run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", about, "tests"], folder, environment
    )
    return "" if done.returncode == 0 else f"tests fail:\n{done.stdout[-2000:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="plants whose file or texts contain this, or `example`")
    only = parser.parse_args().only
    plants = [plant for plant in PLANTS if only in plant.file + plant.old + plant.new]
    plants.sort(key=lambda plant: plant.compiled)  # the extension is built for the first of these
    environment = {**os.environ, "FASTLOSS_CUDA": "0"}
    environment.pop("PYTHONPATH", None)
    begun, wrong = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_of_tree(folder)
        for k, plant in enumerate(plants, 1):
            said = try_plant(plant, folder, environment)
            wrong += bool(said)
            line = " ".join(plant.old.split())[:80]
            print(
                f"[{k}/{len(plants)}] {time.monotonic() - begun:4.0f} s {plant.file}: {line}  {said or 'found'}",
                flush=True,
            )
        if only in ("", "example"):
            said = add_example(folder, environment)
            wrong += bool(said)
            print(f"the example as a loss: {said or 'passes'}", flush=True)
    print(f"plants: {len(plants)} faults, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
