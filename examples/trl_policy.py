"""What TRL's trainers take from logits: log-probabilities and entropies of tokens, here in a clipped policy loss."""

import curves
import torch
from trl.trainer import utils

import fastloss


def trained() -> list[float]:
    torch.manual_seed(0)
    model, states = torch.nn.Linear(32, 300), torch.randn(8, 24, 32)
    tokens, advantage = torch.randint(300, (8, 24)), torch.rand(8, 1) + 0.5
    with torch.no_grad():
        old = utils.selective_log_softmax(model(states), tokens)

    def loss() -> torch.Tensor:
        logprobs, entropy = utils.selective_log_softmax_and_entropy(model(states), tokens)
        ratio = (logprobs - old).exp()
        gain = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        return -(gain + 0.01 * entropy).mean()

    return curves.train(model, loss)


native = trained()
with fastloss.patch("trl"):
    curves.same(native, trained())
