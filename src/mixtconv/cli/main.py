"""The command `mixtconv`: finds the command asked for, imports that one alone, and runs it.

Exit status: 0 done, 1 the work found a fault it was asked to look for, 2 the input cannot be used
(one line on standard error says why), 130 stopped by Ctrl-C.
"""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from keyword import iskeyword

from mixtconv._names import unknown_name
from mixtconv._version import __version__

Command = Callable[..., int]

COMMANDS = {
    "demo": "train and compare models on a synthetic dataset, with a report",
    "synthesize": "write the synthetic dataset as video files",
    "prepare": "rewrite a dataset in a form that is fast to read",
    "check": "list every video of a dataset that cannot be used",
    "train": "train a recognizer on a folder or a CSV of videos",
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_overview())
        return 0
    if words[0] in ("-V", "--version"):
        sys.stdout.write(f"mixtconv {__version__}\n")
        return 0
    try:
        return _run(words[0], words[1:])
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if os.environ.get("MIXTCONV_TRACEBACK"):
            raise
        sys.stderr.write(f"mixtconv {words[0]}: {_one_line(error)}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"mixtconv {words[0]}: stopped\n")
        return 130


def find_command(name: str, arguments: Sequence[str]) -> tuple[Command, str, list[str]]:
    """The function of a command: the one of its name in the module of its name.

    A keyword of Python has an underscore appended, as `import_`. A module with `SUBJECTS` has a
    function for each of them (`visualize kernels`).

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
    return f"mixtconv.cli.{name}_" if iskeyword(name) else f"mixtconv.cli.{name}"


def _run(name: str, arguments: list[str]) -> int:
    subjects = find_subjects(name)
    if subjects is not None and (not arguments or arguments[0] in ("-h", "--help")):
        sys.stdout.write(_subjects_overview(name, subjects))
        return 0
    command, program, words = find_command(name, arguments)
    from mixtconv.cli.arguments import parse_command
    from mixtconv.cli.console import set_up_logging

    values = parse_command(command, words, program=program)
    set_up_logging()
    return command(**values)


def _overview() -> str:
    return (
        "usage: mixtconv COMMAND ...\n\n"
        "Action recognition in video at the cost of a 2D network.\n\n"
        f"commands:\n{_listed(COMMANDS)}\n"
        "mixtconv COMMAND --help lists the flags of a command; mixtconv --version the version.\n"
    )


def _subjects_overview(name: str, subjects: dict[str, str]) -> str:
    return (
        f"usage: mixtconv {name} SUBJECT ...\n\n"
        f"Subjects, to {COMMANDS[name]}:\n{_listed(subjects)}\n"
        f"mixtconv {name} SUBJECT --help lists the flags of a subject.\n"
    )


def _listed(purposes: dict[str, str]) -> str:
    width = max(map(len, purposes))
    return "".join(f"  {name:{width}}  {purpose}\n" for name, purpose in purposes.items())


def _one_line(error: ValueError | OSError | ModuleNotFoundError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; pip install mixtconv installs all that this needs"
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{place}"
    return " ".join(str(error).split())
