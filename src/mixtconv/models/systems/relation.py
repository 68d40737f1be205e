"""Relations between the frames of a clip, at several temporal scales.

From "Temporal Relational Reasoning in Videos" (TRN, arXiv 1711.08496), the multi-scale network:
features of every frame, and for each scale s = T, T - 1, ..., 2 a small network over s frames in
their order; the logits of all scales are summed. Of the many subsets of a size, three are used (one
for s = T). In training they are drawn at random for every batch, as published. Different here: in
evaluation they are fixed, evenly spread over the subsets in lexicographic order, so that a score
can be repeated; the published code draws them then as well.
"""

from collections.abc import Iterator
from math import comb

import torch
from torch import Tensor, nn

from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.spec import ModelSpec

Subset = tuple[int, ...]

MAX_SUBSETS = 3


def subset_at(rank: int, size: int, num_frames: int) -> Subset:
    """The subset of frames with a rank in the lexicographic order of those of its size.

    >>> [subset_at(rank, 2, 3) for rank in range(3)]
    [(0, 1), (0, 2), (1, 2)]
    """
    chosen: list[int] = []
    for frame in range(num_frames):
        left = size - len(chosen)
        # The subsets with this frame come first; skip them all, or take the frame.
        with_frame = comb(num_frames - frame - 1, left - 1) if left else 0
        if rank < with_frame:
            chosen.append(frame)
        else:
            rank -= with_frame
    return tuple(chosen)


def spread_subsets(size: int, num_frames: int) -> list[Subset]:
    """At most `MAX_SUBSETS` subsets of frames, evenly spread over all of that size.

    >>> spread_subsets(2, 4)
    [(0, 2), (1, 2), (2, 3)]
    """
    number = comb(num_frames, size)
    count = min(MAX_SUBSETS, number)
    ranks = [(2 * place + 1) * number // (2 * count) for place in range(count)]
    return [subset_at(rank, size, num_frames) for rank in ranks]


def random_subsets(size: int, num_frames: int) -> list[Subset]:
    """As many different subsets of frames, drawn with torch's global generator."""
    count = min(MAX_SUBSETS, comb(num_frames, size))
    drawn: dict[Subset, None] = {}
    while len(drawn) < count:
        drawn[tuple(sorted(torch.randperm(num_frames)[:size].tolist()))] = None
    return list(drawn)


class RelationHead(nn.Module):
    """Logits from the features of the frames: (B, T, D) -> (B, num_classes).

    Args:
        num_features: D.
        num_classes: width of the result.
        num_frames: T, 2 or more.
        frame_features: width to which every frame is reduced.
        hidden: width of the hidden layer of a relation.

    >>> RelationHead(1024, 174, 8)(torch.zeros(2, 8, 1024)).shape
    torch.Size([2, 174])
    """

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        num_frames: int,
        *,
        frame_features: int = 256,
        hidden: int = 256,
    ) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.reduce = nn.Linear(num_features, frame_features)
        self.relations = nn.ModuleDict(
            {
                str(size): nn.Sequential(
                    nn.ReLU(),
                    nn.Linear(size * frame_features, hidden),
                    nn.ReLU(),
                    nn.Linear(hidden, num_classes),
                )
                for size in range(num_frames, 1, -1)
            }
        )

    def forward(self, features: Tensor) -> Tensor:
        frames = self.reduce(features)  # (B, T, F)
        choose = random_subsets if self.training else spread_subsets
        return torch.stack(
            [
                relation(frames[:, list(subset)].flatten(1))
                for size, relation in self.relations.items()
                for subset in choose(int(size), self.num_frames)
            ]
        ).sum(dim=0)  # (B, K)


class RelationClassifier(VideoClassifier):
    """TRN: a 2D network over the frames of a clip, and their relations.

    Its head has layers for one number of frames, which is therefore fixed.

    Args:
        backbone, num_features, spec: as in `VideoClassifier`.

    Raises:
        ValueError: clips of fewer than 2 frames.
    """

    length_is_fixed = True

    def __init__(self, backbone: nn.Module, num_features: int, spec: ModelSpec) -> None:
        if spec.num_frames < 2:
            raise ValueError(
                f"{spec.name} relates frames to each other; num_frames is {spec.num_frames}, give "
                "2 or more"
            )
        super().__init__(backbone, num_features, spec)

    def make_head(self, num_classes: int) -> nn.Module:
        """A new head; it has no features of a clip before its last layers.

        Raises:
            ValueError: no classes.
        """
        if num_classes == 0:
            raise ValueError(
                f"{self.spec.name} relates the frames in its last layers and has no features of a "
                "clip before them: give 1 class or more, or take the family tsn"
            )
        return RelationHead(self.num_features, num_classes, self.num_frames)

    def last_layers(self) -> Iterator[nn.Linear]:
        assert isinstance(self.head, RelationHead)
        for relation in self.head.relations.values():
            assert isinstance(relation, nn.Sequential)
            last = relation[-1]
            assert isinstance(last, nn.Linear)
            yield last

    def frame_logits(self, features: Tensor) -> Tensor:
        """Logits of the clip as those of a single place: (B, T, D) -> (B, 1, num_classes)."""
        return super().frame_logits(features)[:, None]
