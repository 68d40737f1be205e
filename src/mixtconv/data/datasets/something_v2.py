"""Something-Something v2 (Goyal et al., arXiv 1706.04261; Mahdisoltani et al., arXiv 1804.09235).

As first distributed: `something-something-v2-{train,validation,test,labels}.json` and the videos
`20bn-something-something-v2/<id>.webm`; today `labels/{train,validation,test,labels}.json`.

- An entry's `label` names the objects ("pulling a pen from left to right"). The class is its
  `template` without the square brackets ("Pulling [something] from left to right").
- `labels.json` maps the class to its number, written as a string; published weights count by it.
- The test list has no labels (its answers came later, as `test-answers.csv`, and are not read):
  scores are those on the validation list.
"""

import json
from pathlib import Path
from typing import Any

from mixtconv._names import composed
from mixtconv.data.datasets.lists import ListEntry, ParsedLists
from mixtconv.data.datasets.twentybn import NumberedDataset, register_numbered
from mixtconv.data.listing import ListPlace, Split
from mixtconv.data.text_tables import read_text

_BRACKETS = str.maketrans("", "", "[]")


def _read_list(path: Path, split: Split, parsed: ParsedLists) -> None:
    content = _read_json(path)
    if not isinstance(content, list):
        raise ValueError(f"{path}: it holds no list of videos; take the file as distributed")
    for number, entry in enumerate(content, 1):
        place = ListPlace(path.name, number, "entry")
        name = entry.get("id") if isinstance(entry, dict) else None
        template = entry.get("template") if isinstance(entry, dict) else None
        if isinstance(name, str | int) and isinstance(template, str) and str(name) and template:
            class_name = composed(template.translate(_BRACKETS))
            parsed.entries.append(ListEntry(str(name), class_name, split, place))
        else:
            parsed.malformed(place, 'an entry has texts "id" and "template"', split=split)


def _read_labels(path: Path) -> list[str]:
    """The classes by their numbers; the numbers of a subset may have gaps."""
    content = _read_json(path)
    if not isinstance(content, dict) or not all(
        isinstance(number, str | int) and str(number).isdecimal() for number in content.values()
    ):
        raise ValueError(
            f"{path}: it does not map classes to numbers; take the file as distributed"
        )
    if len({int(number) for number in content.values()}) < len(content):
        raise ValueError(f"{path}: two classes have one number; take the file as distributed")
    ordered = sorted(content, key=lambda name: int(content[name]))
    return [name.translate(_BRACKETS) for name in ordered]


def _read_json(path: Path) -> Any:
    text = read_text(path, fix="take the file as it is distributed")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: no JSON ({error}); take the file as it is distributed"
        ) from error


register_numbered(
    NumberedDataset(
        "something_v2",
        "Something-Something v2",
        "something-something-v2",
        ("20bn-something-something-v2",),
        suffix="json",
        read_list=_read_list,
        read_labels=_read_labels,
    )
)
