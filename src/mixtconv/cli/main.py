"""The command `mixtconv`: finds the command asked for, imports that one alone, and runs it.

Exit status: 0 done, 1 the work found a fault it was asked to look for, 2 the input cannot be used
(one line on standard error says why), 130 stopped by Ctrl-C, 143 by SIGTERM where that is waited
for (the line says what is kept, and how it goes on).
"""

import os
import sys
from collections.abc import Sequence

from mixtconv._names import visible
from mixtconv._optional import install_line
from mixtconv._processes import is_rank_zero, naming_dead_readers, wait_passively
from mixtconv._version import __version__
from mixtconv.cli.commands import COMMANDS, SPINNING, Format, find_command, find_subjects


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
        with naming_dead_readers():
            return _run(words[0], words[1:])
    except (ValueError, OSError, ModuleNotFoundError) as error:
        from mixtconv.cli.console import VERBOSE

        if os.environ.get("MIXTCONV_TRACEBACK") or set(VERBOSE) & set(words):
            raise
        sys.stderr.write(visible(f"mixtconv {words[0]}: {_one_line(error)}") + "\n")
        return 2
    except KeyboardInterrupt as stop:
        from mixtconv._stopping import in_one_line, signal_of

        if is_rank_zero():
            line = in_one_line(stop, words)
            sys.stderr.write(visible(f"mixtconv {words[0]}: {line}") + "\n")
        return 128 + signal_of(stop)


def _run(name: str, arguments: list[str]) -> int:
    if name not in SPINNING:
        wait_passively()  # before anything loads torch, which reads it once
    subjects = find_subjects(name)
    if subjects is not None and (not arguments or arguments[0] in ("-h", "--help")):
        sys.stdout.write(_subjects_overview(name, subjects))
        return 0
    command, program, words = find_command(name, arguments)
    from mixtconv.cli.arguments import parse_command, returns_result
    from mixtconv.cli.console import Messages, print_result, set_up_logging
    from mixtconv.cli.outputs import refuse_outputs

    messages, words = Messages.take(words)
    values = parse_command(command, words, program=program)
    if is_rank_zero():
        refuse_outputs(name, {**values, "log_file": messages.log_file})
    set_up_logging(messages)
    shown_as: Format = values.pop("format") if returns_result(command) else "table"
    result = command(**values)
    return result if isinstance(result, int) else print_result(result, shown_as)


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
        name = error.name or str(error)
        if name.partition(".")[0] == "mixtconv":
            return f"a part of mixtconv is missing, {name}: install it again"
        return f"{name} is not installed: {install_line(name)}"
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{place}"
    return " ".join(str(error).split())
