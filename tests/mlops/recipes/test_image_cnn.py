"""The image classifier learns, repeats itself by its seed, and goes on where it was stopped."""

import pytest
import torch

from mlops.datasets import load_builtin
from mlops.recipes import DataShape, load_recipe
from mlops.recipes.image_cnn.augment import random_affine
from mlops.recipes.image_cnn.model import build_module
from mlops.recipes.supervised import TrainingDiverged, one_cycle
from mlops.runtime.metrics import classification_metrics
from mlops.runtime.work import probabilities, training_data
from tests.mlops.synthetic import bars

CPU = torch.device("cpu")
RECIPE = load_recipe("image-cnn")


def open_run(dataset=None, **params):
    full = RECIPE.resolve_params(params)
    return RECIPE.training().open_run(full, training_data(dataset or bars()), CPU)


def finish(run):
    while not run.done:
        run.advance()
    return run


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize(("form", "least"), [("plain", 0.9), ("deep", 0.9), ("mlp", 0.6)])
def test_every_form_learns(form, least):
    run = finish(open_run(form=form, epochs=6, batch_size=16, learning_rate=0.005))

    assert run.curves[-1]["held_out_accuracy"] >= least
    assert run.curves[-1]["train_loss"] < run.curves[0]["train_loss"]
    assert len(run.curves) == run.epoch == 6


@pytest.mark.parametrize("form", ["plain", "deep", "mlp"])
@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (4, 4), (31, 17), (40, 64, 3), (5, 100)])
def test_every_form_takes_every_shape_of_its_contract(form, shape):
    data = DataShape("images", shape, ("a", "b", "c"), 100)
    module = build_module(RECIPE.default_params(form), data).eval()

    logits = module(module.prepare(torch.zeros(2, *shape, dtype=torch.uint8)))

    assert logits.shape == (2, 3)


def test_the_plain_net_is_the_one_that_is_named():
    data = DataShape("images", (28, 28), tuple("0123456789"), 5000)
    count = lambda form: sum(v.numel() for v in build_module(RECIPE.default_params(form), data).parameters())  # noqa: E731

    assert count("plain") == (32 * 9 + 32) + (32 * 13 * 13 * 10 + 10)
    assert count("mlp") == (784 * 128 + 128) + (128 * 10 + 10)


def test_a_seed_gives_the_same_weights_and_another_seed_others():
    first, again = finish(open_run(epochs=1)), finish(open_run(epochs=1))
    other = finish(open_run(epochs=1, seed=8))

    assert same(first.weights(), again.weights())
    assert not same(first.weights(), other.weights())


@pytest.mark.parametrize("stop_after", [1, 7, 12])
@pytest.mark.parametrize("patience", [0, 2])
def test_a_restored_run_ends_bit_for_bit_like_one_that_never_stopped(stop_after, patience):
    options = {"dataset": bars(count=90), "epochs": 3, "batch_size": 16, "early_stopping_patience": patience}
    whole = finish(open_run(**options))
    first = open_run(**options)
    while first.step < stop_after and not first.done:
        first.advance()
    tensors, scalars = first.state()
    finish(first)
    second = open_run(**options)
    torch.manual_seed(999)

    second.restore(tensors, scalars)
    finish(second)

    assert same(second.weights(), whole.weights())
    assert second.curves == whole.curves


def test_early_stopping_ends_the_run_and_keeps_the_best_weights():
    run = finish(open_run(form="mlp", epochs=200, learning_rate=0.05, early_stopping_patience=2))
    losses = [row["validation_loss"] for row in run.curves]

    assert run.epoch < 200
    assert losses.index(min(losses)) == len(losses) - 3
    inputs, labels = run._validation
    assert run._measure(inputs, labels)[0] == pytest.approx(min(losses))


def test_validation_rows_are_never_held_out_ones():
    dataset = bars()
    run = open_run(dataset, early_stopping_patience=3)
    held = {row.tobytes() for row in dataset.inputs[dataset.held_out]}

    assert len(run._validation[1]) + len(run._train[1]) == int((~dataset.held_out).sum())
    assert not held & {row.tobytes() for row in run._validation[0].numpy()}


def test_a_run_that_diverges_says_so():
    with pytest.raises(TrainingDiverged):
        run = open_run(form="mlp", epochs=50, learning_rate=1.0, hidden=4096)
        run.module.layers[1].weight.data.fill_(float("nan"))
        finish(run)


def test_a_run_whose_last_step_diverges_leaves_no_model(monkeypatch):
    run = open_run(form="plain", epochs=1)
    monkeypatch.setattr(run, "_measure", lambda *_: (float("nan"), 0.1))

    with pytest.raises(TrainingDiverged):
        finish(run)


def test_augmentation_keeps_shape_draws_by_seed_and_stands_still_at_zero():
    planes = torch.rand(6, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    still = {"rotation": 0.0, "scale": 0.0, "shift": 0.0, "flip": False}
    moved = {"rotation": 20.0, "scale": 0.2, "shift": 0.2, "flip": True}
    draw = lambda params, seed: random_affine(planes, params, torch.Generator().manual_seed(seed))  # noqa: E731

    assert torch.allclose(draw(still, 1), planes, atol=1e-5)
    assert draw(moved, 1).shape == planes.shape
    assert torch.equal(draw(moved, 1), draw(moved, 1))
    assert not torch.equal(draw(moved, 1), draw(moved, 2))
    assert not torch.equal(draw(moved, 1)[0], draw(moved, 1)[1])


def test_a_flip_mirrors_left_to_right():
    planes = torch.arange(16.0).reshape(1, 1, 4, 4).repeat(40, 1, 1, 1)
    params = {"rotation": 0.0, "scale": 0.0, "shift": 0.0, "flip": True}

    moved = random_affine(planes, params, torch.Generator().manual_seed(3))
    mirrored = [torch.allclose(row, planes[0].flip(-1), atol=1e-4) for row in moved]
    kept = [torch.allclose(row, planes[0], atol=1e-4) for row in moved]

    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 5 < sum(mirrored) < 35


def test_one_cycle_rises_peaks_and_falls():
    rates = [one_cycle(step, 100, 0.01) for step in range(100)]

    assert rates[0] == pytest.approx(0.01 / 25)
    assert max(rates) == rates[30] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(1e-6)
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_deep_reaches_98_5_percent_on_handwriting_it_never_saw():
    dataset = load_builtin("mnist-5k")
    run = finish(open_run(dataset, form="deep"))

    held = dataset.held_out
    chances = probabilities(run.module, dataset.inputs[held], CPU)
    metrics = classification_metrics(chances, dataset.labels[held], dataset.class_names)
    assert metrics["examples"] == 1000
    assert metrics["accuracy"] >= 0.985


@pytest.mark.slow
def test_plain_reaches_what_its_card_says():
    run = finish(open_run(load_builtin("mnist-5k"), form="plain"))

    assert run.curves[-1]["held_out_accuracy"] >= 0.93
