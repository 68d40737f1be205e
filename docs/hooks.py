"""What MkDocs adds to the pages of this folder, all of it made from the project itself.

- `commands.md`: the help of every command; `changelog.md` and `contributing.md`: those of the root
- `<!-- picture NAME: what it shows -->` becomes the picture of that name that `make_pictures.py`
  made; where none was made, and on GitHub, there is nothing
- `<!-- notebook -->` becomes a link to the page as a Jupyter notebook
"""

import json
import os
import re
from itertools import zip_longest
from pathlib import Path
from posixpath import basename, dirname, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from mixtconv.cli.arguments import make_parser
from mixtconv.cli.commands import COMMANDS, find_command, find_subjects

NOTEBOOK = "<!-- notebook -->"
PICTURE = re.compile(r"<!-- picture (?P<name>\S+): (?P<caption>.*?) -->", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    pages = {"commands.md": commands_page()}
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        text = (Path(config.docs_dir).parent / name).read_text(encoding="utf-8")
        pages[name.lower()] = text.replace("](docs/", "](")
    for file in files.documentation_pages():
        if NOTEBOOK in file.content_string:
            pages[_notebook_path(file)] = notebook(file.content_string)
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the pictures where they belong."""

    def embed(match: re.Match[str]) -> str:
        path, caption = f"pictures/{match['name']}", " ".join(match["caption"].split())
        if files.get_file_from_path(path) is None:
            return ""
        return f"![{caption}]({relpath(path, dirname(page.file.src_uri) or '.')})\n\n*{caption}.*"

    link = f"[Download it as a notebook]({basename(_notebook_path(page.file))})."
    return PICTURE.sub(embed, markdown).replace(NOTEBOOK, link)


def notebook(markdown: str) -> str:
    """A page as a Jupyter notebook: its Python in cells of code, the rest as text."""
    cells: list[dict[str, object]] = []
    parts = re.split(r"^```python\n(.*?)^```\n", markdown, flags=re.MULTILINE | re.DOTALL)
    for text, code in zip_longest(parts[::2], parts[1::2], fillvalue=""):
        words = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).strip()
        cells.append({"cell_type": "markdown", "source": words})
        if code:
            cells.append({"cell_type": "code", "outputs": [], "execution_count": None})
            cells[-1]["source"] = code.strip()
    about = {"metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps({"cells": [{**cell, "metadata": {}} for cell in cells], **about}, indent=1)


def _notebook_path(file: File) -> str:
    return file.src_uri.removesuffix(".md") + ".ipynb"


def commands_page() -> str:
    """The help of every command, as it is printed."""
    os.environ["COLUMNS"] = "80"
    parts = [
        "# Commands\n\nWhat `mixtconv COMMAND --help` prints. A word in capitals is a value that "
        "you give.\n"
    ]
    for name, purpose in COMMANDS.items():
        parts.append(f"## mixtconv {name}\n\n{purpose[0].upper()}{purpose[1:]}.\n")
        subjects = find_subjects(name)
        for subject in subjects or [""]:
            function, program, _ = find_command(name, [subject] if subject else [])
            if subjects:
                parts.append(f"### {program.removeprefix('mixtconv ')}\n")
            text = make_parser(function, program=program).format_help().replace("\b", "")
            parts.append(f"```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)
