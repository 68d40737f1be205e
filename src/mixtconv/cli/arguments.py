"""From a typed function to a command line: one parameter, one flag, one line of help.

jsonargparse makes the parser. Parameters and fields without a default are positional, the others
flags (`num_frames` is `--num-frames`); each dataclass, and each that it inherits from, is a group.
Help is "Args:" of the function and the text under the field of a dataclass. Added here: `--config`
and `--recipe`, which set what the command line does not; messages of one line.
"""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import partial
from inspect import get_annotations, signature
from itertools import pairwise, zip_longest
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace, set_parsing_settings

from mixtconv._settings_file import kind_in_words, read_settings
from mixtconv.cli.commands import Command, Format, Result
from mixtconv.cli.console import add_message_flags


class UsageError(ValueError):
    """A command line that cannot be understood."""


def parse_command(command: Command, arguments: Sequence[str], *, program: str) -> dict[str, Any]:
    """Read a command line into the arguments of a command.

    Args:
        command: a function with type hints and a docstring.
        arguments: what follows the command's name.
        program: how the command is called, for help and errors.

    Returns:
        Keyword arguments for `command`; an optional dataclass whose positional is left out is None.
        And `format`, if what the command returns is printed.

    Raises:
        UsageError: an unknown flag, a missing argument or a value of the wrong kind; one line.
        ValueError: a settings file or a recipe that cannot be used.
    """
    kinds = setting_kinds(command)
    parser = make_parser(command, program=program)
    words: list[str] = []
    try:
        settings, words = _read_files(arguments, kinds)
        values = parser.parse_args(_complete_switches(words, parser), Namespace(settings))
    except argparse.ArgumentError as error:
        message = _one_line(" ".join(str(error).split()), words, parser, kinds)
        raise UsageError(f"{message} (see {program} --help)") from error
    return {
        name: values[name] if group is None else _build(group, vars(values))
        for name, group in _parameters(command).items()
    }


def _read_files(words: Sequence[str], kinds: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings in the files that a command line names, and its other words.

    `action="config"` of jsonargparse is not used to read: a file would override the flags before
    it, `precision: 32`, `data: no` and an empty `wandb:` would be refused, and a fault would not be
    named by its line.
    """
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    flags.add_argument("--config")
    if "recipe" in kinds:
        flags.add_argument("--recipe")
    files, others = flags.parse_known_args(words)
    settings = {} if files.config is None else read_settings(Path(files.config), kinds)
    recipe = getattr(files, "recipe", None) or settings.get("recipe")
    if "recipe" in kinds and recipe is not None:
        from mixtconv.training.recipes import load_recipe

        settings = {**load_recipe(recipe).values, **settings, "recipe": recipe}
    return settings, others


def _complete_switches(words: Sequence[str], parser: ArgumentParser) -> list[str]:
    """Write `--fast` as `--fast=true`: else the word after it would be taken for its value."""
    switches = [action for action in parser._actions if action.nargs == "?"]
    bare = {flag for action in switches for flag in action.option_strings}
    return [
        f"{word}=true" if word in bare and following not in ("true", "false") else word
        for word, following in zip_longest(words, words[1:])
    ]


def make_parser(command: Command, *, program: str) -> ArgumentParser:
    """The parser of a command, for reading its flags and printing its help.

    Args:
        command: the function.
        program: how the command is called.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    about = docstring_parser.parse(command.__doc__ or "")
    parser = _Parser(
        prog=program,
        description=" ".join((about.description or "").split()),
        exit_on_error=False,
        formatter_class=partial(_Formatter, kinds=setting_kinds(command)),  # type: ignore[arg-type]
        allow_abbrev=False,  # _read_files would not see a shortened --config
        print_config="--print-config",
    )
    parser.add_argument(
        "--config", action="config", metavar="FILE", help="YAML file with any of these settings."
    )
    hints = _hints(command)
    groups = {name: group for name, group in _parameters(command).items() if group is not None}
    parameters = signature(command).parameters.values()
    lists = [
        item.name
        for item in parameters
        if item.kind is not item.KEYWORD_ONLY and get_origin(hints[item.name]) is list
    ]
    parser.add_function_arguments(
        command, as_group=False, as_positional=True, skip={*groups, *lists}
    )
    for name in lists:  # jsonargparse would take one word, [a,b]
        text = next(item.description for item in about.params if item.arg_name == name)
        parser.add_argument(name, type=get_args(hints[name])[0], nargs="+", help=text)
    if returns_result(command):
        text = "How the result is printed, table or json."
        parser.add_argument("--format", type=Format, default="table", help=text)
    add_message_flags(parser)
    for name, group in groups.items():
        _add_fields(parser, group, is_optional=group is not hints[name])
    return parser


class _Parser(ArgumentParser):
    """A parser, and groups, whose flags have dashes and whose switches need no value."""

    def add_argument(self, *names: Any, **kwargs: Any) -> Any:  # jsonargparse copies it to groups
        flags = [name.replace("_", "-") if name[0] == "-" else name for name in names]
        flags = [flag for flag in flags if flag[-1] != "+"]  # which would append to a list
        if kwargs.get("default") is False:
            kwargs["nargs"] = "?"
        return super().add_argument(*flags, **kwargs)


class _Formatter(DefaultHelpFormatter):
    """Help in the terminal's width: each flag with its kind, its text and its default."""

    def __init__(self, prog: str, kinds: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(prog, max_help_position=28, **kwargs)
        self._kinds = kinds

    def _format_usage(self, usage: Any, actions: Iterable[argparse.Action], *rest: Any) -> str:
        needed = [action for action in actions if action.required or not action.option_strings]
        text = super()._format_usage(usage, needed, *rest)
        return text.replace(self._prog, f"{self._prog} [options]", 1)

    def _get_help_string(self, action: argparse.Action) -> str:
        default = action.default
        if default is None or default is False or default == argparse.SUPPRESS:
            return action.help or ""
        shown = str(default).lower() if default is True else default
        return f"{action.help} Default {shown}."

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return _metavar(self._kinds.get(action.dest, str))


def _metavar(kind: Any) -> str:
    """A kind as the placeholder of a value.

    >>> _metavar(int | None), _metavar(list[list[str]] | None), _metavar(Literal["a", "b"] | None)
    ('INT', '[[TEXT,...],...]', '{a,b}')
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"{{{','.join(parts)}}}"
    if origin is list:
        return f"[{_metavar(parts[0])},...]"
    if parts:
        return " | ".join(_metavar(part) for part in parts if part is not NoneType)
    return {str: "TEXT"}.get(kind, kind.__name__.upper())


def _add_fields(parser: ArgumentParser, settings: type, *, is_optional: bool) -> None:
    """Add the fields of a dataclass, those of each class that it inherits from in a group."""
    layers = [layer for layer in reversed(settings.__mro__) if is_dataclass(layer)]
    owners = {name: layer for layer in layers for name in get_annotations(layer)}
    for layer in layers:
        others = {field.name for field in fields(layer) if owners[field.name] is not layer}
        if len(others) < len(fields(layer)):
            parser.add_class_arguments(layer, as_positional=True, skip=others)
    if is_optional:
        for action in parser._actions:
            if action.dest in owners and not action.option_strings:
                action.required, action.metavar = False, f"[{action.dest}]"


def returns_result(command: Command) -> bool:
    """Whether a command leaves printing to its caller, who needs `--format`."""
    return get_type_hints(command)["return"] is Result


def _hints(command: Command) -> dict[str, Any]:
    """The parameters of a command with their types, and `--format` if it returns its result."""
    hints = get_type_hints(command)
    if hints.pop("return") is Result:
        hints["format"] = Format
    return hints


def _parameters(command: Command) -> dict[str, Any]:
    """The names in `_hints`; those that are dataclasses, or may be one, with the class."""
    return {
        name: next(filter(is_dataclass, [hint, *get_args(hint)]), None)
        for name, hint in _hints(command).items()
    }


def setting_kinds(command: Command) -> dict[str, Any]:
    """Every setting of a command, with its type."""
    hints = _hints(command)
    kinds: dict[str, Any] = {}
    for name, settings in _parameters(command).items():
        kinds |= {name: hints[name]} if settings is None else get_type_hints(settings)
    return kinds


def _build(settings: Any, values: Mapping[str, Any]) -> Any:
    kwargs = {field.name: values[field.name] for field in fields(settings)}
    required = [field.name for field in fields(settings) if field.default is MISSING]
    return None if any(kwargs[name] is None for name in required) else settings(**kwargs)


def _one_line(
    text: str, words: Sequence[str], parser: ArgumentParser, kinds: Mapping[str, Any]
) -> str:
    """What the parser says of the words of a command line, in terms of these."""
    flags = {action.dest: action.option_strings[:1] for action in parser._actions}
    shown = {name: flag[0] if flag else name for name, flag in flags.items()}
    if missing := re.fullmatch("the following arguments are required: (.*)", text):
        names = sorted(
            (shown[name] for name in missing[1].split(", ")), key=lambda it: it[0] == "-"
        )
        return f"missing: {', '.join(names)}"
    if valueless := re.fullmatch("argument (-[^ ]+): expected one argument", text):
        name = valueless[1].strip("-").replace("-", "_")
        wanted = kind_in_words(kinds[name]).removesuffix(" or null") if name in kinds else "a file"
        return f"{valueless[1]} needs a value; give {wanted}"
    if left := re.match("unrecognized arguments: (.*)", text):
        explain = _unknown_flag if left[1].startswith("-") else _surplus
        return explain(left[1], words, parser)
    if wrong := re.match(r'Parser key "(\w+)":.*(?:Got|Given) value: ?(.*)$', text):
        name, value = wrong[1], wrong[2] if wrong[2].startswith("[") else repr(wrong[2])
        return f"{shown[name]} is {value}; give {kind_in_words(kinds[name])}"
    return text


def _unknown_flag(text: str, words: Sequence[str], parser: ArgumentParser) -> str:
    """What is wrong with words that are left over, of which the first is a flag."""
    flag = re.split("[ =]", text)[0]
    name = flag.strip("-").replace("-", "_")
    if name in _positionals(parser):
        return f"{flag} is not a flag; give {name} as a word of its own"
    known = sorted(
        action.option_strings[0]
        for action in parser._actions
        if action.option_strings and action.help != argparse.SUPPRESS
    )
    # compared without the dashes, which would make all flags alike
    bare = {known_flag.lstrip("-"): repr(known_flag) for known_flag in known}
    near = get_close_matches(name.replace("_", "-"), bare, n=2)
    meant = " or ".join(bare[word] for word in near)
    hint = f"did you mean {meant}?" if near else f"known are {', '.join(known)}"
    return f"unknown flag {flag!r}; {hint}"


def _surplus(text: str, words: Sequence[str], parser: ArgumentParser) -> str:
    """What is wrong with words that are left over, of which the first may have spaces."""
    word = max((each for each in words if f"{text} ".startswith(f"{each} ")), key=len, default=text)
    switches = {
        flag for action in parser._actions if action.nargs == "?" for flag in action.option_strings
    }
    for before, after in pairwise(words):
        if after == word and before in switches:
            return f"{before} is {word!r}; give true or false, or nothing after it"
    taken = _positionals(parser)
    wanted = f"takes {', '.join(taken)} and flags" if taken else "takes flags alone"
    return f"{word!r} is a word too many: {parser.prog} {wanted}; quote a name that has spaces"


def _positionals(parser: ArgumentParser) -> list[str]:
    return [action.dest for action in parser._actions if not action.option_strings]
