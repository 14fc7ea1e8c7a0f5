"""Recipes as the web sees them: schemas, presets, refusals."""

import jsonschema
import pytest

from mlops.recipes import DataShape, RecipeProblem, load_recipe, recipe_names

DIGITS = DataShape("images", (28, 28), tuple("0123456789"), 5000)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_describes_itself_soundly(name):
    recipe = load_recipe(name)

    jsonschema.Draft202012Validator.check_schema(recipe.params_schema)
    assert recipe.title
    assert recipe.primary_metric in recipe.metrics
    assert "train" in recipe.kinds
    for preset in recipe.presets:
        recipe.check_params(recipe.default_params(preset))
    for key, rule in recipe.params_schema["properties"].items():
        bounded = rule["type"] in ("string", "boolean") or {"minimum", "maximum"} <= rule.keys()
        assert bounded, f"{key} has no bounds"
        assert rule["type"] != "string" or "enum" in rule


def test_the_named_form_brings_its_own_defaults():
    recipe = load_recipe("image-cnn")

    plain = recipe.resolve_params({"form": "plain", "epochs": 3})
    assert (plain["batch_size"], plain["epochs"], plain["augment"]) == (128, 3, False)
    assert recipe.resolve_params({})["form"] == "deep"
    assert recipe.resolve_params({}, preset="mlp")["form"] == "mlp"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 501}, "epochs"),
        ({"epochs": 2.0}, "epochs"),
        ({"epochs": "3"}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": None}, "learning_rate"),
        ({"batch_size": 10**9}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"form": "transformer"}, "form"),
        ({"form": ["deep"]}, "form"),
        ({"augment": "yes"}, "augment"),
        ({"shell": "rm"}, None),
    ],
)
def test_params_out_of_bounds_are_refused_by_name(params, field):
    with pytest.raises(RecipeProblem) as caught:
        load_recipe("image-cnn").resolve_params(params)

    assert (caught.value.code, caught.value.field) == ("params_invalid", field)


@pytest.mark.parametrize(
    "shape",
    [
        DataShape("features", (30,), ("a", "b"), 500),
        DataShape("images", (2, 28), ("a", "b"), 500),
        DataShape("images", (28, 300), ("a", "b"), 500),
        DataShape("images", (28, 28, 4), ("a", "b"), 500),
        DataShape("images", (28, 28), ("a",), 500),
        DataShape("images", (28, 28), ("a", "b"), 5),
    ],
)
def test_unsuitable_data_is_refused(shape):
    with pytest.raises(RecipeProblem) as caught:
        load_recipe("image-cnn").check_data(shape)

    assert caught.value.code == "data_unsuitable"


def test_suitable_data_passes_and_shapes_survive_json():
    load_recipe("image-cnn").check_data(DIGITS)

    assert DataShape.from_json(DIGITS.as_json()) == DIGITS


def test_unknown_recipes_and_presets_are_named():
    with pytest.raises(RecipeProblem, match="recipe_unknown"):
        load_recipe("../runtime")
    with pytest.raises(RecipeProblem, match="preset_unknown"):
        load_recipe("image-cnn").default_params("huge")
