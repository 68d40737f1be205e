"""The commands of `mixtconv`, each imported when it is asked for, and what one returns."""

from collections.abc import Callable, Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Any, Literal, NamedTuple

from mixtconv._names import unknown_name

Format = Literal["table", "json"]


class Table(NamedTuple):
    """A table for people; `console.print_table` lays it out."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""


class Result(NamedTuple):
    """What a command has to say; a command that returns it has the flag `--format`."""

    content: Any
    """For programs, printed as JSON."""
    tables: Sequence[Table]
    """The same for people."""
    notes: Sequence[str] = ()
    """Sentences for people on standard error, in both forms."""
    status: int = 0
    """Exit status."""


Command = Callable[..., Result | int]
"""Returns its result, or prints by itself and returns the exit status."""

COMMANDS = {
    "demo": "train and compare models on a synthetic dataset, with a report",
    "synthesize": "write the synthetic dataset as video files",
    "prepare": "rewrite a dataset in a form that is fast to read",
    "check": "list every video of a dataset that cannot be used",
    "fit": "make the best recognizer of your clips that a time allows",
    "train": "train a recognizer on a folder or a CSV of videos",
    "embed": "write videos as vectors, by the features of a model",
    "search": "find the videos nearest to a video",
    "calibrate": "fit the scores of a model to labelled videos, and let it reject others",
    "tune-events": "choose how events are found in recordings, and store it in the model",
    "evaluate": "score a trained recognizer on labelled videos",
    "fuse": "combine the scores of several models with weights",
    "predict": "rank the labels of videos",
    "stream": "recognize frame by frame, from a camera, a URL, a file or a pipe",
    "serve": "answer over HTTP, with a page for people",
    "convert": "convert a centred model to a causal one, for streams",
    "export": "write a model for ONNX Runtime, OpenVINO or torch.export",
    "import": "make a model file from published weights",
    "zoo": "compare the cost of every system of the paper's tables with the published one",
    "profile": "measure what models cost: parameters, MACs by stage, time, memory",
    "ablate": "train temporal operations at the same budget and compare them",
    "visualize": "draw what a model learned, what it attends to and where it errs",
    "report": "write a page about one training run or several side by side",
    "bench": "measure speed against baselines",
    "completion": "print a script that completes commands and flags in a shell",
}
"""Name -> what it does; `find_command` has the function."""

SPINNING = {"stream", "serve", "bench", "profile"}
"""Commands whose threads spin while they wait for each other, as OpenMP's default is: a frame shall
not wait until they wake up, and times are measured as scripts see them. All others sleep."""


def find_command(name: str, arguments: Sequence[str]) -> tuple[Command, str, list[str]]:
    """The function of a command: the one of its name in the module of its name.

    A keyword of Python has an underscore appended, as `import_`, and dashes are underscores. A
    module with `SUBJECTS` has a function for each of them (`visualize kernels`).

    Returns:
        The function, how it is called, and its arguments.

    Raises:
        ValueError: there is no such command or subject; the near ones are named.
    """
    subjects, program = find_subjects(name), f"mixtconv {name}"
    module = _module_name(name)
    if subjects is None:
        function = getattr(import_module(module), module.rpartition(".")[2])
        return function, program, list(arguments)
    subject, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    if subject not in subjects:
        raise unknown_name(f"subject of {name}", subject, subjects)
    return getattr(import_module(module), subject), f"{program} {subject}", rest


def find_subjects(name: str) -> dict[str, str] | None:
    """The subjects of a command with what each does, None for a command without.

    Raises:
        ValueError: there is no such command; the near ones are named.
    """
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    return getattr(import_module(_module_name(name)), "SUBJECTS", None)


def _module_name(name: str) -> str:
    return f"mixtconv.cli.{name}_" if iskeyword(name) else f"mixtconv.cli.{name.replace('-', '_')}"
