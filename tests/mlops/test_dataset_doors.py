"""Uploads through the API: good ones become versions, bad ones leave nothing behind."""

import io
import pickle
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from accounts.models import Tenant, User
from millrace.kernel.tenancy import platform_scope
from mlops.models import Dataset, DatasetVersion
from tests import factories


def upload(api: Any, content: bytes, *, format: str = "csv", name: str = "parts", **form: Any) -> Any:
    """POST a multipart form."""
    fields = {"file": SimpleUploadedFile("data", content), "name": name, "format": format, **form}
    return Client().post("/v1/datasets", fields, headers=api.headers)


def rows_csv(rows: int = 40) -> bytes:
    """Two classes of two columns."""
    lines = ["a,b,label"] + [f"{row},{row * 2},{'low' if row % 2 else 'high'}" for row in range(rows)]
    return "\n".join(lines).encode()


def images_zip(members: dict[str, bytes]) -> bytes:
    """An archive of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def png(value: int, side: int = 8) -> bytes:
    """A grey square."""
    out = io.BytesIO()
    Image.fromarray(np.full((side, side), value, np.uint8)).save(out, "PNG")
    return out.getvalue()


def huge_png() -> bytes:
    """A header that claims 60,000 × 60,000 pixels, and next to nothing behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def good_zip(**more: bytes) -> bytes:
    """Two classes of pictures, and whatever else."""
    members = {f"{name}/{value}.png": png(value) for name in ("bolt", "nut") for value in range(10)}
    return images_zip(members | more)


def declares_a_gigabyte() -> bytes:
    """An archive whose last member claims 1 GiB and holds a few bytes."""
    raw = bytearray(good_zip(**{"bolt/zz.png": png(1)}))
    struct.pack_into("<I", raw, raw.rindex(b"PK\x01\x02") + 24, 2**30)
    return bytes(raw)


def nothing_was_kept() -> bool:
    """Whether no data set exists."""
    with platform_scope(reason="assert"):
        return not Dataset.objects.exists() and not DatasetVersion.objects.exists()


def test_an_upload_becomes_a_version_and_the_same_content_is_the_same_version(api: Any) -> None:
    first = upload(api, rows_csv())
    again = upload(api, rows_csv())
    other = upload(api, rows_csv(44))

    assert first.status_code == again.status_code == other.status_code == 201
    assert first.json()["new"] is True
    assert again.json()["new"] is False
    assert again.json()["id"] == first.json()["id"]
    assert other.json()["number"] == 2
    assert other.json()["dataset"] == first.json()["dataset"]
    assert first.json()["statistics"]["held_out_rows"] == 8


def test_builtin_digits_with_report_and_pictures(api: Any) -> None:
    version = api.post("/v1/datasets", {"builtin": "digits"}).json()
    base = f"/v1/datasets/{version['dataset']}/versions/1"

    report = api.get(f"{base}/report").json()
    sample = api.get(f"{base}/samples/0", side=64)

    assert version["rows"] == 1797
    assert "CC BY" in version["licence"]
    assert report["report"]["class_balance"]["rows"]["0"] == 178
    assert Image.open(io.BytesIO(sample.content)).size == (64, 64)
    assert api.get(f"{base}/samples/1797").status_code == 404
    assert api.get(f"{base}/samples/0", side="x").status_code == 422


def test_the_same_idempotency_key_answers_the_same(api: Any) -> None:
    first = api.post("/v1/datasets", {"builtin": "digits"}, key="k1")
    again = api.post("/v1/datasets", {"builtin": "digits"}, key="k1")

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()


def test_a_stranger_meets_404_and_a_viewer_403(api: Any, tenant: Tenant, charlie: User) -> None:
    version = api.post("/v1/datasets", {"builtin": "digits"}).json()
    with platform_scope(reason="test"):
        other = Tenant.objects.exclude(pk=tenant.pk).get()
    stranger, reader = factories.api_client(other), factories.api_client(tenant, ["read"])

    assert stranger.get(f"/v1/datasets/{version['dataset']}").status_code == 404
    assert stranger.get("/v1/datasets").json()["data"] == []
    assert reader.get(f"/v1/datasets/{version['dataset']}").status_code == 200
    refused = reader.post("/v1/datasets", {"builtin": "mnist-5k"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    with platform_scope(reason="assert"):
        assert Dataset.objects.count() == 1


BAD = {
    "truncated zip": (lambda: good_zip()[:-60], "image-zip", "archive_invalid"),
    "no zip": (lambda: b"hello", "image-zip", "archive_invalid"),
    "bomb": (lambda: good_zip(**{"bolt/bomb.png": b"\0" * 20_000_000}), "image-zip", "archive_ratio"),
    "path traversal": (lambda: good_zip(**{"../../etc/passwd.png": png(1)}), "image-zip", "archive_entry_name"),
    "absolute path": (lambda: good_zip(**{"/etc/cron.d/x.png": png(1)}), "image-zip", "archive_entry_name"),
    "huge png header": (lambda: good_zip(**{"bolt/huge.png": huge_png()}), "image-zip", "image_too_large"),
    "pickle for a picture": (
        lambda: good_zip(**{"bolt/odd.png": pickle.dumps({"layers": [1]})}),
        "image-zip",
        "image_invalid",
    ),
    "pickle for a table": (lambda: pickle.dumps({"layers": [1]}), "csv", None),
    "declares a gigabyte": (declares_a_gigabyte, "image-zip", "archive_invalid"),
    "wrong width": (lambda: good_zip(**{"bolt/odd.png": png(1, side=9)}), "image-zip", "image_shape"),
    "ragged csv": (lambda: rows_csv() + b"\n1,2,3,low", "csv", "width_wrong"),
    "too narrow csv": (lambda: rows_csv() + b"\n1,low", "csv", "width_wrong"),
    "nan": (lambda: rows_csv() + b"\nNaN,2,low", "csv", "value_not_finite"),
    "infinity": (lambda: rows_csv() + b"\ninf,2,low", "csv", "value_not_finite"),
    "text for number": (lambda: rows_csv() + b"\nabc,2,low", "csv", "value_not_number"),
    "no label": (lambda: rows_csv() + b"\n1,2,", "csv", "label_missing"),
    "utf-16": (lambda: rows_csv().decode().encode("utf-16"), "csv", "encoding_utf16"),
    "latin-1": (lambda: rows_csv() + "\n1,2,größe".encode("latin-1"), "csv", "encoding_invalid"),
    "empty": (lambda: b"", "csv", None),
    "one class": (lambda: b"a,label\n" + b"1,x\n" * 30, "csv", "classes_too_few"),
    "deep json": (lambda: b'{"inputs": ' + b"[" * 10_000 + b"]" * 10_000 + b', "label": 1}\n', "jsonl", None),
    "bad json": (lambda: b'{"inputs": [1, 2], "label"\n', "jsonl", "json_invalid"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_uploads_are_problems_and_leave_nothing(api: Any, case: str) -> None:
    make, format, reason = BAD[case]

    refused = upload(api, make(), format=format)

    assert refused.status_code == 422, refused.content
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "dataset_invalid"
    assert refused.json()["field"] == "file"
    if reason:
        assert refused.json()["reason"] == reason
    assert nothing_was_kept()


def test_oversized_and_malformed_forms_are_refused(api: Any, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 2048
    too_large = upload(api, b"x" * 3_000_000)
    over_limit = upload(api, b"a,label\n" + b"1,x\n" * 1000)
    broken = Client().post(
        "/v1/datasets", b"--nothing", content_type="multipart/form-data; boundary=other", headers=api.headers
    )
    no_file = Client().post("/v1/datasets", {"name": "x", "format": "csv"}, headers=api.headers)

    assert (too_large.status_code, too_large.json()["code"]) == (413, "too_large")
    assert (over_limit.status_code, over_limit.json()["reason"]) == (422, "too_large")
    assert broken.status_code in (400, 422)
    assert (no_file.status_code, no_file.json()["field"]) == (422, "file")
    assert nothing_was_kept()


def test_a_json_body_of_ten_thousand_brackets_is_malformed(api: Any) -> None:
    deep = Client().post(
        "/v1/datasets", b"[" * 10_000 + b"]" * 10_000, content_type="application/json", headers=api.headers
    )
    unknown = api.post("/v1/datasets", {"builtin": "imagenet"})
    both = api.post("/v1/datasets", {"builtin": "digits", "surprise": 1})

    assert (deep.status_code, deep.json()["code"]) == (400, "malformed")
    assert unknown.status_code == both.status_code == 422
    assert nothing_was_kept()


@pytest.mark.parametrize("declared", [str(2**30), "9" * 40, "-1"])
def test_a_form_that_declares_a_gigabyte_is_refused_before_it_is_read(api: Any, declared: str) -> None:
    class Untouched(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

    refused = Client(raise_request_exception=False).request(
        REQUEST_METHOD="POST",
        PATH_INFO="/v1/datasets",
        CONTENT_TYPE="multipart/form-data; boundary=x",
        CONTENT_LENGTH=declared,
        HTTP_AUTHORIZATION=api.headers["Authorization"],
        **{"wsgi.input": Untouched()},
    )

    assert (refused.status_code, refused.json()["code"]) == (413, "too_large"), refused.content
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert nothing_was_kept()
