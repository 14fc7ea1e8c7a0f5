"""allauth's headless sign-up doors with our forms behind them: it has settings for those of the pages only. These stand
before its own."""

from allauth.headless import app_settings
from allauth.headless.account.views import SignupView
from allauth.headless.constants import Client
from allauth.headless.socialaccount.views import ProviderSignupView
from django.urls import path

from accounts.forms import SignUpInput, SingleSignUpInput

urlpatterns = [
    pattern
    for client in map(Client, app_settings.CLIENTS)
    for pattern in (
        path(
            f"{client.value}/v1/auth/signup", SignupView.as_api_view(client=client, input_class={"POST": SignUpInput})
        ),
        path(
            f"{client.value}/v1/auth/provider/signup",
            ProviderSignupView.as_api_view(client=client, input_class=SingleSignUpInput),
        ),
    )
]
