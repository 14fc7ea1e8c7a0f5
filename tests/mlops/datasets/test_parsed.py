"""The data set itself: its hash, its held-out fifth, its stored form, its report."""

import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mlops.datasets import DEFAULT_LIMITS, CanonicalInvalid, DatasetProblem, ParsedDataset, load_builtin
from mlops.datasets.assemble import build_dataset, encode_labels
from mlops.datasets.canonical import digest, pack, read_row, unpack
from mlops.datasets.pictures import encode_picture
from mlops.datasets.split import held_out_mask


def pictures(count=40, classes=4, seed=1):
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 256, (count, 6, 6), dtype=np.uint8)
    return build_dataset("images", inputs, [str(row % classes) for row in range(count)], limits=DEFAULT_LIMITS)


def test_equal_data_has_equal_bytes_and_other_data_another_hash():
    first, again, other = pictures(), pictures(), pictures(seed=2)

    assert first.canonical_bytes == again.canonical_bytes
    assert first.content_hash == digest(first.canonical_bytes)
    assert first.content_hash != other.content_hash


def test_the_stored_form_comes_back_whole():
    first = pictures()
    back = ParsedDataset.from_canonical(first.canonical_bytes)

    assert back.content_hash == first.content_hash
    assert np.array_equal(back.inputs, first.inputs)
    assert back.class_names == first.class_names


def test_the_hash_is_the_same_in_another_process():
    code = "from tests.mlops.datasets.test_parsed import pictures; print(pictures().content_hash)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert out.stdout.strip() == pictures().content_hash


@pytest.mark.parametrize("cut", [0, 10, 100, 1000, -1])
def test_damaged_storage_is_refused(cut):
    with pytest.raises(CanonicalInvalid):
        ParsedDataset.from_canonical(pictures().canonical_bytes[:cut])


def test_j12_a_pickled_array_in_storage_is_refused():
    body = io.BytesIO()
    np.savez(body, inputs=np.array([{"a": 1}], dtype=object), allow_pickle=True)

    with pytest.raises(CanonicalInvalid):
        unpack(body.getvalue())


def test_arrays_that_disagree_are_refused():
    header = {"schema": 1, "layout": "images", "class_names": ["a"], "column_names": []}
    arrays = {"inputs": np.zeros((3, 4, 4), np.uint8), "labels": np.array([0, 1, 0]), "held_out": np.zeros(3, bool)}

    with pytest.raises(CanonicalInvalid):
        ParsedDataset.from_canonical(pack(header, arrays))


@pytest.mark.parametrize("name", ["", " ", "a\0", "\ud800", "x" * 201])
def test_a_class_has_a_name_that_can_be_shown(name):
    with pytest.raises(DatasetProblem, match="class_name_invalid"):
        encode_labels(["a", name], DEFAULT_LIMITS)


def test_a_fifth_of_every_class_is_held_out():
    parsed = pictures(count=200)

    held = np.bincount(parsed.labels[parsed.held_out])
    assert held.tolist() == [10, 10, 10, 10]


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(4, 60), st.just(3)), elements=st.integers(0, 3)), st.data())
def test_equal_examples_never_stand_on_both_sides_and_order_does_not_matter(inputs, data):
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(inputs), max_size=len(inputs))))
    order = np.array(data.draw(st.permutations(range(len(inputs)))))

    mask = held_out_mask(inputs, labels)
    trained = {row.tobytes() for row in inputs[~mask]}

    assert all(row.tobytes() not in trained for row in inputs[mask])
    assert np.array_equal(held_out_mask(inputs[order], labels[order]), mask[order])


def test_the_report_finds_what_is_planted():
    inputs = np.random.default_rng(3).normal(size=(60, 4)).astype(np.float32)
    inputs[7] = inputs[3]
    inputs[9] = inputs[4]
    inputs[11] = 2.0
    inputs[20, 1] = 500.0
    inputs[:, 3] = inputs[:, 2]
    labels = ["a" if row % 2 else "b" for row in range(60)]
    labels[9] = "a" if labels[4] == "b" else "b"
    labels[0] = "rare"

    report = build_dataset("features", inputs, labels, limits=DEFAULT_LIMITS).report

    assert report["duplicates"]["surplus_rows"] == 2
    assert report["duplicates"]["contradicting_groups"] == [[4, 9]]
    assert report["constant_rows"]["rows"] == [11]
    assert report["class_balance"]["thin_classes"] == ["rare"]


def test_far_values_are_found_in_long_columns():
    inputs = np.random.default_rng(3).normal(size=(400, 2)).astype(np.float32)
    inputs[20, 1] = 500.0

    report = build_dataset("features", inputs, [str(row % 2) for row in range(400)], limits=DEFAULT_LIMITS).report

    assert report["far_values"] == {"count": 1, "places": [[20, 1]]}


def test_a_sample_is_the_picture_and_the_others_stay_unread():
    parsed = pictures()

    class Counted(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            self.taken += len(found)
            return found

    large = build_dataset("images", np.repeat(parsed.inputs, 500, axis=1), ["a", "b"] * 20, limits=DEFAULT_LIMITS)
    stored = Counted(large.canonical_bytes)

    assert all((read_row(stored, "inputs", row) == large.inputs[row]).all() for row in (0, 3, 39))
    assert stored.taken < len(large.canonical_bytes) / 4
    shown = Image.open(io.BytesIO(encode_picture(parsed.inputs[3])))
    assert (np.asarray(shown) == parsed.inputs[3]).all()
    assert Image.open(io.BytesIO(encode_picture(parsed.inputs[3], side=60))).size == (60, 60)
    with pytest.raises(IndexError):
        read_row(stored, "inputs", 40)
    with pytest.raises(CanonicalInvalid):
        read_row(io.BytesIO(large.canonical_bytes[:-30]), "inputs", 0)


def test_statistics_add_up():
    numbers = pictures(count=200).statistics()

    assert numbers["rows"] == numbers["train_rows"] + numbers["held_out_rows"] == 200
    assert sum(row["rows"] for row in numbers["classes"]) == 200


def test_built_in_sets_are_what_they_are():
    mnist, digits = load_builtin("mnist-5k"), load_builtin("digits")

    assert mnist.inputs.shape == (5000, 28, 28)
    assert int(mnist.held_out.sum()) == 1000
    assert digits.inputs.shape == (1797, 8, 8)
    assert digits.class_names == tuple("0123456789")
    with pytest.raises(DatasetProblem) as caught:
        load_builtin("imagenet")
    assert caught.value.code == "builtin_unknown"


def test_data_sets_and_recipes_need_no_torch_and_no_django():
    code = (
        "import sys, mlops.datasets, mlops.recipes, mlops.runtime.supervisor, mlops.serving.inputs, mlops.serving.batcher\n"
        "mlops.recipes.load_recipe('image-cnn')\n"
        "print(sorted({'torch', 'django'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert out.stdout.strip() == "[]"
