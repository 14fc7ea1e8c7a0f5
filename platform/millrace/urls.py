"""Every address, by room."""

from django.conf import settings
from django.http import Http404
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from billing.stripe.webhooks import stripe_webhook
from millrace.api import probes, problems

handler400 = "millrace.api.problems.bad_request"
handler404 = "millrace.api.problems.page_not_found"
handler500 = "millrace.api.problems.server_error"

urlpatterns = [
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
    path("metrics", ExportToDjangoView, name="metrics"),
    path(
        "v1/openapi.json",
        SpectacularJSONAPIView.as_view(authentication_classes=[], permission_classes=[]),
        name="openapi",
    ),
    path(
        "docs",
        SpectacularSwaggerSplitView.as_view(url_name="openapi", authentication_classes=[], permission_classes=[]),
        name="docs",
    ),
    path("v1/", include("accounts.api.urls")),
    path("v1/", include("billing.api.urls")),
    path("v1/", include("mlops.api.urls")),
    path("v1/", include("channels_partners.api.urls")),
    path("webhooks/stripe", stripe_webhook, name="stripe-webhook"),
    path("accounts/", include("allauth.urls")),
    path("_allauth/", include("accounts.headless_urls")),
    path("_allauth/", include("allauth.headless.urls")),
    path("", include("millrace.portal.urls")),
    path("", include("accounts.portal.urls")),
    path("", include("billing.portal.urls")),
    path("", include("mlops.portal.urls")),
    path("", include("channels_partners.portal.urls")),
]
if settings.DEBUG:
    # Django's page about a wrong address is for people: programs get a problem here, as they do in production.
    urlpatterns.append(re_path(r"^v1/", csrf_exempt(problems.page_not_found), {"exception": Http404()}))
