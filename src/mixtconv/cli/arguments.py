"""From a typed function to a command line: one parameter, one flag, one line of help.

Positional parameters become positional arguments, keyword-only ones flags (`num_frames` is
`--num-frames`), a dataclass parameter one flag for each of its fields. Help comes from the
docstrings: "Args:" of the function, the text under the field of a dataclass. `--config FILE` reads
any of them from YAML, with the parameters' names as keys.
"""

import re
import textwrap
from argparse import ArgumentError, HelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, signature
from typing import Any, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser, Namespace

Command = Callable[..., int]


class UsageError(ValueError):
    """A command line that cannot be understood."""


def parse_command(command: Command, arguments: Sequence[str], *, program: str) -> dict[str, Any]:
    """Read a command line into the arguments of a command.

    Args:
        command: a function with type hints and a docstring.
        arguments: what follows the command's name.
        program: how the command is called, for help and errors.

    Returns:
        Keyword arguments for `command`.

    Raises:
        UsageError: an unknown flag, a missing argument or a value of the wrong kind; one line.
    """
    parser = make_parser(command, program=program)
    try:
        values = parser.parse_args(_config_first(list(arguments)))
    except ArgumentError as error:
        raise UsageError(f"{_one_line(str(error))} (see {program} --help)") from error
    return {
        name: _build(hint, values) if is_dataclass(hint) else values[name]
        for name, hint in _parameters(command).items()
    }


def _config_first(arguments: list[str]) -> list[str]:
    """Put `--config FILE` before everything else, which then has the last word."""
    for index, word in enumerate(arguments):
        if word == "--config" and index + 1 < len(arguments):
            rest = arguments[:index] + arguments[index + 2 :]
            return [*arguments[index : index + 2], *rest]
        if word.startswith("--config="):
            return [word, *arguments[:index], *arguments[index + 1 :]]
    return arguments


def make_parser(command: Command, *, program: str) -> ArgumentParser:
    """The parser of a command, for reading its flags and printing its help."""
    about = docstring_parser.parse(command.__doc__ or "")
    parser = ArgumentParser(
        prog=program,
        description=about.short_description,
        exit_on_error=False,
        formatter_class=_Formatter,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these settings")
    helps = {item.arg_name: item.description or "" for item in about.params}
    for name, hint in _parameters(command).items():
        if is_dataclass(hint):
            _add_fields(parser, hint)
        else:
            parameter = signature(command).parameters[name]
            positional = parameter.kind is not Parameter.KEYWORD_ONLY
            default = MISSING if parameter.default is Parameter.empty else parameter.default
            _add(parser, name, hint, default=default, about=helps[name], positional=positional)
    return parser


class _Formatter(HelpFormatter):
    """Wider columns than the default, so that a flag and its help share a line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)


def _parameters(command: Command) -> dict[str, Any]:
    hints = get_type_hints(command)
    return {name: hints[name] for name in signature(command).parameters}


def _add_fields(parser: ArgumentParser, settings: Any) -> None:
    helps = {item.arg_name: item.description for item in _documented_fields(settings)}
    hints = get_type_hints(settings)
    for field in fields(settings):
        _add(
            parser,
            field.name,
            hints[field.name],
            default=field.default,
            about=helps[field.name],
            positional=field.default is MISSING,
        )


def _documented_fields(settings: Any) -> list[Any]:
    return docstring_parser.parse_from_object(settings).params


def _add(
    parser: ArgumentParser, name: str, hint: Any, *, default: Any, about: str, positional: bool
) -> None:
    text = " ".join(about.split()).replace("%", "%%")
    if positional:
        many = getattr(hint, "__origin__", None) is list
        kind = hint.__args__[0] if many else hint
        optional = {} if default is MISSING else {"nargs": "?", "default": default}
        parser.add_argument(name, type=kind, help=text, **({"nargs": "+"} if many else optional))
    elif hint is bool and default is False:
        parser.add_argument(_flag(name), action="store_true", help=text)
    elif default is MISSING:
        parser.add_argument(_flag(name), type=hint, required=True, help=text)
    else:
        shown = "" if default is None else f" Default {_plain(default)}."
        parser.add_argument(_flag(name), type=hint, default=default, help=text + shown)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _build(settings: Any, values: Namespace) -> Any:
    return settings(**{field.name: values[field.name] for field in fields(settings)})


def _one_line(message: str) -> str:
    """Say what the parser says in one line, in the words of the command line."""
    text = " ".join(message.split())
    wrong = re.search(r'Parser key "(\w+)": (.*)', text)
    if wrong is None:
        return text
    name, problem = wrong.groups()
    value = re.search(r"(?:Got value|Given value): (.*)$", problem)
    kinds = re.findall(r"Expected an? (.*?)(?:\. Got| - | Given|$)", problem)
    allowed = " or ".join(dict.fromkeys(_kind(kind) for kind in kinds)) or problem
    got = f"is {value.group(1)!r}" if value else "cannot be read"
    return textwrap.shorten(f"{_flag(name)} {got}; give {allowed}", 300)


def _kind(kind: str) -> str:
    """A type as a user would say it."""
    literal = re.search(r"Literal\[(.*)\]", kind)
    if literal:
        return literal.group(1).replace("'", "").replace(", ", " or ")
    names = {
        "<class 'int'>": "a whole number",
        "<class 'float'>": "a number",
        "<class 'bool'>": "true or false",
        "<class 'NoneType'>": "null",
        "<class 'list'>": "a list such as [0,1]",
    }
    return names.get(kind.strip(), kind.strip())
