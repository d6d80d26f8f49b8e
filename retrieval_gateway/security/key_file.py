"""The file of API keys: hashes only, replaced as a whole, for its owner's eyes."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from faults import InvalidInput, NotFound
from releases.files import atomic_path, file_lock, storage_errors
from retrieval_gateway.security.api_keys import ApiKey

SETTING = "VITRINE_KEY_FILE"
_MODE = 0o600
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_LOCK_S = 5.0


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _all_different(self) -> _Content:
        for what in ("name", "key_id"):
            if len({getattr(key, what) for key in self.keys}) < len(self.keys):
                raise ValueError(f"two keys have the same {what}")
        return self


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Reads the keys.

    Raises:
        InvalidInput: the file is missing, unreadable, damaged, or others than its owner may write to it.
    """
    try:
        if path.stat().st_mode & _OTHERS_WRITE:
            raise InvalidInput(
                "others may write to it, and so let themselves in",
                field=SETTING,
                value=str(path),
                fix=f"chmod 600 {path}",
            )
        return _Content.model_validate_json(path.read_bytes()).keys
    except OSError as error:
        fix = f"Name a file that this user may read; `vitrine keys add NAME --file {path}` makes one."
        raise InvalidInput(
            f"cannot be read: {error.strerror}", field=SETTING, value=str(path), fix=fix
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"is no file of keys: {'.'.join(str(part) for part in first['loc'])} {first['msg']}"
        fix = "Restore it, or remove it and make new keys."
        raise InvalidInput(problem, field=SETTING, value=str(path), fix=fix) from error


def add_key(path: Path, key: ApiKey) -> None:
    """Adds a key; makes the file where it is missing.

    Raises:
        InvalidInput: there is a key of that name, or the file is not good.
        StorageFailed: it cannot be written.
    """

    def added(keys: Sequence[ApiKey]) -> Sequence[ApiKey]:
        if any(key.name == other.name for other in keys):
            fix = "Choose another name, or revoke that one first."
            raise InvalidInput("there is a key of this name", field="name", value=key.name, fix=fix)
        return [*keys, key]

    _change(path, added)


def revoke_key(path: Path, name: str) -> None:
    """Removes a key; gateways that follow the file refuse it within about a second.

    Raises:
        NotFound: there is no key of that name.
        InvalidInput, StorageFailed: as ``add_key``.
    """

    def without(keys: Sequence[ApiKey]) -> Sequence[ApiKey]:
        kept = [key for key in keys if key.name != name]
        if len(kept) == len(keys):
            raise NotFound("no such key", field="name", value=name, fix="`vitrine keys list` shows them.")
        return kept

    _change(path, without)


def _change(path: Path, change: Callable[[Sequence[ApiKey]], Sequence[ApiKey]]) -> None:
    with storage_errors(path.parent, "the keys are unchanged"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path.parent, _LOCK_S):
            content = _Content(keys=tuple(change(read_keys(path) if path.exists() else ())))
            with atomic_path(path) as temporary:
                temporary.touch(mode=_MODE)
                temporary.write_text(content.model_dump_json(indent=1) + "\n", encoding="utf-8")
