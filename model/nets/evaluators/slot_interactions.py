"""Effects of the items of a list on each other: sums over pairs of slots.

Part of the pair evaluator; see docs/explanation/method.md#pair-evaluator. Because a list enters
through sums alone, an edit changes them by a known difference, which `local_search` computes for
all neighbors at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.blocks.field_embedding import ColumnSpans, FieldEmbedding
from model.nets.blocks.layers import Dense

FIRST_MESSAGE = 2  # of an encoding: after two logits messages, then similarity vectors
_TYPICAL_RELEVANCE = -2.0  # where the message of relevance starts to be centered
_FAR_BELOW = 1e4  # a floor that no relevance reaches
_FLOOR_QUANTILE = 0.2  # of the relevance of shown items
_FLOOR_MOMENTUM = 0.02  # share of a batch in the moving average of the floor
_EXACT_DISTANCES = 4  # slots that are farther apart share weights
_RESIDUAL_SLOTS = 10  # only so many first slots have weights of single pairs
MIN_SIMILARITY_NORM = 1e-3  # keeps the vector of an item without values in a field near zero


class SlotInteractions(nn.Module):
    """Effects of the items of the other slots on appeal and examination of a slot.

    appeal effect on j      = sum_l (sum_w C_wjl m_wl + sum_h S_hjl cos_hjl)
    examination effect on j = sum_l sum_w B_wjl m_wl

    m are the messages of the item of slot l, each in (-1, 1): the first one of its relevance, the
    others (traits) learned from its fields. cos_h is the cosine of learned embeddings of field h.
    C, B and S are `contrast_weights`, `examination_weights` and `similarity_weights`: each a weight
    of the distance l - j, plus, for the first slots, a residual of the pair that decays to 0.

    Messages are bounded, and relevance below that of most shown items sends the message of
    `relevance_floor`: a search would otherwise choose items for what their low relevance, which no
    logged list held, does to the other slots.
    """

    off_diagonal: Tensor
    relevance_floor: Tensor  # (E, 1, 1): less relevance than this sends the same message
    distance_index: Tensor  # (M, M) int64: which distance weight holds for slots j and l
    distance_share: Tensor  # (M, M): 1 / number of distances that share the weight

    def __init__(
        self,
        fields: ColumnSpans,
        *,
        num_embeddings: int,
        slots: int,
        width: int,
        similarity_width: int,
        traits: int,
        members: int,
    ) -> None:
        """Build with fresh weights.

        Args:
            fields: columns of the fields that define similarity and traits, h in all.
            num_embeddings: rows of an embedding table.
            slots: M.
            width: of the embeddings that traits are computed from.
            similarity_width: of the embeddings whose cosine is similarity.
            traits: learned messages of an item beside that of its relevance.
            members: E.
        """
        super().__init__()
        self.fields, self.messages = fields, 1 + traits
        self.similarity_embedding = FieldEmbedding(
            num_embeddings, similarity_width, members=members, init_scale=1.0
        )
        self.trait_projection = Dense(width * len(fields), traits, members=members)
        self.message_center = nn.Parameter(torch.full((members, 1, 1), _TYPICAL_RELEVANCE))
        self.message_slope = nn.Parameter(torch.full((members, 1, 1), 0.5))
        self.register_buffer("relevance_floor", torch.full((members, 1, 1), -_FAR_BELOW))
        effects, top = 2 * self.messages + len(fields), min(slots, _RESIDUAL_SLOTS)
        distances = _distance_buckets(slots)
        self.pair_residuals = nn.Parameter(torch.zeros(members, effects, top, top))
        self.distance_weights = nn.Parameter(
            torch.zeros(members, effects, int(distances.max()) + 1)
        )
        self.register_buffer("distance_index", distances, persistent=False)
        self.register_buffer("off_diagonal", 1.0 - torch.eye(slots), persistent=False)
        share = 1.0 / _distances_per_bucket(distances)
        self.register_buffer("distance_share", share, persistent=False)

    @property
    def encoding_width(self) -> int:
        """Numbers that `encode` gives of a candidate: W + h * similarity_width."""
        return self.messages + len(self.fields) * self.similarity_embedding.width

    def structural_params(self) -> list[nn.Parameter]:
        """The few weights that every list updates."""
        return [self.distance_weights, self.message_center, self.message_slope]

    @property
    def contrast_weights(self) -> Tensor:
        """(E, w, j, l): weight of message w of slot l in the appeal of slot j."""
        return self._pair_weights(slice(self.messages))

    @property
    def examination_weights(self) -> Tensor:
        """(E, w, j, l): weight of message w of slot l in the examination of slot j."""
        return self._pair_weights(slice(self.messages, 2 * self.messages))

    @property
    def similarity_weights(self) -> Tensor:
        """(E, h, j, l): weight of the similarity to slot l in field h in the appeal of slot j."""
        return self._pair_weights(slice(2 * self.messages, None))

    def _pair_weights(self, effects: slice) -> Tensor:
        shared = self.distance_weights[:, effects][..., self.distance_index] * self.distance_share
        beyond = len(self.off_diagonal) - self.pair_residuals.shape[-1]
        residuals = functional.pad(self.pair_residuals[:, effects], (0, beyond, 0, beyond))
        return (residuals + shared) * self.off_diagonal

    def encode(self, rows: Tensor, relevance: Tensor, embedded: Tensor) -> Tensor:
        """(E, B, N, W + h * K): messages and unit similarity vectors of candidates.

        Args:
            rows: (B, N, C) int32, columns of candidates.
            relevance: (E, B, N, 1).
            embedded: (E, B, N, h * width), embeddings of `fields`.
        """
        messages = self.item_messages(relevance, self.trait_projection(embedded))
        return torch.cat([messages, self._similarity_encoding(rows)], dim=-1)

    def item_messages(self, relevance: Tensor, traits: Tensor) -> Tensor:
        """(E, B, N, 1) relevance and (E, B, N, t) traits -> (E, B, N, 1 + t), in (-1, 1)."""
        center, slope = self.message_center.unsqueeze(1), self.message_slope.unsqueeze(1)
        supported = torch.maximum(relevance, self.relevance_floor.unsqueeze(1))
        return torch.tanh(torch.cat([(supported - center) * slope, traits], dim=-1))

    def _similarity_encoding(self, rows: Tensor) -> Tensor:
        """(E, B, N, h * factor_width): unit vectors of the item's own fields."""
        start = self.fields[0][0]
        own = rows[..., start : start + sum(width for _, width in self.fields)]
        spans = tuple((first - start, width) for first, width in self.fields)
        vectors = self.similarity_embedding(own, spans)
        length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp(
            min=MIN_SIMILARITY_NORM
        )
        return (vectors / length).flatten(-2)

    @torch.no_grad()
    def observe_shown(self, slot_encodings: Tensor, slot_valid: Tensor) -> None:
        """Move the floor of relevance messages; see `Evaluator.observe_shown`."""
        relevance = slot_encodings[..., 0].flatten(1)[:, slot_valid.flatten()]  # (E, slots)
        floor = relevance.quantile(_FLOOR_QUANTILE, dim=1).view(-1, 1, 1)
        first = self.relevance_floor <= -_FAR_BELOW
        moved = torch.lerp(self.relevance_floor, floor, _FLOOR_MOMENTUM)
        self.relevance_floor = torch.where(first, floor, moved)  # the graph holds the old one

    @torch.no_grad()
    def scale_click_logits(self, factor: float) -> None:
        """Follow relevance that is multiplied by a factor: appeal effects scale, messages stay."""
        self.message_center.mul_(factor)
        self.relevance_floor.mul_(factor)
        self.message_slope.div_(factor)
        unscaled = slice(self.messages, 2 * self.messages)  # examination weights
        for weights in (self.pair_residuals, self.distance_weights):
            kept = weights[:, unscaled].clone()
            weights.mul_(factor)
            weights[:, unscaled] = kept

    def forward(self, shown: Tensor, slot_weight: Tensor) -> tuple[Tensor, Tensor]:
        """Effects of the other slots on appeal and examination logits, (E, B, L, M) each.

        Args:
            shown: (E, B, L, M, Z) encodings of candidates by slot, or mixtures.
            slot_weight: (B, 1, M) float, 0 in padding.
        """
        real = shown * slot_weight.unsqueeze(-1)
        last = FIRST_MESSAGE + self.messages
        pairs = torch.cat([self.contrast_weights, self.examination_weights], dim=2)  # (E, w, 2j, l)
        by_slot = pairs.transpose(1, 2).flatten(2)  # (E, 2 * M, w * M)
        messages = real[..., FIRST_MESSAGE:last].transpose(-1, -2).flatten(-2)  # (E, B, L, w * M)
        effects = messages @ by_slot.transpose(-1, -2).unsqueeze(1)  # (E, B, L, 2 * M)
        contrast, examination = effects.chunk(2, dim=-1)
        return contrast + self._similarity_effects(real[..., last:]), examination

    def _similarity_effects(self, similarity: Tensor) -> Tensor:
        """(E, B, L, M): sum over slots l and fields h of similarity weight times cosine.

        One product with a matrix that is zero between fields.
        """
        heads, m = self.similarity_weights.shape[1], similarity.shape[-2]
        identity = torch.eye(heads, dtype=similarity.dtype, device=similarity.device)
        mixing = torch.einsum("ehjl,hg->ejhlg", self.similarity_weights, identity)
        mixing = mixing.flatten(3, 4).flatten(1, 2)  # (E, M * h, M * h)
        split = similarity.unflatten(-1, (heads, -1)).flatten(-3, -2)  # (E, B, L, M * h, K)
        mixed = (mixing[:, None, None] @ split).unflatten(-2, (m, heads)).flatten(-2)
        return (mixed * similarity).sum(dim=-1)


def _distance_buckets(slots: int) -> Tensor:
    """(M, M) int64: bucket of the signed distance l - j, 0 for a slot itself.

    Distances up to `_EXACT_DISTANCES` have a bucket each; beyond, buckets double in width.
    """
    place = torch.arange(slots, device="cpu")  # its values are needed under a meta device, too
    distance = place - place[:, None]
    far = torch.log2(distance.abs().clamp(min=1) / _EXACT_DISTANCES).ceil().clamp(min=0)
    steps = distance.abs().clamp(max=_EXACT_DISTANCES) + far.long()
    return torch.where(distance < 0, 2 * steps, 2 * steps - 1).clamp(min=0)


def _distances_per_bucket(buckets: Tensor) -> Tensor:
    """(M, M) float: how many distances share the bucket of slots j and l.

    Far slots then add the mean of their messages, so that a long list starts to be learned at the
    same scale as a short one.
    """
    edges = torch.cat([buckets[0], buckets[1:, 0]])  # every signed distance once
    return torch.bincount(edges)[buckets].float()
