"""Inputs checked, models cached and dropped, probabilities right."""

import base64
import io
import weakref
from functools import reduce

import numpy as np
import pytest
import torch
from PIL import Image

from mlops.recipes import DataShape, load_recipe
from mlops.runtime.weights import WeightsInfo, WeightsInvalid, save_weights
from mlops.serving.engine import Engine, LoadedModel, open_model
from mlops.serving.inputs import InputInvalid, decode_inputs, describe_outputs

GREY = DataShape("images", (4, 6), ("a", "b", "c"), 50)
COLOUR = DataShape("images", (4, 6, 3), ("a", "b", "c"), 50)
TABLE = DataShape("features", (3,), ("a", "b"), 50)


def net(seed=1, shape=GREY):
    recipe = load_recipe("image-cnn")
    torch.manual_seed(seed)
    return recipe.modelling().build_module(recipe.default_params("mlp"), shape).eval()


def engine(capacity=2):
    loads = []

    def load(version):
        loads.append(version)
        return LoadedModel(net(int(version)), GREY, torch.device("cpu"))

    return Engine(load, capacity=capacity), loads


def encoded(array):
    out = io.BytesIO()
    Image.fromarray(array).save(out, format="PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_nested_flat_and_encoded_inputs_are_the_same():
    picture = np.arange(24, dtype=np.uint8).reshape(4, 6)
    forms = [picture.tolist(), picture.ravel().tolist(), {"png": encoded(picture)}, encoded(picture)]

    decoded = decode_inputs([*forms, "data:image/png;base64," + encoded(picture)], GREY)

    assert decoded.dtype == np.uint8
    assert all(np.array_equal(row, picture) for row in decoded)


def test_colour_is_matched_to_the_model():
    grey = np.full((4, 6), 7, np.uint8)
    colour = np.full((4, 6, 3), 200, np.uint8)

    assert decode_inputs([encoded(grey)], COLOUR).shape == (1, 4, 6, 3)
    assert (decode_inputs([encoded(colour)], GREY) == 200).all()


def test_features_are_floats():
    assert decode_inputs([[1, 2.5, -3]], TABLE).tolist() == [[1.0, 2.5, -3.0]]


@pytest.mark.parametrize(
    ("value", "shape", "code"),
    [
        ([1, 2], TABLE, "input_shape"),
        ([1, 2, "3"], TABLE, "input_value"),
        ([1, 2, None], TABLE, "input_value"),
        ([1, 2, float("nan")], TABLE, "input_value"),
        ([1, 2, 1e300], TABLE, "input_value"),
        ([1, 2, reduce(lambda inner, _: [inner], range(5_000), 1)], TABLE, "input_value"),
        ("AAAA", TABLE, "input_value"),
        ({}, GREY, "input_value"),
        ({"png": 5}, GREY, "input_value"),
        ([0] * 23 + [256], GREY, "input_value"),
        ([0] * 23 + [0.5], GREY, "input_value"),
        ([0] * 23, GREY, "input_shape"),
        ([[0] * 4] * 6, GREY, "input_shape"),
        ([[0, 0], [0]], GREY, "input_shape"),
        ("not base64!", GREY, "input_image"),
        (base64.b64encode(b"no picture").decode(), GREY, "input_image"),
        (encoded(np.zeros((5, 6), np.uint8)), GREY, "input_shape"),
    ],
)
def test_bad_inputs_are_named_with_their_place(value, shape, code):
    good = [0] * int(np.prod(shape.input_shape))

    with pytest.raises(InputInvalid) as caught:
        decode_inputs([good, value], shape)

    assert (caught.value.code, caught.value.index) == (code, 1)


@pytest.mark.parametrize("inputs", [[], None, {"a": 1}, [[0, 0, 0]] * 257])
def test_the_count_of_inputs_is_bounded(inputs):
    with pytest.raises(InputInvalid) as caught:
        decode_inputs(inputs, TABLE)

    assert caught.value.code == "inputs_count"


def test_pictures_that_unpack_to_too_much_are_refused_before_one_is_read():
    large = DataShape("images", (256, 256, 3), ("a", "b"), 50)

    with pytest.raises(InputInvalid, match="1 to 85 inputs"):
        decode_inputs([{"png": "unread"}] * 86, large)


def test_a_batch_gives_the_same_answers_as_its_parts():
    served, _ = engine()
    inputs = np.random.default_rng(1).integers(0, 256, (5, 4, 6), dtype=np.uint8)

    whole = served.predict_batch("1", inputs)
    parts = np.concatenate([served.predict_batch("1", inputs[row : row + 1]) for row in range(5)])

    assert np.allclose(whole, parts, atol=1e-6)
    assert np.allclose(whole.sum(axis=1), 1)
    with pytest.raises(ValueError, match="takes"):
        served.predict_batch("1", np.zeros((1, 4, 7), np.uint8))


def test_j7_the_least_recently_used_model_is_dropped_and_its_memory_freed():
    served, loads = engine(capacity=2)
    first = weakref.ref(served.model("1").module)
    second = weakref.ref(served.model("2").module)
    served.model("1")

    served.model("3")

    assert served.versions == ("1", "3")
    assert second() is None
    assert first() is not None
    served.model("1")
    assert loads == ["1", "2", "3"]


def test_a_model_that_cannot_be_loaded_leaves_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"nothing")
    served = Engine(lambda version: open_model(path))

    with pytest.raises(WeightsInvalid):
        served.predict_batch("1", np.zeros((1, 4, 6), np.uint8))
    assert served.versions == ()


def test_a_stored_model_serves(tmp_path):
    path = tmp_path / "weights.safetensors"
    params = load_recipe("image-cnn").default_params("mlp")
    save_weights(path, net().state_dict(), WeightsInfo("image-cnn", 1, params, GREY, "", ""))
    inputs = np.zeros((2, 4, 6), np.uint8)

    assert np.array_equal(
        Engine(lambda version: open_model(path)).predict_batch("1", inputs), engine()[0].predict_batch("1", inputs)
    )


def test_answers_name_the_likeliest_classes():
    answer = describe_outputs(np.array([[0.1, 0.7, 0.2]], np.float32), ("a", "b", "c"), top=2)[0]

    assert (answer["label"], answer["confidence"]) == ("b", 0.7)
    assert [row["label"] for row in answer["top"]] == ["b", "c"]
