"""A causal language model in transformers' Trainer: the loss takes labels and logits as they are, without copies."""

import tempfile
from functools import partial
from typing import Any

import curves
import torch
import transformers

import fastloss
from fastloss.integrations.transformers import causal_lm_loss

VOCABULARY, LENGTH = 1000, 64


def trained(**options: Any) -> list[float]:
    transformers.set_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4
    )
    tokens = torch.randint(3, VOCABULARY, (32, LENGTH), generator=torch.Generator().manual_seed(0))
    labels = tokens.masked_fill(tokens < 100, -100)  # padding, say
    examples = [{"input_ids": i, "labels": j} for i, j in zip(tokens, labels, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, per_device_train_batch_size=4, gradient_accumulation_steps=2, max_steps=12, learning_rate=1e-2,
            logging_steps=1, report_to="none", save_strategy="no", use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        trainer = transformers.Trainer(
            transformers.LlamaForCausalLM(config), arguments, train_dataset=examples, **options
        )
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


if __name__ == "__main__":
    native = trained()
    curves.same(native, trained(compute_loss_func=causal_lm_loss))
    with fastloss.patch("transformers"):  # models that compute their own loss
        curves.same(native, trained())
    trained(compute_loss_func=partial(causal_lm_loss, z_loss=1e-4))  # what transformers has no option for
