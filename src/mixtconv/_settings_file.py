"""Settings in YAML: known keys alone, each value of its setting's kind, faults by file and line.

A value is read as the kind that its setting has, not as what YAML makes of it: `1e-2` is a number
where one is wanted, and `32` is text where that is one of the choices.
"""

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from mixtconv._names import unknown_name


def read_settings(path: Path, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Read a YAML file of `key: value` lines.

    Args:
        path: the file.
        kinds: the settings that it may hold, with their types.

    Raises:
        ValueError: no such file, no YAML, an unknown setting (the message has the near ones), one
            that stands there twice, or a value of the wrong kind.
    """
    values: dict[str, Any] = {}
    for key_node, node in _lines(path):
        place = f"{path}, line {key_node.start_mark.line + 1}"
        key = str(key_node.value)
        if key not in kinds:
            raise ValueError(f"{place}: {unknown_name('setting', key, kinds)}")
        if key in values:
            raise ValueError(f"{place}: {key} stands there for the second time; leave out one")
        try:
            values[key] = _read(node, kinds[key])
        except _WrongKindError as error:
            allowed = _said(kinds[key])
            raise ValueError(f"{place}: {key} is {_shown(node)}; give {allowed}") from error
    return values


class _WrongKindError(Exception):
    """A value that cannot be read as the kind that is wanted."""


def _lines(path: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    if not path.is_file():
        raise ValueError(f"no settings file {path}; give the path of a YAML file that exists")
    try:
        node = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{path}{line}: no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: no YAML: {error}") from error
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{path} holds no settings; write lines such as epochs: 10")
    return node.value


def _read(node: yaml.Node, kind: Any) -> Any:
    """The value of a node as the kind that is wanted."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _read_first(node, sorted(parts, key=lambda part: part is not types.NoneType))
    if origin is list and isinstance(node, yaml.SequenceNode):
        return [_read(item, parts[0]) for item in node.value]
    if origin is Literal and isinstance(node, yaml.ScalarNode) and node.value in parts:
        return node.value
    if kind in _SCALARS and isinstance(node, yaml.ScalarNode):
        return _read_scalar(node, kind)
    raise _WrongKindError


def _read_first(node: yaml.Node, kinds: list[Any]) -> Any:
    """The value as the first of the kinds that it can be."""
    for kind in kinds:
        try:
            return _read(node, kind)
        except _WrongKindError:
            continue
    raise _WrongKindError


def _read_scalar(node: yaml.ScalarNode, kind: type) -> Any:
    is_null = node.tag == "tag:yaml.org,2002:null"
    if kind is types.NoneType and is_null:
        return None
    if kind is str and not is_null:
        return node.value
    if kind is bool and node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() in ("true", "yes", "on")
    if kind in (int, float):
        try:
            return kind(node.value)
        except ValueError as error:
            raise _WrongKindError from error
    raise _WrongKindError


_SCALARS = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    types.NoneType: "null",
}
"""Kind -> how a user would say it."""


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value) if node.value else "empty"
    return "a list" if isinstance(node, yaml.SequenceNode) else "several settings"


def _said(kind: Any) -> str:
    """A kind in words.

    >>> _said(int | None), _said(list[list[str]]), _said(Literal["head", "inner"])
    ('a whole number or null', 'a list of lists of names', 'head or inner')
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(parts)
    if origin in (Union, types.UnionType):
        return " or ".join(_said(part) for part in parts)
    if origin is list:
        return f"a list of {_several(parts[0])}"
    return _SCALARS[kind]


def _several(kind: Any) -> str:
    if get_origin(kind) is list:
        return f"lists of {_several(get_args(kind)[0])}"
    return {str: "names", int: "whole numbers", float: "numbers"}[kind]
