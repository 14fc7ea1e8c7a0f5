"""This room's pages."""

from django.urls import URLPattern, path

from channels_partners.portal import views

urlpatterns: list[URLPattern] = [
    path("r/<str:code>", views.follow_link, name="follow_link"),
]
