"""The keys of a file of published weights, sorted by their place in a recognizer."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mixtconv.models.importing.formats import Place, WeightFormat, recognize
from mixtconv.models.importing.matching import shape_text


class Contents:
    """The weights of a file, by the names that they have in recognizers of mixtconv.

    Args:
        path: the file, for errors.
        tensors: the weights as the file names them.

    Raises:
        ValueError: two keys for one weight, or temporal operations that no recognizer here has.
    """

    def __init__(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        self.path = path
        self.tensors = tensors
        self.form: WeightFormat = recognize(tensors)
        places = {key: self.form.place(key) for key in tensors}
        self.backbone = self._named(places, "backbone")
        """Name in the backbone -> key."""
        self.head = self._named(places, "head")
        """`weight` and `bias` -> key."""
        self.non_local = self._named(places, "non-local")
        """Name of a weight of a non-local block -> key."""
        self.inserted = self._named(places, "inserted")
        """Name in the backbone of a weight of what is put into a transformer -> key."""
        self.wrapped = list(dict.fromkeys(place.wraps for place in places.values() if place.wraps))
        """Modules that a temporal operation comes before."""
        self.unused = tuple(key for key, place in places.items() if place.part == "outside")
        """Keys in neither backbone nor last layer."""
        self.filters = self._filters(places)
        """Module -> kernel size -> key of the temporal filter; sizes in rising order."""
        blocks = [module for module in self.wrapped if module.rpartition(".")[2].isdigit()]
        stages = [module for module in self.wrapped if "." not in module]
        if blocks or stages:
            kind = "shifts whole blocks" if blocks else "pools over time"
            raise ValueError(
                f"{self.path} {kind} ({(blocks + stages)[0]}.net), which no recognizer here does; "
                "of temporal operations, those inside residual branches are imported"
            )

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """Sizes of the temporal filters before a module; the same before each."""
        return tuple(next(iter(self.filters.values()), {}))

    @property
    def has_trunk(self) -> bool:
        """Whether there is a backbone, and not what was trained on a frozen one alone."""
        of_trunk = [name for name in self.backbone if not name.startswith("norm.")]
        return self.form.family is None or bool(of_trunk)

    @property
    def described(self) -> str:
        """The kind of recognizer in the file, in words."""
        if self.form.family is not None:
            return f"the adapters of {self.form.title}"
        if self.filters:
            sizes = ", ".join(map(str, self.kernel_sizes))
            return f"{len(self.filters)} temporal convolutions of kernel sizes {sizes}"
        if self.wrapped:
            also = " and non-local blocks" if self.non_local else ""
            return f"a TSM, with a shift before {len(self.wrapped)} convolutions{also}"
        if self.non_local:
            return "a TSN with non-local blocks"
        return "a TSN, with no temporal operation before any convolution"

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of the tensor that the file has under a key."""
        return tuple(self.tensors[key].shape)

    def _named(self, places: dict[str, Place], part: str) -> dict[str, str]:
        named: dict[str, str] = {}
        for key, place in places.items():
            if place.part != part:
                continue
            if place.name in named:
                raise ValueError(
                    f"{self.path} has {named[place.name]} and {key}, which are the same "
                    "weight; leave out one"
                )
            named[place.name] = key
        return named

    def _filters(self, places: dict[str, Place]) -> dict[str, dict[int, str]]:
        filters: dict[str, dict[int, str]] = {}
        for key, place in places.items():
            if place.part == "filter":
                shape = self.shape(key)
                if len(shape) != 5 or (shape[1], *shape[3:]) != (1, 1, 1):
                    raise ValueError(
                        f"{key} of {self.path} is {shape_text(shape)}; a temporal filter is "
                        "(C, 1, k, 1, 1)"
                    )
                before = filters.setdefault(place.name, {})
                if shape[2] in before:
                    raise ValueError(
                        f"{self.path}: {before[shape[2]]} and {key} are of one kernel size"
                    )
                before[shape[2]] = key
        ordered = {module: dict(sorted(sizes.items())) for module, sizes in filters.items()}
        if len({tuple(sizes) for sizes in ordered.values()}) > 1:
            first, *others = ordered
            odd = next(
                module for module in others if tuple(ordered[module]) != tuple(ordered[first])
            )
            raise ValueError(
                f"{self.path} has temporal filters of sizes {list(ordered[first])} before {first} "
                f"and {list(ordered[odd])} before {odd}: a key is missing or too many"
            )
        return ordered
