"""The form of a new job, made from the recipe's JSON Schema."""

from decimal import Decimal, InvalidOperation
from typing import Any, cast
from uuid import UUID, uuid4

from django import forms

from millrace.kernel.errors import Invalid
from millrace.kernel.money import Money, to_minor
from mlops import selectors
from mlops.models import Device
from mlops.recipes import Recipe, load_recipe, recipe_names
from mlops.services.jobs import JobRequest

PARAM = "p_"
_MOST_CHOICES = 200


class JobForm(forms.Form):
    """What to train, on what, where, and for how much at most."""

    dataset = forms.ChoiceField(label="Data set")
    model_name = forms.CharField(
        label="Model", max_length=120, required=False,
        help_text="A new name makes a model, a known one adds a version to it. Empty: the recipe’s name.",
    )  # fmt: skip
    device = forms.ChoiceField(label="Device")
    spend_cap = forms.CharField(
        label="Spend cap", required=False, max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text="The job is paused, with a checkpoint, before it costs more. Empty: four times the estimate.",
    )  # fmt: skip

    # Drawn anew with each page, so that a form which is sent twice makes one job, with or without JavaScript.
    form_key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4, required=False)

    def __init__(self, *args: Any, tenant_id: UUID, recipe: Recipe, preset: str, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tenant_id, self.recipe, self.currency = tenant_id, recipe, currency
        sets = selectors.datasets(tenant_id).order_by("-id")[:_MOST_CHOICES]
        cast(forms.ChoiceField, self.fields["dataset"]).choices = [(one.public_id, one.name) for one in sets]
        cast(forms.ChoiceField, self.fields["device"]).choices = [(name, name) for name in device_classes()]
        self.fields["spend_cap"].label = f"Spend cap, {currency}"
        params = recipe.default_params(preset)
        for name, schema in recipe.params_schema["properties"].items():
            self.fields[f"{PARAM}{name}"] = _field(name, schema, params.get(name))

    def params(self) -> list[forms.BoundField]:
        """The recipe's own fields."""
        return [self[name] for name in self.fields if name.startswith(PARAM)]

    def own(self) -> list[forms.BoundField]:
        """The others."""
        return [self[name] for name in self.fields if not name.startswith(PARAM)]

    def request(self) -> JobRequest:
        """The job that the valid form asks for. Invalid for a cap that is no amount, NotFound for a vanished data set."""
        values = self.cleaned_data
        params = {name.removeprefix(PARAM): value for name, value in values.items() if name.startswith(PARAM)}
        return JobRequest(
            kind="train",
            dataset_version=selectors.dataset_version(self.tenant_id, values["dataset"]),
            device_class=values["device"],
            recipe=self.recipe.name,
            params=params,
            model_name=values["model_name"],
            model=selectors.models(self.tenant_id)
            .filter(name=values["model_name"] or self.recipe.name, recipe=self.recipe.name)
            .first(),
            spend_cap=_cap(values["spend_cap"], self.currency),
        )


def device_classes() -> list[str]:
    """Where jobs can run: the classes that were ever seen, and the processor."""
    return sorted({"cpu", *Device.objects.values_list("device_class", flat=True)})


def recipes() -> list[Recipe]:
    """All that is installed."""
    return [load_recipe(name) for name in recipe_names()]


def _field(name: str, schema: dict[str, Any], initial: Any) -> forms.Field:
    common: dict[str, Any] = {
        "label": schema.get("title", name),
        "help_text": schema.get("description", ""),
        "initial": initial,
        "required": schema["type"] != "boolean",
    }
    if "enum" in schema:
        return forms.ChoiceField(choices=[(value, value) for value in schema["enum"]], **common)
    if schema["type"] == "boolean":
        return forms.BooleanField(**common)
    bounds: dict[str, Any] = {"min_value": schema.get("minimum"), "max_value": schema.get("maximum")}
    if schema["type"] == "integer":
        return forms.IntegerField(**bounds, **common)
    if schema["type"] == "number":
        return forms.FloatField(**bounds, widget=forms.NumberInput(attrs={"step": "any"}), **common)
    return forms.CharField(max_length=schema.get("maxLength", 200), **common)


def _cap(typed: str, currency: str) -> Money | None:
    text = typed.strip().replace(",", "")
    if not text:
        return None
    try:
        major = Decimal(text)
    except InvalidOperation as error:
        raise Invalid("A cap is an amount such as 5 or 5.00.", field="spend_cap") from error
    if not major.is_finite() or not 0 < major < 10**12:
        raise Invalid("A cap is more than zero.", field="spend_cap")
    return Money(to_minor(major, currency), currency)
