"""`mixtconv completion SHELL`."""

import sys
from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish", "tcsh"]) -> int:
    """Print a script that completes commands, flags, choices and file names in a shell.

    For bash, add eval "$(mixtconv completion bash)" to ~/.bashrc; for zsh, write it to a file
    _mixtconv in a folder of $fpath; for fish, write it to
    ~/.config/fish/completions/mixtconv.fish; for tcsh, evaluate it in ~/.tcshrc.

    Args:
        shell: The shell.
    """
    from jsonargparse import ArgumentParser
    from shtab import FILE

    from mixtconv.cli.arguments import make_parser, setting_kinds
    from mixtconv.cli.commands import COMMANDS, find_command, find_subjects

    def parser_of(name: str, *subject: str) -> ArgumentParser:
        function, program, _ = find_command(name, subject)
        parser = make_parser(function, program=program)
        kinds = setting_kinds(function)
        for action in parser._actions:
            if kinds.get(action.dest) in (str, str | None, list[str]):  # may be a file's name
                action.complete = FILE  # type: ignore[attr-defined]
        return parser

    root = ArgumentParser(prog="mixtconv")
    commands = root.add_subcommands()
    for name, purpose in COMMANDS.items():
        subjects = find_subjects(name)
        parser = parser_of(name) if subjects is None else ArgumentParser()
        commands.add_subcommand(name, parser, help=purpose)
        if subjects is not None:
            inner = parser.add_subcommands()
            for subject, drawn in subjects.items():
                inner.add_subcommand(subject, parser_of(name, subject), help=drawn)
    sys.stdout.write(root.get_completion_script(f"shtab-{shell}") + "\n")
    return 0
