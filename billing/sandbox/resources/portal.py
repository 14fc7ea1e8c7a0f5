"""Billing portal sessions."""

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import required
from billing.sandbox.resources.common import assign
from billing.sandbox.state import Obj


@call("POST", "billing_portal/sessions", "billing_portal.SessionCreateParams")
def portal_session_create(sandbox: Sandbox, params: Obj) -> Obj:
    if "customer" not in params:
        raise required("customer")
    customer = sandbox.find("customer", params["customer"], "customer")
    session = sandbox.new("billing_portal.session", customer=customer["id"])
    assign(session, params, "return_url locale")
    session["url"] = f"{sandbox.base_url}/portal/{session['id']}"
    return sandbox.save(session)
