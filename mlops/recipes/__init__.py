"""The recipes: what can be trained, with which parameters, on what data.

Reading a recipe needs no torch, so that the web can list recipes and check parameters; only `Recipe.training()` and
`Recipe.modelling()` import the code that trains. Recipes are code the operator installs, never a tenant's.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any

import jsonschema

_ROOT = Path(__file__).parent


class RecipeProblem(Exception):
    """A request a recipe cannot serve. `code` is stable; `field` names the parameter at fault, if one is.

    Codes: `recipe_unknown`, `preset_unknown`, `params_invalid`, `data_unsuitable`.
    """

    def __init__(self, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field


@dataclass(frozen=True)
class DataShape:
    """What a recipe must know of a data set: its layout and sizes.

    `input_shape` is (height, width) or (height, width, channels) for images and (columns,) for features.
    """

    layout: str
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    examples: int

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types; `from_json` is the way back."""
        return {
            "layout": self.layout,
            "input_shape": list(self.input_shape),
            "class_names": list(self.class_names),
            "examples": self.examples,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DataShape:
        """Read what `as_json` wrote. Raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            layout=str(value["layout"]),
            input_shape=tuple(int(side) for side in value["input_shape"]),
            class_names=tuple(str(name) for name in value["class_names"]),
            examples=int(value["examples"]),
        )


@dataclass(frozen=True)
class Recipe:
    """One trainable thing, as its folder's recipe.json describes it."""

    name: str
    version: int
    title: str
    summary: str
    description: str
    kinds: tuple[str, ...]
    params_schema: dict[str, Any] = field(repr=False)
    data_contract: dict[str, Any] = field(repr=False)
    presets: dict[str, dict[str, Any]] = field(repr=False)
    default_preset: str
    preset_by: str
    metrics: tuple[str, ...]
    primary_metric: str
    package: str

    def default_params(self, preset: str | None = None) -> dict[str, Any]:
        """A full, valid set of parameters. Raises RecipeProblem `preset_unknown`."""
        chosen = preset or self.default_preset
        if chosen not in self.presets:
            raise RecipeProblem("preset_unknown", f"{self.name} has no preset {chosen!r}: {', '.join(self.presets)}")
        return dict(self.presets[chosen]["params"])

    def resolve_params(self, params: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
        """Fill `params` up from the preset they name and check the whole.

        Raises RecipeProblem `params_invalid` with the field at fault.
        """
        named = params.get(self.preset_by)
        if preset is None and isinstance(named, str) and named in self.presets:
            preset = named
        full = self.default_params(preset) | dict(params)
        self.check_params(full)
        return full

    def check_params(self, params: Mapping[str, Any]) -> None:
        """Raise RecipeProblem `params_invalid` for the first parameter the schema refuses."""
        validator = jsonschema.Draft202012Validator(self.params_schema)
        error = jsonschema.exceptions.best_match(validator.iter_errors(dict(params)))
        if error is not None:
            where = ".".join(str(part) for part in error.absolute_path) or None
            raise RecipeProblem("params_invalid", error.message, field=where)
        for key, value in params.items():
            # JSON Schema counts 1.0 as an integer; range() and torch do not.
            if self.params_schema["properties"][key]["type"] == "integer" and not isinstance(value, int):
                raise RecipeProblem("params_invalid", f"{value!r} is not a whole number", field=key)

    def check_data(self, shape: DataShape) -> None:
        """Raise RecipeProblem `data_unsuitable` when the data set does not meet the recipe's contract."""
        for refused, detail in _data_refusals(self.data_contract, shape):
            if refused:
                raise RecipeProblem("data_unsuitable", f"{self.name} {detail}")

    def training(self) -> ModuleType:
        """The module that trains: `open_run(params, data, device)`. Imports torch."""
        return importlib.import_module(f"mlops.recipes.{self.package}.train")

    def modelling(self) -> ModuleType:
        """The module that builds the net: `build_module(params, shape)`. Imports torch."""
        return importlib.import_module(f"mlops.recipes.{self.package}.model")

    def render_card(self, values: Mapping[str, Any]) -> str:
        """The model card in Markdown. Raises KeyError when a figure that the card shows is missing."""
        text = (_ROOT / self.package / "card.md").read_text(encoding="utf-8")
        return Template(text).substitute({key: _card_text(value) for key, value in values.items()})


def _card_text(value: Any) -> str:
    """A tenant's class name must not break out of its table cell."""
    return str(value).replace("|", "\\|") if not str(value).startswith("{") else str(value)


def _data_refusals(contract: Mapping[str, Any], shape: DataShape) -> list[tuple[bool, str]]:
    """Pairs of (is refused, what to tell the reader)."""
    classes = len(shape.class_names)
    refusals = [
        (shape.layout != contract["layout"], f"needs {contract['layout']}, and these are {shape.layout}"),
        (
            not contract["min_classes"] <= classes <= contract["max_classes"],
            f"needs {contract['min_classes']} to {contract['max_classes']} classes, and there are {classes}",
        ),
        (
            shape.examples < contract["min_examples"],
            f"needs {contract['min_examples']} examples or more, and there are {shape.examples}",
        ),
    ]
    if contract["layout"] == "images" and shape.layout == "images":
        sides, channels = shape.input_shape[:2], (shape.input_shape[2] if len(shape.input_shape) == 3 else 1)
        low, high = contract["min_side"], contract["max_side"]
        refusals += [
            (not all(low <= side <= high for side in sides), f"needs sides of {low} to {high} pixels, not {sides}"),
            (channels not in contract["channels"], f"needs {contract['channels']} channels, not {channels}"),
        ]
    return refusals


@cache
def _catalogue() -> dict[str, Recipe]:
    """Every recipe installed, by name; read once."""
    found = {}
    for path in sorted(_ROOT.glob("*/recipe.json")):
        raw = json.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe(
            name=raw["name"],
            version=raw["version"],
            title=raw["title"],
            summary=raw["summary"],
            description=raw["description"],
            kinds=tuple(raw["kinds"]),
            params_schema=raw["params"],
            data_contract=raw["data"],
            presets=raw["presets"],
            default_preset=raw["default_preset"],
            preset_by=raw["preset_by"],
            metrics=tuple(raw["metrics"]),
            primary_metric=raw["primary_metric"],
            package=raw["package"],
        )
        for preset in recipe.presets:
            recipe.check_params(recipe.default_params(preset))
        found[recipe.name] = recipe
    return found


def recipe_names() -> list[str]:
    """The names of all installed recipes, sorted."""
    return sorted(_catalogue())


def load_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises RecipeProblem `recipe_unknown`."""
    try:
        return _catalogue()[name]
    except KeyError:
        raise RecipeProblem("recipe_unknown", f"there is no recipe {name!r}: {', '.join(recipe_names())}") from None
