"""Locating a model file: a path, a folder with one, or a repository of the Hugging Face hub."""

from difflib import get_close_matches
from pathlib import Path

import huggingface_hub
from huggingface_hub.utils import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

MODEL_FILE = "model.safetensors"
"""Name of the model file in a run's folder and in a repository."""

HUB_PREFIX = "hf:"

CONNECTION_ERRORS = (OSError, huggingface_hub.errors.HTTPError)
"""By its version the library raises errors of requests, which are OSErrors, or of httpx."""

_HUB_ERRORS = (*CONNECTION_ERRORS, EntryNotFoundError, HFValidationError)


def find_model_file(source: str | Path) -> Path:
    """The model file of a name; one of the hub is downloaded unless the cache has it.

    Args:
        source: a model file, a folder with a `model.safetensors`, or `hf:owner/name`, followed by
            `@revision` for a branch, tag or commit other than main.

    Raises:
        ValueError: no such file (the message has near names), or the hub does not provide it.
    """
    name = str(source)
    if name.startswith(HUB_PREFIX):
        repository, _, revision = name.removeprefix(HUB_PREFIX).partition("@")
        offline = not is_hub_reachable()
        try:
            found = huggingface_hub.hf_hub_download(
                repository, MODEL_FILE, revision=revision or None, local_files_only=offline
            )
        except _HUB_ERRORS as error:
            raise explain_hub_error(error, repository, revision) from error
        return Path(found)
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        if (path / MODEL_FILE).is_file():
            return path / MODEL_FILE
        others = sorted(path.glob("*.safetensors")) or sorted(path.glob(f"*/{MODEL_FILE}"))
        hint = f", but {', '.join(map(str, others[:3]))}: give it" if others else ""
        raise ValueError(f"there is no model file {MODEL_FILE} in the folder {path}{hint}")
    raise ValueError(
        f"there is no model file {path}{_near(path)}; give a model.safetensors, the folder of one, "
        "or hf:owner/name"
    )


def _near(path: Path) -> str:
    """A hint at model files and their folders beside the path with a similar name."""
    beside = path.parent
    if not beside.is_dir():
        return ""
    files = {item.name for item in beside.glob("*.safetensors")}
    folders = {item.parent.name for item in beside.glob(f"*/{MODEL_FILE}")}
    near = get_close_matches(path.name, sorted(files | folders), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(str(beside / name) for name in near)}?)" if near else ""


def is_hub_reachable() -> bool:
    """Whether the hub answers; one quick request, since a download retries for half a minute."""
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=10)
    except CONNECTION_ERRORS:
        return False
    return True


def explain_hub_error(error: Exception, repository: str, revision: str | None) -> ValueError:
    """The reason why the hub provided no model, in one line."""
    name = f"{HUB_PREFIX}{repository}" + (f"@{revision}" if revision else "")
    reasons: dict[type[Exception], str] = {
        HFValidationError: "that is no name of a repository; give hf:owner/name",
        GatedRepoError: "its owner grants access on request; ask there, then hf auth login",
        RepositoryNotFoundError: "the hub has no such repository, or it is private (hf auth login)",
        RevisionNotFoundError: f"the repository has no revision {revision}",
        LocalEntryNotFoundError: (
            "the hub cannot be reached and the cache does not hold it; download its "
            f"{MODEL_FILE} elsewhere and give the file"
        ),
        EntryNotFoundError: f"the repository holds no {MODEL_FILE}, so no model of mixtconv",
    }
    reason = next(
        (text for kind, text in reasons.items() if isinstance(error, kind)),
        f"the hub gave {type(error).__name__}: {' '.join(str(error).split())[:120]}",
    )
    return ValueError(f"cannot fetch {name}: {reason}")
