"""Pointer network: recurrent encoder of candidates, decoder that points at the next item.

Shared by Seq2Slate and GRN, which define the losses.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from model.baselines.ranker import NetDimensions
from model.baselines.token_blocks import CandidateEncoder, TransformerBlock
from model.nets.blocks.layers import Dense
from model.nets.request_tensors import RequestTensors


class PointerOutput(NamedTuple):
    """Lists written from the first slot to the last.

    Attributes:
        lists: (B, K, M) int64 candidate indices, 0 in invalid slots.
        logits: (B, K, M, N) float, logits of each step without noise.
        available: (B, K, M, N) bool, candidates that were not chosen before the step.
    """

    lists: Tensor
    logits: Tensor
    available: Tensor


class PointerNetwork(nn.Module):
    """u_jk = v . tanh(W_e e_k + W_d d_j): e by an LSTM over candidates, d over chosen items."""

    def __init__(self, size: NetDimensions, *, bidirectional: bool) -> None:
        super().__init__()
        hidden = size.hidden_dim
        self.tokens = CandidateEncoder(size)
        self.bidirectional = bidirectional
        half = hidden // 2 if bidirectional else hidden
        self.encoder = nn.LSTM(hidden, half, batch_first=True, bidirectional=bidirectional)
        self.candidate_attention = TransformerBlock(hidden) if bidirectional else None
        self.decoder_cell = nn.LSTMCell(hidden, hidden)
        self.start_embedding = nn.Parameter(torch.randn(hidden) * 0.05)
        self.from_item = Dense(hidden, hidden)
        self.from_state = Dense(hidden, hidden, bias=False)
        self.out = Dense(hidden, 1, bias=False)

    def forward(
        self, request: RequestTensors, allowed: Tensor, noise: Tensor, *, slots: int
    ) -> PointerOutput:
        """Point at the highest logit plus noise, slot by slot.

        Args:
            request: tensors of the batch.
            allowed: (B, N) bool, candidates that may be chosen.
            noise: (B, K, M, N) float, added to the logits.
            slots: number of slots M.
        """
        b, lists = noise.shape[:2]
        read, state = self._encode(request)
        h, c = (part.repeat_interleave(lists, dim=0) for part in state)  # (B * K, hidden)
        keys = self.from_item(read).unsqueeze(1)  # (B, 1, N, hidden)
        free = allowed.unsqueeze(1).expand(-1, lists, -1)
        last = self.start_embedding.expand(b * lists, -1)
        steps: list[tuple[Tensor, Tensor, Tensor]] = []
        for slot in range(slots):
            h, c = self.decoder_cell(last, (h, c))
            query = self.from_state(h).view(b, lists, 1, -1)
            logits = self.out(torch.tanh(keys + query)).squeeze(-1)  # (B, K, N)
            scores = (logits.detach() + noise[:, :, slot]).masked_fill(~free, -torch.inf)
            item = scores.argmax(dim=-1, keepdim=True)  # (B, K, 1)
            steps.append((item.squeeze(-1), logits, free))
            free = free.scatter(2, item, False)
            last = read.gather(1, item.flatten(1).unsqueeze(-1).expand(-1, -1, read.shape[-1]))
            last = last.reshape(b * lists, -1)
        made, logits_by_slot, free_by_slot = (
            torch.stack(part, dim=2) for part in zip(*steps, strict=True)
        )
        made = made.masked_fill(~request.slot_valid.unsqueeze(1), 0)
        return PointerOutput(made, logits_by_slot, free_by_slot)

    def _encode(self, request: RequestTensors) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Encoded candidates (B, N, hidden), and the last LSTM state (h, c), (B, hidden) each."""
        tokens = self.tokens(request)
        count = request.cand_valid.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(tokens, count, batch_first=True, enforce_sorted=False)
        out, (h, c) = self.encoder(packed)
        read, _ = pad_packed_sequence(out, batch_first=True, total_length=tokens.shape[1])
        if self.candidate_attention is not None:
            read = self.candidate_attention(read, request.cand_valid)
        return read, (h.transpose(0, 1).flatten(1), c.transpose(0, 1).flatten(1))
