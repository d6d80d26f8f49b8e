"""The config.pbtxt of a tower: the template of its target, filled in from the export record.

One configuration serves every version of a model in a repository, so what is written here must
hold for all of them; ``export.repository`` refuses versions for which it would not.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from faults import InvalidInput
from releases.engine_manifest import plan_name, plans_in
from releases.export_record import ExportRecord, version_folders
from releases.files import write_atomically
from releases.manifest import TowerName
from releases.token_lengths import token_step

PARTS = Path(__file__).resolve().parent.parent / "model_repository"
"""Where the templates and the runner lie."""

MAX_BATCH_SIZE: Mapping[TowerName, int] = {"query_tower": 64, "product_tower": 32}
"""Most rows of one execution, on every target. Gateway and indexer send fewer in one call."""

_CPU_INSTANCES = 1
"""Model instances on a CPU: two compete for the same cores and gained nothing in measurements."""

_CORNERS = ("smallest", "usual", "largest")


def config_text(record: ExportRecord, plans: Collection[str] = (), first_version: int | None = None) -> str:
    """Returns the config.pbtxt of a tower for the record's target.

    Args:
        record: any version of those that the configuration serves.
        plans: compute capabilities, such as ``9.0``, of which a TensorRT plan is there.
        first_version: the version that a plain load serves; the record's own unless told.
    """
    most = MAX_BATCH_SIZE[record.model]
    usual = {min(profile.batch[1], most) for profile in record.profiles}
    return _template(f"{record.model}.{record.target}").substitute(
        _sizes(record),
        version=first_version or record.version,
        instances=_CPU_INSTANCES,
        max_batch_size=most,
        preferred=", ".join(str(rows) for rows in sorted({*usual, most})),
        profiles=", ".join(f'"{number}"' for number in range(len(record.profiles))),
        plans=", ".join(f'{{ key: "{plan}" value: "{plan_name(plan)}" }}' for plan in plans),
        warm_up="".join(_warm_up(record)),
    )


def write_config(repository: Path, record: ExportRecord) -> None:
    """Writes the config.pbtxt of a model, naming the plans that lie in its version folders.

    Args:
        repository: the model repository.
        record: any version of the model; its folder is in place.
    """
    while True:
        folders = version_folders(repository, record.model)
        held = [plans_in(folder) for folder in folders]
        every = sorted(frozenset[str]().union(*held), key=float)
        text = config_text(record, every, _first_version(folders, held))
        write_atomically(repository / record.model / "config.pbtxt", text.encode())
        # Another machine may have added its plan meanwhile: who writes last must have seen all.
        if [plans_in(folder) for folder in folders] == held:
            return


def _first_version(folders: Sequence[Path], held: Sequence[Collection[str]]) -> int:
    """Returns the newest of the versions that serve on the most kinds of GPU; without plans, the newest.

    A gateway begins with a plain load, which takes this version; were it one without a plan for the
    GPU at hand, no other version could be loaded there either.
    """
    return max((len(plans), int(folder.name)) for folder, plans in zip(folders, held, strict=True))[1]


def require_profiles(record: ExportRecord) -> None:
    """Checks that a native tower's profiles cover every shape that Triton may send.

    Triton itself does not: it would load the version and fail on the first batch that no profile covers.

    Raises:
        InvalidInput: a shape is not covered, or a CPU tower has profiles.
    """
    if record.target == "cpu":
        if record.profiles:
            raise InvalidInput("the cpu target has none.", field="profiles", value=record.profiles)
        return
    most, longest = MAX_BATCH_SIZE[record.model], _longest(record)
    step = token_step(record.target)
    for length in (*range(step, longest, step), longest):
        for rows in range(1, most + 1):
            if not any(profile.covers(rows, length) for profile in record.profiles):
                raise InvalidInput(
                    f"no optimisation profile of {record.model} covers {rows} rows of {length} tokens.",
                    field="profiles",
                    value=record.profiles,
                    fix=f"let the profiles reach from 1 row of {min(step, longest)} tokens to "
                    f"{most} rows of {longest}.",
                )


def _longest(record: ExportRecord) -> int:
    return record.max_query_tokens if record.model == "query_tower" else record.max_product_tokens


def _warm_up(record: ExportRecord) -> Iterator[str]:
    """Yields a ``model_warmup`` entry for the corners of every profile, equal shapes once."""
    template, seen = _template(f"{record.model}.warm_up"), set()
    for number, profile in enumerate(record.profiles):
        for corner, rows, length in zip(_CORNERS, profile.batch, profile.length, strict=True):
            shape = min(rows, MAX_BATCH_SIZE[record.model]), length
            if shape not in seen:
                seen.add(shape)
                name = f"profile {number}, {corner}: {shape[0]} x {length}"
                yield template.substitute(_sizes(record), name=name, rows=shape[0], length=length)


def _sizes(record: ExportRecord) -> dict[str, int]:
    return {name: getattr(record, name) for name in ("dim", "views", "picture_size")}


def _template(name: str) -> string.Template:
    return string.Template((PARTS / "templates" / f"{name}.pbtxt").read_text(encoding="utf-8"))
