"""Random arguments to every operator `torch.ops.fastloss.*`: `make abuse`, and a share of it in `test_soak.py`.

An operator answers or raises. It does not read or write outside its tensors (the operators are built with the address
and the undefined-behaviour sanitizers), does not take more than a few seconds or a gigabyte. Calls start from ones that
the losses themselves make, recorded; a few arguments of each are exchanged for others: dtypes, ranks, sizes, layouts,
devices, tensors that share memory, lie off their alignment or have lost their memory, bools that are neither true nor
false, codes that mean nothing, numbers that are none, lists of another length, None.

Each call is a line of Python, which a child process notes before it runs it: what ends the child is printed so.

    python tests/abuse.py [--calls 1000] [--seed 1] [--only huber_loss,scale_] [--plain]
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest.mock
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "abuse"
SECONDS = 5.0  # a call of a few hundred elements takes less than a millisecond, with the sanitizers ten
BYTES = 1 << 30
SANITIZE = "-O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
GCC_ONLY = (
    "--param asan-instrumentation-with-call-threshold=0 -fno-sanitize=null,object-size,alignment,pointer-overflow,vptr"
)

# ------------------------------------------------------------------------------------------------- the child


def recorded() -> dict[str, list[list[str]]]:
    """For each operator calls that the losses make: their arguments as expressions."""
    import cases
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    import fastloss
    import fastloss.engines.elements as points
    import fastloss.engines.similarity as similarity
    import fastloss.engines.softmax as rows
    from fastloss.engines.similarity.traced import trace

    made: dict[str, list[list[str]]] = {}

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func._schema.name
            if name.startswith("fastloss::") and not kwargs and len(made.setdefault(name, [])) < 12:
                given = [*args, *(a.default_value for a in func._schema.arguments[len(args) :])]
                made[name].append([written(a) for a in given])
            return func(*args, **(kwargs or {}))

    points.NATIVE_WHEN_TINY, rows.TINY = False, -1

    def call(fn: Any, *args: Any, **kwargs: Any) -> None:
        with Record():
            loss = fn(*args, **kwargs)
            loss = loss[0] if isinstance(loss, tuple) else loss
            if loss.requires_grad:
                loss.backward(torch.full_like(loss, 0.5))

    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        for case in cases.SOFTMAX:
            for params in case.settings[:2]:
                for more in ({}, dict(reduction="none", mask=torch.tensor([True, False, True])),
                             dict(weight=torch.ones(5, dtype=dtype), return_stats=True, normalizer=3.0)):  # fmt: skip
                    call(case.functional, **case.make((3, 5), params, dtype), **more)
        for case in cases.ELEMENTS:
            for more in ({}, dict(reduction="none", mask=torch.rand(3, 5) < 0.7),
                         dict(weight=torch.ones(3, 5, dtype=dtype), return_stats=True, normalizer=3.0)):  # fmt: skip
                call(case.functional, **{**case.make((3, 5), {}, dtype), "reduction": "mean", **more})
        call(
            fastloss.functional.binary_cross_entropy_with_logits,
            *(torch.rand(3, 5, dtype=dtype, requires_grad=k == 0) for k in range(2)),
            pos_weight=torch.ones(5, dtype=dtype),
        )
        for pair in cases.PRODUCTS:
            for params in pair.params:
                for more in (
                    {},
                    dict(reduction="none", mask=torch.tensor([True, False, True]), weight=torch.ones(3, dtype=dtype)),
                ):
                    call(pair.functional, **pair.make((3, 5), params, dtype), **more)
        for loss in cases.SIMILARITY:
            for params, entry, more in itertools.product(
                loss.params, (similarity.similarity, trace), ({}, {"memory_budget": 0})
            ):
                with unittest.mock.patch.object(similarity, "similarity", entry):
                    call(loss.functional, **loss.make((4, 3), params, dtype), **more)
    made["fastloss::scale_"] = [["torch.ones((3, 5))", "torch.tensor(2.0)"]]
    for name in set(operators()) - set(made):  # of a form that torch.compile alone uses: as its nearest relative's
        schema = torch._C._get_schema(name, "")
        wanted = [a.name for a in schema.arguments]
        relatives = {k: [a.name for a in torch._C._get_schema(k, "").arguments] for k in made if made[k]}
        nearest = max(relatives, key=lambda k: (len(set(relatives[k]) & set(wanted)), len(k) * name.startswith(k)))
        for given in made[nearest]:
            named = dict(zip(relatives[nearest], given, strict=True))
            made.setdefault(name, []).append([named.get(a.name, DEFAULTS[str(a.type)]) for a in schema.arguments])
    return made


DEFAULTS = {
    "Tensor": "torch.ones((3, 5))",
    "Optional[Tensor]": "None",
    "bool": "True",
    "int": "0",
    "float": "1.0",
    "List[float]": "[]",
    "List[int]": "[]",
    "List[bool]": "[]",
    "str": "''",
}


def written(value: Any) -> str:
    """A program for an argument."""
    import torch

    if not isinstance(value, torch.Tensor):
        return re.sub(r"\b(nan|inf)\b", r"math.\1", repr(value))
    t = value.detach()
    dtype = str(t.dtype)
    if t.numel() > 64 or (t.is_floating_point() and t.numel() > 20):
        text = f"torch.randn({tuple(t.shape)}).to({dtype})"
    else:
        numbers = re.sub(r"\b(nan|inf)\b", r"math.\1", repr(t.tolist()))
        text = f"torch.tensor({numbers}, dtype={dtype}).reshape({tuple(t.shape)})"
    return text if t.is_contiguous() else f"{text}.clone().transpose(0, -1).contiguous().transpose(0, -1)"


DTYPES = ("float32", "float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool", "complex64")
SHAPES = ("(0,)", "()", "(1,)", "(2,)", "(3, 5)", "(5, 3)", "(4, 4)", "(0, 2)", "(3, 0)", "(3,)", "(5,)", "(2, 3, 5)",
          "(100,)", "(3, 5, 1)", "(1,) * 12", "(2,) * 9")  # fmt: skip
INTEGERS = (
    0,
    1,
    2,
    3,
    -1,
    -2,
    5,
    6,
    7,
    8,
    15,
    99,
    2**31,
    -(2**31),
    2**32,
    2**32 + 6,
    2**32 + 1,
    2**40,
    2**63 - 1,
    -(2**63),
)
NUMBERS = ("0.0", "1.0", "-1.0", "math.nan", "math.inf", "-math.inf", "1e308", "1e-320")


# PyTorch 2.15 ends the process, in its own fallback for lazily negated tensors, if an operator writes to one.
NEGATED = "torch._neg_view" if tuple(map(int, version("torch").split(".")[:2])) < (2, 15) else "torch.neg"


def other_tensor(rng: random.Random, old: str) -> str:
    """An expression for a tensor that may be anything, mostly made of the one that is there."""
    shape, dtype = rng.choice(SHAPES), rng.choice(DTYPES)
    fresh = f"torch.ones({shape}).to(torch.{dtype})"
    if old == "None":
        return fresh
    return rng.choice((
        fresh, fresh, "None",
        f"{old}.to(torch.{dtype})", f"{old}.to(torch.{dtype})", f"{old}.unsqueeze(0)", f"{old}.flatten()",
        f"{old}[:0]", f"{old}[:1]", f"{old}[..., :1]", f"torch.cat(({old}, {old}))", f"{old}.mT", f"{old}.to('meta')",
        f"{old}[:1].expand_as({old})", f"{old}[..., :1].expand_as({old})", f"{old}.flatten()[:1].expand(70000)",
        f"{old}.repeat_interleave(2, -1)[..., ::2]", f"torch.full_like({old}, {rng.choice((0, 1, -1, 99, 2**31))})",
        f"torch.full_like({old}, math.nan)", f"{old}.flatten()[:4].unfold(0, 2, 1)", f"{old} * {2**62}",
        f"{old}.reshape(-1, 1, 1, 1, 1, 1, 1, 1, 1, 1)", f"{old}.to_sparse()", f"{old}.requires_grad_()",
        f"{old}.flatten()[:1].expand(2**41)", f"{old}.flatten()[:1].expand(2**62)", f"{NEGATED}({old})",
        f"(t := {old}, torch.frombuffer(bytearray(t.nbytes + 1), dtype=t.dtype, offset=1).view(t.shape).copy_(t))[-1]",
        f"(t := {old}, torch.cat((t.flatten()[:1], t.flatten()))[1:].view(t.shape))[-1]",
        f"(t := {old}.clone(), t.untyped_storage().resize_(0))[0]", f"{old}.to_mkldnn()",
        f"(t := {old}, torch._efficientzerotensor(t.shape, dtype=t.dtype))[-1]",
        f"torch.full({old}.shape, {rng.choice((2, 128, 255))}, dtype=torch.uint8).view(torch.bool)",
    ))  # fmt: skip


def abused(rng: random.Random, schema: Any, base: list[str]) -> list[str]:
    arguments = list(base)
    for k in rng.sample(range(len(arguments)), min(len(arguments), rng.choice((0, 1, 1, 1, 2, 2, 3, 5)))):
        kind = str(schema.arguments[k].type)
        old = arguments[k]
        if "Tensor" in kind:
            others = [j for j in range(k) if "torch." in arguments[j] and ":=" not in arguments[j]]
            if others and rng.random() < 0.15:  # shares memory with an argument before it
                j = rng.choice(others)
                arguments[j] = f"(shared{j} := {arguments[j]})"
                arguments[k] = rng.choice(
                    (
                        f"shared{j}",
                        f"shared{j}.flatten()[1:]",
                        f"shared{j}.as_strided(shared{j}.shape, shared{j}.stride(), 1)",
                        f"(t := {old}, torch.empty(0, dtype=t.dtype).set_(shared{j}.untyped_storage(), 0, t.shape))[1]",
                        f"(t := {old}, torch.empty(0, dtype=t.dtype).set_(shared{j}.untyped_storage(), 1, t.shape))[1]",
                    )
                )
            else:
                arguments[k] = other_tensor(rng, old)
        elif "List[float]" in kind:
            arguments[k] = f"[{', '.join(rng.choice(NUMBERS) for _ in range(rng.choice((0, 1, 2, 3, 4, 9, 40))))}]"
        elif "List" in kind:
            arguments[k] = f"[{', '.join(str(rng.choice(INTEGERS)) for _ in range(rng.choice((0, 1, 3, 9))))}]"
        elif kind == "float":
            arguments[k] = rng.choice(NUMBERS)
        elif kind == "bool":
            arguments[k] = str(old == "False")
        elif kind == "int":
            arguments[k] = str(rng.choice(INTEGERS))
        else:
            arguments[k] = rng.choice(("''", "'x'"))
    return arguments


def child(names: list[str], calls: int, seed: int, first: int, note: str) -> None:
    """Runs calls ``first`` and following of each operator, and notes each one before it runs."""
    import torch

    import fastloss  # noqa: F401

    torch.set_num_threads(1)
    bases = recorded()
    with open(note, "w+") as out:
        answered = refused = 0
        for name in names:
            function = getattr(torch.ops.fastloss, name.removeprefix("fastloss::")).default
            for k in range(first, calls):
                rng = random.Random(f"{name} {seed} {k}")
                arguments = ", ".join(abused(rng, function._schema, rng.choice(bases[name])))
                line = f"torch.ops.{name.replace('::', '.')}.default({arguments})"
                out.seek(0)
                out.truncate()
                out.write(f"{name}\n{k}\n{answered} {refused}\n{line}\n")
                out.flush()
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                signal.setitimer(signal.ITIMER_REAL, SECONDS)  # ends the process, whatever it is in
                try:
                    eval(line, {"torch": torch, "math": math})
                    answered += 1
                except Exception:
                    refused += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
                grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
                if grown > BYTES:
                    print(f"took {grown / 2**30:.1f} GiB", file=sys.stderr)
                    os._exit(3)
            first = 0
        out.seek(0)
        out.truncate()
        out.write(f"\n0\n{answered} {refused}\n\n")


# ------------------------------------------------------------------------------------------------ the parent


def operators() -> list[str]:
    import torch

    import fastloss  # noqa: F401

    return sorted(name for name in torch._C._dispatch_get_all_op_names() if name.startswith("fastloss::"))


def sanitized() -> tuple[Path, dict[str, str]]:
    """A copy of the package with sanitizers, and the environment in which Python can load it."""
    tree = OUT / "tree"
    for part in ("csrc", "fastloss"):
        for source in (ROOT / part).rglob("*"):
            target = tree / source.relative_to(ROOT)
            if source.suffix in (".so", ".pyc") or not source.is_file():
                continue
            if not target.exists() or target.read_bytes() != source.read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tree / name)
    compiler = os.environ.get("CXX", "g++" if shutil.which("g++") else "clang++")
    clang = (
        "clang" in subprocess.run([*compiler.split(), "--version"], capture_output=True, text=True, check=True).stdout
    )
    flags = SANITIZE if clang else f"{SANITIZE} {GCC_ONLY}"
    shared = ["-shared-libasan"] if clang else []
    environment = {
        **os.environ, "FASTLOSS_CUDA": "0", "CXXFLAGS": " ".join([flags, *shared]),
        "LDFLAGS": " ".join(["-fsanitize=address,undefined", *shared]),
    }  # fmt: skip
    print("abuse: building the operators with sanitizers in build/abuse ...", flush=True)
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=tree, env=environment, check=True
    )
    libraries = [
        "libclang_rt.asan-x86_64.so" if clang else "libasan.so",
        "libstdc++.so.6",
    ]  # the sanitizer wraps its throw
    found = [
        subprocess.run([*compiler.split(), f"-print-file-name={one}"], capture_output=True, text=True, check=True)
        for one in libraries
    ]
    return tree, {
        "LD_PRELOAD": " ".join(one.stdout.strip() for one in found),
        # Python and torch keep what they allocate; a size that is refused is torch's error.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096:quarantine_size_mb=64",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def abuse(
    names: list[str], calls: int, seed: int, tree: Path, environment: dict[str, str], tell: Any = None
) -> tuple[int, list[str]]:
    """Runs the calls in child processes; gives back how many ran, and what ended a child."""
    ran, faults = 0, []
    left, first = list(names), 0
    path = os.pathsep.join([str(tree), str(ROOT / "tests")])
    while left and len(faults) < 200:
        with tempfile.NamedTemporaryFile("r") as note:
            arguments = ["--child", note.name, "--calls", str(calls), "--seed", str(seed), "--first", str(first)]
            done = subprocess.run(
                [sys.executable, "-W", "ignore", __file__, *arguments, "--only", ",".join(left)],
                capture_output=True, text=True,
                env={**os.environ, **environment, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, check=False, cwd=tree,
            )  # fmt: skip
            lines = note.read().splitlines()
        if len(lines) < 4 and done.returncode:
            raise RuntimeError(f"abuse: the child did not start:\n{done.stderr[-3000:]}")
        name, number, counts = lines[0], int(lines[1]), lines[2].split()
        ran += sum(map(int, counts))
        if done.returncode == 0:
            break
        why = {-signal.SIGALRM: f"more than {SECONDS:.0f} s", -signal.SIGSEGV: "SIGSEGV", 3: done.stderr.strip()[-200:]}
        told = re.findall(
            r"(?:AddressSanitizer: .*|.*runtime error: .*|^\s+#\d+ .*fastloss.*|#\d .*csrc.*)", done.stderr
        )
        faults.append(
            "\n    ".join(
                [
                    f"{name}: {why.get(done.returncode, f'exit status {done.returncode}')}",
                    lines[3],
                    *(told or done.stderr.strip().splitlines()[-6:])[:6],
                ]
            )
        )
        if tell:
            tell(f"[{len(names) - len(left) + left.index(name)}/{len(names)}] {faults[-1]}", flush=True)
        left, first = left[left.index(name) :], number + 1
        if first >= calls:
            left, first = left[1:], 0
    return ran, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000, help="of each operator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="operators, separated by commas")
    parser.add_argument("--plain", action="store_true", help="the build that is there, without sanitizers")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = [n if n.startswith("fastloss::") else f"fastloss::{n}" for n in filter(None, options.only.split(","))]
    if options.child:
        child(names, options.calls, options.seed, options.first, options.child)
        return 0
    tree, environment = (ROOT, {}) if options.plain else sanitized()
    start = time.monotonic()
    names = names or operators()
    ran, faults = abuse(names, options.calls, options.seed, tree, environment, tell=print)
    print(f"abuse: {ran} calls of {len(names)} operators, {len(faults)} faults, {time.monotonic() - start:.0f} s")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
