"""Train one model twice, with torch.nn.CrossEntropyLoss and with fastloss.CrossEntropyLoss.

Weights, seeds and batches are the same. The text is the source code of Python's standard library, split into
words. The two trainings take turns step by step in one process, so that whatever else the machine does hits
both; peak memory is measured in a process of its own for each.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

import fastloss

from . import memory, report, text
from .model import Config
from .training import CRITERIA, Run, build


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--steps", type=int, default=80, help="training steps of each of the two runs")
    parser.add_argument("--quick", action="store_true", help="at most 12 steps")
    parser.add_argument("--vocabulary", type=int, default=32768, help="tokens kept, the most frequent ones")
    parser.add_argument("--width", type=int, default=192, help="model width, split over 4 heads")
    parser.add_argument("--layers", type=int, default=2, help="transformer blocks")
    parser.add_argument("--length", type=int, default=128, help="tokens in a sequence")
    parser.add_argument("--batch", type=int, default=8, help="sequences in a batch")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="AdamW's, after ten warm-up steps")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and of the batches")
    parser.add_argument("--threads", type=int, default=2, help="torch's intra-op threads")
    parser.add_argument("--output", type=Path, default=Path("fastloss-demo.png"), help="the picture to write")
    args = parser.parse_args(arguments)
    if args.quick:
        args.steps = min(args.steps, 12)
    for name in ("steps", "layers", "length", "batch", "threads"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if args.vocabulary < 2:
        parser.error("--vocabulary must be at least 2")
    if args.width < 4 or args.width % 4:
        parser.error("--width must be a positive multiple of 4")
    return args


def _train(runs: dict[str, Run], tokens: torch.Tensor, args: argparse.Namespace) -> None:
    generator = torch.Generator().manual_seed(args.seed)
    for step in report.progress(args.steps, runs):
        ids, target = text.batch(tokens, args.batch, args.length, generator)
        # Alternating who goes first shares out what the order itself costs.
        order = list(runs.values()) if step % 2 == 0 else list(runs.values())[::-1]
        for run in order:
            for group in run.optimizer.param_groups:
                group["lr"] = args.learning_rate * min(1.0, (step + 1) / 10)
            run.step(ids, target)


def main(arguments: list[str] | None = None) -> None:
    args = _parse(arguments)
    started = time.perf_counter()
    torch.set_num_threads(args.threads)
    corpus = text.load(args.vocabulary)
    config = Config(len(corpus.vocabulary), args.width, args.layers, length=args.length)
    runs = {
        name: Run(*build(config, args.seed, args.learning_rate), criterion()) for name, criterion in CRITERIA.items()
    }
    logits = torch.zeros(args.batch * args.length, config.vocabulary, requires_grad=True)
    target = torch.zeros(len(logits), dtype=torch.long)
    chosen = fastloss.explain(fastloss.functional.cross_entropy, logits, target)
    del logits
    why = ", ".join(part for part in (chosen.isa, chosen.reason) if part)
    parameters = runs["native"].model.parameter_count()
    print(f"Text:    {corpus.files} files of the standard library, {len(corpus.tokens):,} tokens")
    print(f"         vocabulary {config.vocabulary:,}, {corpus.unknown_fraction:.1%} of the text unknown")
    print(f"Model:   {parameters:,} parameters, {config.layers} layers of width {config.width}")
    print(f"Machine: {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"fastloss runs its {chosen.path} ({why})", flush=True)
    _train(runs, corpus.tokens, args)
    print("Measuring peak memory, a process for each criterion ...", flush=True)
    peaks = {name: memory.measure(name, config, args.batch, args.threads) for name in CRITERIA}
    shape = f"{args.batch * args.length} x {config.vocabulary}"
    title = f"{args.steps} training steps, logits {shape}, {args.threads} threads"
    report.print_table(title, runs, peaks)
    report.save_picture(args.output, title, runs, peaks)
    print(f"Curves and bars: {args.output}")
    print(f"Took {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
