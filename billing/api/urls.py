"""This room's doors under /v1/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
