"""From a typed function to a command line: one parameter, one flag, one line of help.

Positional parameters become positional arguments, keyword-only ones flags (`num_frames` is
`--num-frames`), a dataclass parameter one flag for each of its fields. Help comes from the
docstrings: "Args:" of the function, the text under the field of a dataclass. `--config FILE` reads
any of them from YAML, with the parameters' names as keys; a command with a flag `--recipe` takes
from a recipe what neither the command line nor that file says.
"""

import re
import textwrap
from argparse import ArgumentError, HelpFormatter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser, Namespace

from mixtconv._settings_file import read_settings

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
    given = _given_by_files(command, arguments)
    parser = make_parser(command, program=program, given=given)
    words, switched_off = _without_switched_off(command, arguments)
    parser.set_defaults(**{**given, **dict.fromkeys(switched_off, False)})
    try:
        values = parser.parse_args(words)
    except ArgumentError as error:
        shown = _names_shown(parser)
        raise UsageError(f"{_one_line(str(error), shown)} (see {program} --help)") from error
    return {
        name: _build(hint, values) if is_dataclass(hint) else values[name]
        for name, hint in _parameters(command).items()
    }


def _given_by_files(command: Command, words: Sequence[str]) -> dict[str, Any]:
    """The settings in the files that a command line names; `--config` wins over a recipe."""
    kinds = _kinds(command)
    config = _value_of("--config", words)
    given = {} if config is None else read_settings(Path(config), kinds)
    recipe = _value_of("--recipe", words) or given.get("recipe")
    if "recipe" not in kinds or recipe is None:
        return given
    from mixtconv.training.recipes import load_recipe

    return {**load_recipe(recipe).values, **given}


def _value_of(flag: str, words: Sequence[str]) -> str | None:
    """What follows a flag on a command line, the last time that it stands there."""
    found = None
    for index, word in enumerate(words):
        if word == flag and index + 1 < len(words):
            found = words[index + 1]
        elif word.startswith(f"{flag}="):
            found = word.removeprefix(f"{flag}=")
    return found


def _without_switched_off(command: Command, arguments: Sequence[str]) -> tuple[list[str], set[str]]:
    """Take `--fast false` out of a command line, and the `true` out of `--fast true`.

    A flag that is off by default needs no value; but a file may have turned it on.

    Returns:
        The other words, and the names of what is turned off.
    """
    switches = {_flag(name): name for name in _switches(command)}
    words, off = [], set()
    rest = list(arguments)
    while rest:
        word, joined, value = rest[0].partition("=")
        taken = 1
        if word in switches and not joined and rest[1:2] in (["true"], ["false"]):
            value, taken = rest[1], 2
        if word in switches and value == "false":
            off.add(switches[word])
        else:
            words.append(word if word in switches and value == "true" else rest[0])
        rest = rest[taken:]
    return words, off


def make_parser(
    command: Command, *, program: str, given: Mapping[str, Any] | None = None
) -> ArgumentParser:
    """The parser of a command, for reading its flags and printing its help.

    Args:
        command: the function.
        program: how the command is called.
        given: values of arguments that the command line may then leave out.
    """
    given = given or {}
    about = docstring_parser.parse(command.__doc__ or "")
    parser = ArgumentParser(
        prog=program,
        description=about.short_description,
        exit_on_error=False,
        formatter_class=_Formatter,
        allow_abbrev=False,  # a shortened --recipe would not be seen by _given_by_files
    )
    parser.add_argument("--config", type=str, help="YAML file with any of these settings")
    helps = {item.arg_name: item.description or "" for item in about.params}
    for name, hint in _parameters(command).items():
        if is_dataclass(hint):
            _add_fields(parser, hint, given)
        else:
            parameter = signature(command).parameters[name]
            positional = parameter.kind is not Parameter.KEYWORD_ONLY
            default = MISSING if parameter.default is Parameter.empty else parameter.default
            if default is MISSING:
                default = given.get(name, MISSING)
            _add(parser, name, hint, default=default, about=helps[name], positional=positional)
    return parser


class _Formatter(HelpFormatter):
    """Wider columns than the default, so that a flag and its help share a line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)


def _parameters(command: Command) -> dict[str, Any]:
    hints = get_type_hints(command)
    return {name: hints[name] for name in signature(command).parameters}


def _kinds(command: Command) -> dict[str, Any]:
    """Everything that a command can be told, with its type."""
    kinds: dict[str, Any] = {}
    for name, hint in _parameters(command).items():
        if is_dataclass(hint):
            hints = get_type_hints(hint)
            kinds |= {field.name: hints[field.name] for field in fields(hint)}
        else:
            kinds[name] = hint
    return kinds


def _switches(command: Command) -> list[str]:
    """The arguments that are flags without a value: they are off unless said."""
    own = {name: item.default for name, item in signature(command).parameters.items()}
    for hint in _parameters(command).values():
        if is_dataclass(hint):
            own |= {field.name: field.default for field in fields(hint)}
    return [name for name, default in own.items() if default is False]


def _add_fields(parser: ArgumentParser, settings: Any, given: Mapping[str, Any]) -> None:
    helps = {item.arg_name: item.description or "" for item in _documented_fields(settings)}
    hints = get_type_hints(settings)
    for field in fields(settings):
        is_positional = field.default is MISSING
        _add(
            parser,
            field.name,
            hints[field.name],
            default=given.get(field.name, MISSING) if is_positional else field.default,
            about=helps[field.name],
            positional=is_positional,
        )


def _documented_fields(settings: Any) -> list[Any]:
    """The texts under the fields of a dataclass, and of those that it is made from."""
    classes = [each for each in settings.__mro__ if is_dataclass(each)]
    return [item for each in classes for item in docstring_parser.parse_from_object(each).params]


def _add(
    parser: ArgumentParser, name: str, hint: Any, *, default: Any, about: str, positional: bool
) -> None:
    text = " ".join(about.split()).replace("%", "%%")
    if positional:
        many = getattr(hint, "__origin__", None) is list
        kind = hint.__args__[0] if many else hint
        number = ("+" if many else None) if default is MISSING else ("*" if many else "?")
        optional = {} if default is MISSING else {"default": default}
        parser.add_argument(name, type=kind, help=text, nargs=number, **optional)
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


def _names_shown(parser: ArgumentParser) -> dict[str, str]:
    """Arguments as the user types them: flags with their dashes, the others by their names."""
    return {action.dest: (action.option_strings or [action.dest])[0] for action in parser._actions}


def _one_line(message: str, shown: Mapping[str, str]) -> str:
    """Say what the parser says in one line, in the words of the command line."""
    text = " ".join(message.split())
    missing = re.fullmatch(r"the following arguments are required: ([\w, ]+)", text)
    if missing is not None:
        names = [shown[name] for name in missing.group(1).split(", ")]
        return f"missing: {', '.join(names)}"
    wrong = re.search(r'Parser key "(\w+)": (.*)', text)
    if wrong is None:
        return text
    name, problem = wrong.groups()
    value = re.search(r"(?:Got value|Given value): (.*)$", problem)
    kinds = re.findall(r"Expected an? (.*?)(?:\. Got| - | Given|$)", problem)
    allowed = " or ".join(dict.fromkeys(_kind(kind) for kind in kinds)) or problem
    got = f"is {value.group(1)!r}" if value else "cannot be read"
    return textwrap.shorten(f"{shown[name]} {got}; give {allowed}", 300)


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
