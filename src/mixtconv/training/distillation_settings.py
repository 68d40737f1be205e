"""Settings of distillation: what a student learns from, and how much. Loads without torch."""

from dataclasses import dataclass

from mixtconv._names import flag, refuse_unless


@dataclass(frozen=True)
class DistillationSettings:
    """Learning from teachers, or of two students from each other."""

    teacher: str | list[str] | None = None
    """Models whose scores are learned beside the labels, one or [a,b,...], of which the scores are
    averaged: model files, folders of runs, hf:owner/name or exported files, which see each clip as
    the student does; or scores files of mixtconv evaluate --scores, whose scores of a video stay
    the same."""
    mutual: str | None = None
    """Model of a second student that is trained beside the first, each on the other's scores, such
    as that of --model or a larger one; it is kept as partner.safetensors."""
    teacher_weight: float = 0.5
    """Share of the loss that the scores of teachers have; the labels have the rest."""
    temperature: float = 2.0
    """By which logits are divided before the scores are compared: more shows more of how likely the
    wrong classes are."""
    teacher_features: float = 0.0
    """Factor of the distance of pooled features to those of the teachers, through a linear layer
    that is not kept; 0 is off."""

    def __post_init__(self) -> None:
        refuse_unless(lambda value: value > 0, "more than 0", self, "temperature")
        refuse_unless(lambda value: 0 < value <= 1, "more than 0, at most 1", self, _WEIGHT)
        refuse_unless(lambda value: value >= 0, "0 or more", self, "teacher_features")
        names = self.teacher_names
        if self.teacher is not None and not all(names or [""]):
            raise ValueError(
                "--teacher names no model: give one, several as [a,b], or leave it out"
            )
        if len(set(names)) < len(names):
            raise ValueError("--teacher names a model twice: give each one once")

    @property
    def teacher_names(self) -> list[str]:
        """The teachers as they are named."""
        if self.teacher is None:
            return []
        return [self.teacher] if isinstance(self.teacher, str) else list(self.teacher)

    def check_distillation(self) -> None:
        """Refuse settings of a run, which has these among its own, that do not go with teachers.

        Raises:
            ValueError: there are teachers or a second student, and a setting that excludes them.
        """
        values = vars(self)
        train = values["train"]
        if train == "head":
            for name in ("teacher", "mutual"):
                if values[name] is not None:
                    raise ValueError(
                        f"{flag(name)} scores clips, and --train head trains on features that are "
                        "computed once: leave one out"
                    )
        if self.mutual is None:
            return
        if train != "all":
            raise ValueError(
                f"--mutual trains two whole networks, and --train is {train}: leave one out"
            )
        if values["frame_labels"]:
            raise ValueError(
                "--mutual compares scores of clips, and with --frame-labels frames have their own: "
                "leave one out, or give a --teacher"
            )


_WEIGHT = "teacher_weight"
