"""Single sign-on: what allauth's OpenID Connect log-in asks the house, and what it must not lose on its way (C4).

Between the button and the sign-up form the browser is elsewhere, and may come back without our visitor's cookie. So
how somebody came is remembered beforehand, with the log-in's state: in the session's row, which comes back with the
`state` parameter or not at all.
"""

from http import HTTPStatus
from typing import Any

import requests
from allauth.account.utils import filter_users_by_email
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from django.http import HttpRequest
from django.shortcuts import render

from accounts.errors import ProviderUnavailable
from millrace.kernel import visitors

CAME = "came"
_TIMEOUT_SECONDS = 10


def came_of(sociallogin: SocialLogin | None) -> dict[str, str]:
    """How the person came, as it was when they pressed the button: visitor_id, coupon, invitation; empty without one."""
    return (sociallogin.state.get(CAME) or {}) if sociallogin else {}


def proven_address(sociallogin: SocialLogin) -> str:
    """The address that the provider vouches for; "" where it vouches for none."""
    return next((address.email for address in sociallogin.email_addresses if address.verified), "")


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Where allauth asks the house about log-ins from elsewhere."""

    def generate_state_param(self, state: dict) -> str:
        """allauth keeps `state` in the session right after this call: its one hook before the browser leaves."""
        request = context.request
        visitor_id = visitors.visitor_id_of(request.COOKIES)
        state[CAME] = {
            "visitor_id": str(visitor_id) if visitor_id else "",
            "coupon": request.POST.get("coupon", "")[:40],
            "invitation": request.POST.get("invitation", "")[:80],
        }
        return super().generate_state_param(state)

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """A proven address that has an account already: say so, and neither log in to it nor make a second one.

        Whoever registered the account may not be whom the provider means; only its password shows that.
        """
        address = proven_address(sociallogin)
        is_login = sociallogin.state.get("process") == AuthProcess.LOGIN
        if sociallogin.is_existing or not is_login or not address or not filter_users_by_email(address):
            return
        if sociallogin.is_headless or request.path.startswith("/_allauth/"):
            raise self.validation_error("email_taken", sociallogin.provider.name)  # a program's answer, not a page
        values = {"address": address, "provider": sociallogin.provider}
        page = render(request, "socialaccount/address_known.html", values, status=HTTPStatus.CONFLICT)
        raise ImmediateHttpResponse(page)

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict) -> Any:
        """Our users have one name, not two."""
        user: Any = super().populate_user(request, sociallogin, data)
        user.name = str(data.get("name") or "")[:120]
        return user

    def get_signup_form_initial_data(self, sociallogin: SocialLogin) -> dict:
        """What the provider told, to be corrected."""
        user: Any = sociallogin.user
        return super().get_signup_form_initial_data(sociallogin) | {"name": user.name}

    def deserialize_instance(self, model: Any, data: Any) -> Any:
        """The pending person out of the session, where JSON has made text of its UUID."""
        instance = super().deserialize_instance(model, data)
        if isinstance(instance.pk, str):
            instance.pk = instance._meta.pk.to_python(instance.pk)
        return instance

    def get_requests_session(self) -> requests.Session:
        """Calls to the provider."""
        return _Session()


class _Session(requests.Session):
    """Ends every call in time, and tells a provider that is away or confused from a mistake of ours."""

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        kwargs.setdefault("timeout", _TIMEOUT_SECONDS)
        try:
            answer = super().request(method, url, *args, **kwargs)
            if answer.status_code >= 500 or str(method).upper() == "GET":
                answer.raise_for_status()
                answer.json()
        except requests.RequestException as error:
            raise ProviderUnavailable("Try again in a minute, or log in with your password.") from error
        return answer
