"""The furniture's own address: the switch between light and dark."""

from django.urls import path

from millrace.portal import views

urlpatterns = [path("theme", views.theme, name="theme")]
