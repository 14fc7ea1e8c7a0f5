"""Data sets: read with limits, stored under the hash of their content, versioned."""

from collections.abc import Callable
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from millrace.kernel import storage
from millrace.kernel.audit import Actor, record
from mlops.datasets import (
    BUILTINS,
    DEFAULT_LIMITS,
    FORMATS,
    DatasetProblem,
    Limits,
    ParsedDataset,
    load_builtin,
    parse_upload,
)
from mlops.errors import DatasetInvalid
from mlops.models import Dataset, DatasetVersion

_LONGEST_DETAIL = 500


def dataset_upload(
    *, tenant_id: UUID, name: str, source: BinaryIO, format: str, layout: str = "auto", actor: Actor
) -> tuple[DatasetVersion, bool]:
    """Read an upload and keep it as a version of the tenant's data set `name`; says whether the version is new.

    Parses outside any transaction. Raises DatasetInvalid; then nothing was kept.
    """
    limits = Limits(upload_bytes=min(settings.UPLOAD_MAX_BYTES, DEFAULT_LIMITS.upload_bytes))
    parsed = _parsed(lambda: parse_upload(source, format=format, layout=layout, limits=limits))
    return dataset_keep(
        tenant_id=tenant_id, name=name, parsed=parsed, source=f"upload:{format}", licence="", actor=actor
    )


def dataset_builtin(*, tenant_id: UUID, builtin: str, name: str = "", actor: Actor) -> tuple[DatasetVersion, bool]:
    """A data set that an installed package carries, as the tenant's own. Raises DatasetInvalid."""
    parsed = _parsed(lambda: load_builtin(builtin))
    entry = BUILTINS[builtin]
    return dataset_keep(
        tenant_id=tenant_id,
        name=name or builtin,
        parsed=parsed,
        source=f"builtin:{builtin} ({entry.source})",
        licence=entry.licence,
        actor=actor,
    )


def dataset_keep(
    *, tenant_id: UUID, name: str, parsed: ParsedDataset, source: str, licence: str, actor: Actor
) -> tuple[DatasetVersion, bool]:
    """Store checked examples; the same content in the same data set is the version that is there already."""
    content = parsed.canonical_bytes
    key = storage.content_key(content, ".npz")
    storage.keep(key, content)
    with transaction.atomic():
        dataset = _locked(tenant_id, name)
        known = dataset.versions.filter(content_hash=parsed.content_hash).first()
        if known is not None:
            return known, False
        number = (dataset.versions.aggregate(last=Max("number"))["last"] or 0) + 1
        version = DatasetVersion.objects.create(
            tenant_id=tenant_id,
            dataset=dataset,
            number=number,
            content_hash=parsed.content_hash,
            storage_key=key,
            source=source[:120],
            licence=licence,
            rows=len(parsed),
            shape=parsed.shape.as_json(),
            statistics=parsed.statistics(),
            report=parsed.report,
            created_by=str(actor),
        )
        record(
            actor=actor, action="dataset.version", target=version, tenant_id=tenant_id,
            data={"dataset": dataset.public_id, "number": number, "content_hash": parsed.content_hash},
        )  # fmt: skip
    return version, True


def dataset_open(version: DatasetVersion) -> ParsedDataset:
    """The stored examples of a version."""
    with storage.open_blob(version.storage_key) as blob:
        return ParsedDataset.from_canonical(blob.read())


def _locked(tenant_id: UUID, name: str) -> Dataset:
    """The data set of that name, made if need be, and its row locked: versions are numbered one at a time."""
    Dataset.objects.bulk_create([Dataset(tenant_id=tenant_id, name=name)], ignore_conflicts=True)
    return Dataset.objects.select_for_update().get(tenant_id=tenant_id, name=name)


def _parsed(read: Callable[[], ParsedDataset]) -> ParsedDataset:
    try:
        return read()
    except DatasetProblem as problem:
        raise DatasetInvalid(
            problem.detail[:_LONGEST_DETAIL],
            field="builtin" if problem.code.startswith("builtin") else "file",
            reason=problem.code,
            problem_count=problem.problem_count,
            problems=[row.as_json() for row in problem.problems],
        ) from problem


def known_formats() -> list[str]:
    """The formats of uploads that are understood."""
    return sorted(FORMATS)
