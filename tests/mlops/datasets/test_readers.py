"""CSV and JSON Lines: what is read, and how each fault is named."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.datasets import DatasetProblem, Limits, parse_upload


def csv(text, **options):
    raw = text if isinstance(text, bytes) else text.encode()
    return parse_upload(io.BytesIO(raw), format="csv", **options)


def jsonl(text, **options):
    raw = text if isinstance(text, bytes) else text.encode()
    return parse_upload(io.BytesIO(raw), format="jsonl", **options)


def rows_of(values=3, count=12):
    return "".join(
        f"{row % 2}," + ",".join(str(row + place / 2) for place in range(values)) + "\n" for row in range(count)
    )


def test_csv_with_the_label_first():
    parsed = csv(rows_of())

    assert parsed.layout == "features"
    assert parsed.inputs.dtype == np.float32
    assert parsed.inputs[3].tolist() == [3.0, 3.5, 4.0]
    assert parsed.class_names == ("0", "1")
    assert parsed.labels[:4].tolist() == [0, 1, 0, 1]


def test_csv_with_a_column_named_label_anywhere():
    text = "width;Label;height\n" + "".join(f"{row};{'ab'[row % 2]};{row * 2}\n" for row in range(10))

    parsed = csv(text)

    assert parsed.class_names == ("a", "b")
    assert parsed.column_names == ("width", "height")
    assert parsed.inputs[4].tolist() == [4.0, 8.0]


def test_square_rows_of_bytes_are_pictures_unless_told_otherwise():
    text = "".join(
        f"{row % 2}," + ",".join(str((row * 7 + place) % 256) for place in range(64)) + "\n" for row in range(10)
    )

    assert csv(text).inputs.shape == (10, 8, 8)
    assert csv(text).inputs.dtype == np.uint8
    assert csv(text, layout="features").inputs.shape == (10, 64)


def test_labels_that_a_spreadsheet_rewrote_are_one_class():
    text = "5,1,2\n5.0,2,3\n05,3,4\n10,4,5\n10,5,6\n9,6,7\n9,7,8\n"

    assert csv(text).class_names == ("5", "9", "10")


@pytest.mark.parametrize(
    ("text", "code", "row", "column"),
    [
        ("", "empty", None, None),
        ("label,a\n", "empty", None, None),
        ("a,b,c\n1,2,3\n", "label_column", 1, "label"),
        ("label,Label,c\n1,2,3\n", "label_column", 1, "label"),
        ("1,2,3\n0,1\n" + "1,2,3\n", "width_wrong", 2, None),
        ("label,a\n0,1\n,2\n", "label_missing", 3, "label"),
        ("label,a\n0,1\n1,x\n", "value_not_number", 3, "a"),
        ("label,a\n0,1\n1,1_000\n", "value_not_number", 3, "a"),
        ("label,a\n0,1\n1,\u0661\n", "value_not_number", 3, "a"),
        ("label,a\n0,1\n1,nan\n", "value_not_finite", 3, "a"),
        ("label,a\n0,1\n1,-inf\n", "value_not_finite", 3, "a"),
        ("label,a\n0,1\n1,1e999\n", "value_not_finite", 3, "a"),
        ("label,a\n0,1\n1,1e300\n0,2\n1,3\n0,5\n", "value_out_of_range", 2, "1"),
        ("label,a\n0,1\n0,2\n0,3\n0,4\n0,5\n", "classes_too_few", None, None),
        ("label,a\n0,1\n1,2\n", "rows_too_few", None, None),
        ('label,a\n0,"1\n', "width_wrong", 2, None),
        ("x\n1\n", "width_wrong", 1, None),
    ],
)
def test_csv_faults_are_named(text, code, row, column):
    with pytest.raises(DatasetProblem) as caught:
        csv(text)

    assert (caught.value.code, caught.value.row, caught.value.column) == (code, row, column)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_recognised_with_and_without_its_mark(encoding):
    with pytest.raises(DatasetProblem) as caught:
        csv("label,a\n1,2\n0,3\n".encode(encoding))

    assert caught.value.code == "encoding_utf16"


def test_latin_1_is_refused_with_its_row():
    with pytest.raises(DatasetProblem) as caught:
        csv(b"label,a\ngut,1\n" + "schön,2\n".encode("latin-1"))

    assert (caught.value.code, caught.value.row) == ("encoding_invalid", 3)


def test_the_utf_8_mark_is_no_part_of_the_header():
    assert csv(b"\xef\xbb\xbflabel,a\n" + rows_of(1).encode()).column_names == ("a",)


def test_every_faulty_row_is_listed_up_to_the_limit():
    text = "label,a\n" + "".join(f"{row % 2},{'x' if row % 3 == 0 else row}\n" for row in range(300))

    with pytest.raises(DatasetProblem) as caught:
        csv(text, limits=Limits(problems=7))

    assert [problem.row for problem in caught.value.problems] == [2, 5, 8, 11, 14, 17, 20]
    assert caught.value.problems[0].as_json() == {
        "code": "value_not_number", "message": "'x' is not a number", "row": 2, "column": "a",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(rows=5), "rows_too_many"),
        (Limits(columns=2), "width_too_large"),
        (Limits(values=20), "too_large"),
        (Limits(upload_bytes=50), "too_large"),
        (Limits(line_bytes=8), "too_large"),
        (Limits(classes=1), "classes_too_many"),
    ],
)
def test_limits_hold_while_reading(limits, code):
    with pytest.raises(DatasetProblem) as caught:
        csv(rows_of(), limits=limits)

    assert caught.value.code == code


def test_json_lines_of_features_images_and_named_numbers():
    features = "\n".join(json.dumps({"label": row % 2, "features": [row, 0.5]}) for row in range(10))
    images = "\n".join(json.dumps({"label": "ab"[row % 2], "image": [[row, 1], [2, 3]]}) for row in range(10))
    named = "\n".join(json.dumps({"label": row % 2, "a": row, "b": 2}) for row in range(10))

    assert jsonl(features).inputs.shape == (10, 2)
    assert jsonl(images).inputs.shape == (10, 2, 2)
    assert jsonl(images).inputs.dtype == np.uint8
    assert jsonl(named).column_names == ("a", "b")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("[1, 2]", "json_invalid"),
        ("{", "json_invalid"),
        ('{"label": 1, "label": 2, "features": [1, 2]}', "json_invalid"),
        ('{"features": [1, 2]}', "label_missing"),
        ('{"label": null, "features": [1, 2]}', "label_missing"),
        ('{"label": 1.5, "features": [1, 2]}', "label_invalid"),
        ('{"label": true, "features": [1, 2]}', "label_invalid"),
        ('{"label": 1, "features": [1, NaN]}', "value_not_finite"),
        ('{"label": 1, "features": [1, Infinity]}', "value_not_finite"),
        ('{"label": 1, "features": [1, 1e999]}', "value_not_finite"),
        ('{"label": 1, "features": [1, "2"]}', "value_not_number"),
        ('{"label": 1, "features": [1, true]}', "value_not_number"),
        ('{"label": 1, "features": [1, null]}', "value_not_number"),
        ('{"label": 1, "features": [1, [2]]}', "value_not_number"),
        ('{"label": 1, "features": {"a": 1}}', "value_not_number"),
        ('{"label": 1, "features": []}', "width_wrong"),
        ('{"label": 1, "features": [1]}', "width_wrong"),
        ('{"label": 1, "other": 3}', "width_wrong"),
        ('{"label": 1, "features": [' + "9" * 400 + ", 1]}", "value_out_of_range"),
        ('{"label": 1, "features": [' + "9" * 5000 + ", 1]}", "json_invalid"),
        ('{"label": 1, "features": ' + "[" * 10_000 + "1" + "]" * 10_000 + "}", "json_too_deep"),
        ('{"label": 1, "\\ud800": 3}', "json_invalid"),
        ('{"label": 1, "features": ' + "[" * 50 + "1" + "]" * 50 + "}", "json_too_deep"),
    ],
)
def test_json_faults_are_named(line, code):
    with pytest.raises(DatasetProblem) as caught:
        jsonl('{"label": 0, "features": [1, 2]}\n' + line + "\n")

    assert (caught.value.code, caught.value.row) == (code, 2)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["csv", "jsonl", "image-zip"]))
def test_whatever_the_bytes_are_only_coded_problems_come_out(raw, form):
    try:
        parsed = parse_upload(io.BytesIO(raw), format=form)
    except DatasetProblem:
        return
    parsed.check()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(alphabet='0123456789.,-+eE"nai_ \n\t;label', max_size=40),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["label", "features", "image", "a"]), inner)
                ),
                max_leaves=8,
            ).map(json.dumps),
        ),
        max_size=8,
    ),
    st.sampled_from(["csv", "jsonl"]),
)
def test_almost_sound_text_gives_data_or_a_coded_problem(lines, form):
    try:
        parsed = parse_upload(io.BytesIO("\n".join(lines).encode()), format=form)
    except DatasetProblem:
        return
    parsed.check()


def test_unknown_format_and_layout_are_refused():
    for options, code in (
        ({"format": "xlsx"}, "format_unknown"),
        ({"format": "csv", "layout": "x"}, "layout_unsuitable"),
    ):
        with pytest.raises(DatasetProblem) as caught:
            parse_upload(io.BytesIO(b"1,2\n"), **options)
        assert caught.value.code == code
