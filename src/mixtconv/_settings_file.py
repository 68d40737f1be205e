"""Settings in YAML: known keys alone, each value of its setting's kind, faults by file and line.

A value is read as the kind that its setting has, not as what YAML makes of it: `1e-2` is a number
where one is wanted, and `32` is text where that is one of the choices.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from mixtconv._names import unknown_name


def read_settings(path: Path, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Read a YAML file of `key: value` lines.

    Args:
        path: the file.
        kinds: the settings that it may hold, with their types.

    Raises:
        ValueError: no such file, not YAML, an unknown setting (the message has the near ones), one
            that is set twice, or a value of the wrong kind.
    """
    values: dict[str, Any] = {}
    for key_node, node in _entries(path):
        place = f"{path}, line {key_node.start_mark.line + 1}"
        key = str(key_node.value)
        if key not in kinds:
            raise ValueError(f"{place}: {unknown_name('setting', key, kinds)}")
        if key in values:
            raise ValueError(f"{place}: {key} is set a second time; remove one of the two")
        try:
            values[key] = _read(node, kinds[key])
        except _WrongKindError as error:
            allowed = kind_in_words(kinds[key])
            raise ValueError(f"{place}: {key} is {_shown(node)}; give {allowed}") from error
    return values


def kind_in_words(kind: Any) -> str:
    """What a setting takes, in words.

    >>> kind_in_words(int | None), kind_in_words(list[list[str]])
    ('a whole number or null', 'a list of lists of names')
    >>> kind_in_words(list[Literal["head", "inner"]])
    'a list of head or inner'
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(parts)
    if origin is list:
        return f"a list of {_several(parts[0])}"
    return " or ".join(map(kind_in_words, parts)) if parts else _WORDS[kind]


def _several(kind: Any) -> str:
    if get_origin(kind) is list:
        return f"lists of {_several(get_args(kind)[0])}"
    return {str: "names", int: "whole numbers", float: "numbers"}.get(kind) or kind_in_words(kind)


_WORDS = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    NoneType: "null",
}


class _WrongKindError(Exception):
    """A value that cannot be read as the kind that is wanted."""


def _entries(path: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    if not path.is_file():
        raise ValueError(f"no settings file {path}; give the path of a YAML file that exists")
    try:
        node = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ValueError(f"{place}: not YAML: {getattr(error, 'problem', error)}") from error
    if node is not None and not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{path} holds no settings; write lines such as epochs: 10")
    return [] if node is None else node.value


def _read(node: yaml.Node, kind: Any) -> Any:
    """The value of a node as the kind that is wanted."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):  # null first: else it could be text
        for part in sorted(parts, key=lambda part: part is not NoneType):
            with suppress(_WrongKindError):
                return _read(node, part)
    elif origin is list and isinstance(node, yaml.SequenceNode):
        return [_read_item(item, parts[0]) for item in node.value]
    elif isinstance(node, yaml.ScalarNode):
        is_null = node.tag == "tag:yaml.org,2002:null"
        if node.value in parts or (kind is str and not is_null):
            return node.value
        if kind is NoneType and is_null:
            return None
        if kind is bool and node.tag == "tag:yaml.org,2002:bool":
            return node.value.lower() in ("true", "yes", "on")
        if kind in (int, float):
            with suppress(ValueError):
                return kind(node.value)
    raise _WrongKindError


def _read_item(node: yaml.Node, kind: Any) -> Any:
    """An item of a list: of names also `null` and `~`, which stand for no setting there."""
    if kind is str and isinstance(node, yaml.ScalarNode) and node.value:
        return node.value
    return _read(node, kind)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value) if node.value else "empty"
    return "a list" if isinstance(node, yaml.SequenceNode) else "several settings"
