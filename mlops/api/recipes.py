"""Doors of the recipes: what can be trained."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from millrace.api.fields import Serializer
from millrace.api.views import ApiView
from millrace.kernel.errors import NotFound
from mlops.recipes import Recipe, RecipeProblem, load_recipe, recipe_names


class RecipeOut(Serializer):
    """A recipe with the JSON Schema of its parameters and its data contract."""

    name = serializers.CharField()
    version = serializers.IntegerField()
    title = serializers.CharField()
    summary = serializers.CharField()
    description = serializers.CharField()
    kinds = serializers.ListField(child=serializers.CharField())
    params_schema = serializers.JSONField()
    presets = serializers.JSONField()
    default_preset = serializers.CharField()
    data_contract = serializers.JSONField()
    metrics = serializers.ListField(child=serializers.CharField())
    primary_metric = serializers.CharField()


class RecipeList(Serializer):
    """All of them; there are few."""

    data = RecipeOut(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


class RecipesView(ApiView):
    """`/v1/recipes`."""

    permission = {"GET": "models.read"}

    @extend_schema(responses=RecipeList)
    def get(self, request: Request) -> Response:
        """What can be trained here."""
        recipes = [load_recipe(name) for name in recipe_names()]
        return Response({"data": RecipeOut(recipes, many=True).data, "next_cursor": None})


class RecipeView(ApiView):
    """`/v1/recipes/{name}`."""

    permission = {"GET": "models.read"}

    @extend_schema(responses=RecipeOut)
    def get(self, request: Request, name: str) -> Response:
        """One recipe."""
        return Response(RecipeOut(_recipe(name)).data)


def _recipe(name: str) -> Recipe:
    try:
        return load_recipe(name)
    except RecipeProblem as unknown:
        raise NotFound(f"There is no recipe {name[:60]!r}.") from unknown
