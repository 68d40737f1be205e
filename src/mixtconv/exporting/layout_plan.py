"""Which part of a network works on frames and which on clips, so that least is moved between them.

Every step of a followed network (`torch.fx`) either must see frames (a 3x3 convolution, say), must
see clips (a temporal operation), or may do either. A feature map that one makes and another in the
other layout takes is moved, which costs as much as it is large, once however many take it. The
cheapest choice is a minimum cut between those that must see frames and those that must see clips
(Ford and Fulkerson, 1956).

    frames side --- c ---> [map]  --- no price ---> users on the clip side
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import fx

_NO_PRICE = 2**30
_UNIT = 256
"""Values that count as 1, so that flows stay small whole numbers."""


def choose_clip_steps(
    nodes: Sequence[fx.Node],
    sizes: Mapping[fx.Node, int],
    *,
    must_be_clips: AbstractSet[fx.Node],
    may_be_clips: AbstractSet[fx.Node],
    joined: AbstractSet[fx.Node] = frozenset(),
) -> set[fx.Node]:
    """The steps that work on clips, so that least is moved.

    Args:
        nodes: the steps of a network, in their order.
        sizes: of every step, how many values it makes.
        must_be_clips: steps that see clips.
        may_be_clips: steps that can; the others see frames.
        joined: steps that engines compute together with the step before them, as an activation with
            its convolution; moving between the two costs twice.
    """
    edges = _Edges()
    number = {node: edges.new_place() for node in nodes}
    for node in nodes:
        if node in must_be_clips:
            edges.add(number[node], edges.sink, _NO_PRICE)
        elif node not in may_be_clips:
            edges.add(edges.source, number[node], _NO_PRICE)
        users = [number[user] for user in node.users]
        if users:
            price = 1 + sizes.get(node, 0) // _UNIT
            is_joined = len(users) == 1 and set(node.users) <= joined
            edges.add_move(number[node], users, price * (2 if is_joined else 1))
    before_cut = edges.reachable_from_source()
    return {node for node in nodes if number[node] not in before_cut}


class _Edges:
    """A network of flows."""

    source, sink = 0, 1

    def __init__(self) -> None:
        self._count = 2
        self._edges: list[tuple[int, int, int]] = []

    def new_place(self) -> int:
        self._count += 1
        return self._count - 1

    def add(self, start: int, end: int, capacity: int) -> None:
        self._edges.append((start, end, capacity))

    def add_move(self, maker: int, users: Iterable[int], price: int) -> None:
        """Moving what `maker` makes is paid once, in whichever direction it goes."""
        to_clips, to_frames = self.new_place(), self.new_place()
        self.add(maker, to_clips, price)
        self.add(to_frames, maker, price)
        for user in users:
            self.add(to_clips, user, _NO_PRICE)
            self.add(user, to_frames, _NO_PRICE)

    def reachable_from_source(self) -> set[int]:
        """The places before a minimum cut."""
        starts, ends, capacities = (
            np.array(each, dtype=np.int32) for each in zip(*self._edges, strict=True)
        )
        shape = (self._count, self._count)
        graph = csr_matrix((capacities, (starts, ends)), shape=shape)
        flow = maximum_flow(graph, self.source, self.sink).flow
        left = (graph - flow).tocsr()
        left.data = left.data > 0
        left.eliminate_zeros()
        return set(breadth_first_order(left, self.source, return_predecessors=False).tolist())
