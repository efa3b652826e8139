"""`grad_cache`: value and gradients of one pass, with the activations of one part of the batch."""

import weakref

import pytest
import torch

import fastloss
from fastloss import functional

N, WIDTH = 25, 6


class Encoder(torch.nn.Module):
    """Knows which of its activations are alive."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.first, self.second = (torch.nn.Linear(WIDTH, WIDTH, dtype=torch.float64) for _ in range(2))
        self.dropout = torch.nn.Dropout(dropout)
        self.alive, self.most = [], 0

    def forward(self, x, scale=1.0):
        hidden = self.dropout(self.first(x)).exp()  # whose derivative needs it
        self.alive = [ref for ref in self.alive if ref() is not None] + [weakref.ref(hidden)]
        self.most = max(self.most, len(self.alive))
        return self.second(hidden.tanh() * scale)


def gradients(loss, encoders):
    loss.backward()
    made = [p.grad for encoder in encoders for p in encoder.parameters()]
    for encoder in encoders:
        encoder.zero_grad()
    return [loss.detach(), *made]


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("chunks", [1, 3, 40])
def test_one_pass(chunks):
    encoders = Encoder(), Encoder()
    x, y, labels = torch.randn(N, WIDTH).double(), torch.randn(N, WIDTH).double(), torch.arange(N) // 2
    step = fastloss.grad_cache(functional.info_nce_loss, encoders, chunks)
    wanted = gradients(-2.5 * functional.info_nce_loss(encoders[0](x), encoders[1](y), temperature=0.3), encoders)
    same(gradients(-2.5 * step(x, y, temperature=0.3), encoders), wanted)
    scale = torch.rand(N, 1, dtype=torch.float64)
    step = fastloss.grad_cache(functional.supcon_loss, encoders[:1], chunks)
    wanted = gradients(functional.supcon_loss(encoders[0](x, scale), labels), encoders[:1])
    for batch in ((x, scale), {"x": x, "scale": scale}):
        same(gradients(step(batch, labels=labels), encoders[:1]), wanted)
    wanted = gradients(functional.supcon_loss(encoders[0](x, 0.5), labels), encoders[:1])
    same(gradients(step({"x": x, "scale": 0.5}, labels=labels), encoders[:1]), wanted)
    with torch.no_grad():
        torch.testing.assert_close(step((x, 0.5), labels=labels), wanted[0], rtol=1e-10, atol=0)


def test_activations_of_one_part_are_alive():
    encoders = Encoder(), Encoder()
    step = fastloss.grad_cache(functional.info_nce_loss, encoders, chunks=5)
    loss = step(*torch.randn(2, N, WIDTH).double())
    assert all(ref() is None for encoder in encoders for ref in encoder.alive)
    for encoder in encoders:
        encoder.most = 0
    loss.backward()
    assert [encoder.most for encoder in encoders] == [1, 1]


def test_random_numbers_of_backward_are_those_of_forward():
    encoder = Encoder(dropout=0.5)
    x, labels = torch.randn(N, WIDTH).double(), torch.arange(N) // 2
    torch.manual_seed(3)
    vectors = torch.cat([encoder(part) for part in x.tensor_split(4)])
    wanted = gradients(functional.supcon_loss(vectors, labels), [encoder])
    torch.manual_seed(3)
    loss = fastloss.grad_cache(functional.supcon_loss, [encoder], 4)(x, labels=labels)
    state = torch.get_rng_state()
    same(gradients(loss, [encoder]), wanted)
    assert torch.equal(state, torch.get_rng_state())


def test_errors():
    with pytest.raises(ValueError, match=r"^fastloss.grad_cache: chunks must be 1 or more, got 0"):
        fastloss.grad_cache(functional.info_nce_loss, [Encoder()], 0)
    with pytest.raises(ValueError, match=r"^fastloss.grad_cache: got 1 batches, expected one for each of 2"):
        fastloss.grad_cache(functional.info_nce_loss, [Encoder(), Encoder()], 2)(torch.randn(4, WIDTH))
