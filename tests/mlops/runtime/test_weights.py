"""Model files: what is ours is read, what is not is refused before it can do anything (J12)."""

import json
import pickle
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.recipes import DataShape, load_recipe
from mlops.runtime.checkpoints import CheckpointInvalid, load_checkpoint, save_checkpoint
from mlops.runtime.weights import WeightsInfo, WeightsInvalid, load_model, read_info, read_tensors, save_weights

SHAPE = DataShape("images", (8, 8), ("a", "b", "c"), 100)
RECIPE = load_recipe("image-cnn")


def model_file(path, **changes):
    params = RECIPE.default_params("mlp")
    torch.manual_seed(1)
    module = RECIPE.modelling().build_module(params, SHAPE)
    info = WeightsInfo("image-cnn", 1, params, SHAPE, "hash", "code")
    save_weights(path, module.state_dict() | changes, info)
    return module


def forged(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


RUNS = []


def run_code():
    RUNS.append("the file ran code")


class Exploit:
    def __reduce__(self):
        return (run_code, ())


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(WeightsInvalid) as caught:
        load_model(path)
    assert caught.value.code == "weights_invalid"
    return str(caught.value)


def test_a_model_comes_back_as_it_was(tmp_path):
    path = tmp_path / "weights.safetensors"
    module = model_file(path).eval()

    loaded, info = load_model(path)
    planes = module.prepare(torch.randint(0, 256, (4, 8, 8), dtype=torch.uint8))

    assert torch.equal(loaded(planes), module(planes))
    assert info == read_info(path)
    assert (info.shape, info.dataset_hash, info.code_version) == (SHAPE, "hash", "code")
    assert list(tmp_path.iterdir()) == [path]


def test_j12_a_pickle_disguised_as_safetensors_is_refused_and_does_not_run(tmp_path):
    path = tmp_path / "weights.safetensors"
    payload = pickle.dumps(Exploit())
    pickle.loads(payload)  # noqa: S301 - shows that the payload would run if it were unpickled
    assert RUNS.pop()

    refused(path, payload)
    refused(path, struct.pack("<Q", len(payload)) + payload)
    torch.save({"layers.1.weight": torch.zeros(3), "exploit": Exploit()}, path)
    refused(path, path.read_bytes())

    assert RUNS == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 100) + b"{}",
        forged({}),
        forged([]),
        forged({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
        forged(
            {"__metadata__": {"millrace": "{"}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4
        ),
        b"[" * 100_000,
        struct.pack("<Q", 100_000) + b"[" * 100_000,
    ],
)
def test_files_that_are_not_ours_are_refused(tmp_path, content):
    refused(tmp_path / "weights.safetensors", content)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0]},
        {"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 4]},
        "F32",
    ],
)
def test_headers_that_lie_are_refused(tmp_path, entry):
    header = {"__metadata__": {"millrace": "{}"}, "a": entry}
    refused(tmp_path / "weights.safetensors", forged(header, b"\0" * 4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers.1.weight", torch.zeros(128, 63)),
        ("layers.1.weight", torch.zeros(128, 64, dtype=torch.float16)),
        ("layers.1.bias", torch.full((128,), float("nan"))),
        ("layers.9.weight", torch.zeros(2)),
    ],
)
def test_tensors_that_are_not_the_nets_are_refused(tmp_path, name, value):
    path = tmp_path / "weights.safetensors"
    model_file(path, **{name: value})

    with pytest.raises(WeightsInvalid, match=name):
        load_model(path)


def test_params_that_the_recipe_refuses_do_not_build_a_net(tmp_path):
    path = tmp_path / "weights.safetensors"
    params = RECIPE.default_params("mlp") | {"hidden": 10**9}
    save_weights(path, {"a": torch.zeros(1)}, WeightsInfo("image-cnn", 1, params, SHAPE, "", ""))

    with pytest.raises(WeightsInvalid):
        load_model(path)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_byte_changed_is_read_as_it_stands_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    model_file(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(2000, len(content) - 1)))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content))

    try:
        load_model(path)
    except WeightsInvalid:
        return
    read_tensors(path)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    class Run:
        step, epoch = 3, 1

        def state(self):
            return {"a": torch.zeros(2)}, {"step": 3}

        def restore(self, tensors, scalars):
            raise KeyError("module")

    path = save_checkpoint(tmp_path, Run(), {"recipe": "x"})

    with pytest.raises(CheckpointInvalid, match="another"):
        load_checkpoint(path, Run(), {"recipe": "y"})
    with pytest.raises(CheckpointInvalid, match="does not fit"):
        load_checkpoint(path, Run(), {"recipe": "x"})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointInvalid):
        load_checkpoint(path, Run(), {"recipe": "x"})
