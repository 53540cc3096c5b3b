"""Folders on the Hugging Face Hub, by the package ``huggingface_hub`` of the extra ``gmvae[hub]``.

Nothing of a model is known here: files go there and come from there as they are.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gmvae.support.errors import ArgumentError


def hub() -> Any:
    """The package.

    Raises:
        ArgumentError: it is not installed.
    """
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        raise ArgumentError(
            "`repo` expected the package huggingface_hub; got none installed. Install it: pip "
            "install 'gmvae[hub]'."
        ) from error


def download(repo: str, files: Sequence[str], revision: str | None = None) -> Path:
    """The folder in the Hub's cache that holds these files of a repository, and no others.

    Args:
        repo: ``owner/name``.
        files: their names.
        revision: a branch, a tag or a commit; None for the main branch.

    Raises:
        ArgumentError: huggingface_hub is not installed.
        FileNotFoundError: there is no such repository, or it cannot be reached.
    """
    package = hub()
    try:
        place = package.snapshot_download(repo, revision=revision, allow_patterns=list(files))
    # Of the package, whose errors of the net are OSErrors and those of a name ValueErrors.
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise FileNotFoundError(
            f"`name` expected a folder, or a repository of the Hugging Face Hub; got {repo!r}, "
            f"which is no folder, and the Hub answered: {reason} Check the name."
        ) from error
    return Path(place)


def upload(folder: Path, repo: str, private: bool | None, message: str) -> str:
    """Put the files of a folder into a repository, which is made where there is none.

    Args:
        folder: all of whose files go there.
        repo: ``owner/name``.
        private: whether others cannot see a new one; None for what the owner has set.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        ArgumentError: huggingface_hub is not installed.
    """
    api = hub().HfApi()
    api.create_repo(repo, private=private, exist_ok=True)
    return str(api.upload_folder(repo_id=repo, folder_path=str(folder), commit_message=message))
