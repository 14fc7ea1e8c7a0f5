"""Events, and the endpoints that hear of them."""

from urllib.parse import urlsplit

import msgspec

from billing.sandbox.api import call
from billing.sandbox.core import Sandbox
from billing.sandbox.errors import refused
from billing.sandbox.ids import token
from billing.sandbox.render import page
from billing.sandbox.resources.common import assign, merge_metadata, rows_filtered, simple_reads
from billing.sandbox.state import Obj

simple_reads("webhook_endpoint", "webhook_endpoints", "WebhookEndpoint")


def _read(event: Obj) -> Obj:
    return msgspec.json.decode(event["_body"])


@call("GET", "events", "EventListParams")
def event_list(sandbox: Sandbox, params: Obj) -> Obj:
    rows = rows_filtered(sandbox, "event", params, "type")
    if "types" in params:
        rows = (event for event in rows if event["type"] in params["types"])
    answer = page(sandbox.store, "event", rows, params, "/v1/events")
    answer["data"] = [_read(sandbox.find("event", event["id"])) for event in answer["data"]]
    return answer


@call("GET", "events/{id}", "EventRetrieveParams")
def event_retrieve(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    return _read(sandbox.find("event", ident))


@call("POST", "webhook_endpoints", "WebhookEndpointCreateParams")
def webhook_endpoint_create(sandbox: Sandbox, params: Obj) -> Obj:
    endpoint = endpoint_new(sandbox, params["url"], params["enabled_events"], f"whsec_{token(32)}")
    assign(endpoint, params, "description api_version")
    merge_metadata(endpoint, params)
    sandbox.save(endpoint)
    return endpoint | {"secret": endpoint["_secret"]}


def endpoint_new(sandbox: Sandbox, url: str, events: list[str], secret: str) -> Obj:
    """A stored endpoint. The secret is shown once, by the call that creates it."""
    _check_url(url)
    endpoint = sandbox.new("webhook_endpoint", url=url, enabled_events=list(events), _secret=secret)
    return sandbox.save(endpoint)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise refused("Invalid URL: An explicit scheme (such as https) must be provided.", "url_invalid", "url")


@call("POST", "webhook_endpoints/{id}", "WebhookEndpointUpdateParams")
def webhook_endpoint_update(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    endpoint = sandbox.find("webhook_endpoint", ident)
    if "url" in params:
        _check_url(params["url"])
    assign(endpoint, params, "url enabled_events description")
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    merge_metadata(endpoint, params)
    return sandbox.save(endpoint)


@call("DELETE", "webhook_endpoints/{id}", "WebhookEndpointDeleteParams")
def webhook_endpoint_delete(sandbox: Sandbox, params: Obj, ident: str) -> Obj:
    sandbox.find("webhook_endpoint", ident)
    sandbox.store.remove("webhook_endpoint", ident)
    return {"id": ident, "object": "webhook_endpoint", "deleted": True}


def ensure_endpoint(sandbox: Sandbox, url: str, secret: str) -> None:
    """One pinned endpoint for all events at `url` with this secret. Others that earlier runs pinned are forgotten: they
    would be retried for three days. The one at `url` is kept, with the deliveries that wait for it."""
    pinned = {"_secret": secret, "enabled_events": ["*"], "status": "enabled", "_pinned": True}
    with sandbox.lock:
        known = None
        for endpoint in sandbox.store.all("webhook_endpoint"):
            if endpoint["url"] == url:
                known = endpoint
            elif endpoint.get("_pinned"):
                sandbox.store.remove("webhook_endpoint", endpoint["id"])
        sandbox.save((known or endpoint_new(sandbox, url, ["*"], secret)) | pinned)
