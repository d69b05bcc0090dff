"""One client, one server, one plan, as client.mjs does it: `python client.py legacy|auto|2026-07-28 TARGET < PLAN`."""

import asyncio
import hashlib
import json
import logging
import sys
from datetime import date

import anyio
import mcp_types as types
from mcp import Client, StdioServerParameters

MODE, TARGET = sys.argv[1], json.loads(sys.argv[2])
asked: list = []
roots_asked: list = []  # by some servers whenever they like
notified: list = []


def plain(value):
    """A model as the JSON it stands for; long strings by their length and digest."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json", by_alias=True, exclude_none=True))
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str) and len(value) >= 5_000:
        return f"{len(value)} characters, {hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return value


def fill(schema):
    """Fills in a form that a server sent: the default of each field, or the first value that fits."""

    def value(field):
        if "default" in field:
            return field["default"]
        for choices in (field.get("enum"), field.get("oneOf"), field.get("anyOf")):
            if choices:
                return choices[0]["const"] if isinstance(choices[0], dict) else choices[0]
        formats = {"email": "a@example.com", "uri": "https://example.com/", "date": date(2026, 1, 2).isoformat()}
        if field.get("type") == "array":
            return [value(field["items"])]
        typed = {"integer": 42, "number": 1.5, "boolean": True}
        return typed.get(field.get("type"), formats.get(field.get("format"), "some text"))

    return {name: value(field) for name, field in schema["properties"].items()}


async def sampling(_context, params):
    asked.append(["sampling/createMessage", plain(params)])
    return types.CreateMessageResult(model="none", role="assistant", content=types.TextContent(type="text", text="sampled"))


async def elicitation(_context, params):
    request = plain(params)
    asked.append(["elicitation/create", request])
    form = request.get("requestedSchema")
    return types.ElicitResult(action="accept", content=fill(form) if form else None)


async def roots(_context):
    roots_asked.append(["roots/list", None])
    return types.ListRootsResult(roots=[types.Root(uri="file:///some/root", name="root")])


async def message(incoming):
    notified.append(repr(incoming) if isinstance(incoming, Exception) else plain(incoming))


def operations(client):
    bypass = {"cache_mode": "bypass"}

    async def tools_call(params, more):
        seen = []

        async def progress(*update):
            seen.append(list(update))

        with anyio.move_on_after(more["cancel"] / 1000 if "cancel" in more else None) as scope:
            result = await client.call_tool(
                params["name"], params["arguments"], progress_callback=progress if more.get("progress") else None
            )
        if scope.cancelled_caught:
            return "cancelled"
        # The last one races the result.
        return {"result": result, "seen": [update for update in seen if update[0] < update[1]]} if more.get("progress") else result

    async def complete(params, _more):
        kind = types.PromptReference if params["ref"]["type"] == "ref/prompt" else types.ResourceTemplateReference
        context = params.get("context", {}).get("arguments")
        return await client.complete(kind(**params["ref"]), params["argument"], context)

    async def listen(params, more):
        events = []

        async def collect(subscription):
            async for event in subscription:
                events.append(repr(event))

        subscriptions = params.get("resourceSubscriptions", ())
        async with client.listen(tools_list_changed=True, resource_subscriptions=subscriptions) as subscription:
            async with anyio.create_task_group() as group:
                group.start_soon(collect, subscription)
                results = [await outcome(client, one) for one in more["steps"]]
                await anyio.sleep(0.5)
                group.cancel_scope.cancel()
            return {"honoured": subscription.honored, "results": results, "events": events}

    async def parallel(_params, more):
        return await asyncio.gather(*(outcome(client, one) for one in more["steps"]))

    async def until(params, _more):
        while all(tool.name != params["tool"] for tool in (await client.list_tools(**bypass)).tools):
            await anyio.sleep(0.1)

    async def nothing(_params, _more):
        return "not with this client"

    return {
        "tools/list": lambda _p, _m: client.list_tools(**bypass),
        "prompts/list": lambda _p, _m: client.list_prompts(**bypass),
        "resources/list": lambda _p, _m: client.list_resources(**bypass),
        "resources/templates/list": lambda _p, _m: client.list_resource_templates(**bypass),
        "resources/read": lambda p, _m: client.read_resource(p["uri"], **bypass),
        "resources/subscribe": lambda p, _m: client.subscribe_resource(p["uri"]),
        "resources/unsubscribe": lambda p, _m: client.unsubscribe_resource(p["uri"]),
        "prompts/get": lambda p, _m: client.get_prompt(p["name"], p.get("arguments")),
        "logging/setLevel": lambda p, _m: client.set_logging_level(p["level"]),
        "roots/changed": lambda _p, _m: client.send_roots_list_changed(),
        "ping": lambda _p, _m: client.send_ping(),
        "settle": lambda p, _m: anyio.sleep(p["milliseconds"] / 1000),
        "completion/complete": complete,
        "tools/call": tools_call,
        "until": until,
        "listen": listen,
        "parallel": parallel,
        "task": nothing,
    }


async def outcome(client, step):
    try:
        return {"result": plain(await operations(client)[step["op"]](step.get("params"), step))}
    except Exception as error:
        inner = getattr(error, "error", None)
        return {"error": [type(error).__name__, plain(inner) if inner is not None else str(error)]}


def distinct(messages):
    return sorted({json.dumps(one, sort_keys=True) for one in messages})


async def main():
    steps = json.load(sys.stdin)
    server = TARGET["url"] if "url" in TARGET else StdioServerParameters(**TARGET)
    client = Client(
        server,
        mode=MODE,
        sampling_callback=sampling,
        elicitation_callback=elicitation,
        list_roots_callback=roots,
        message_handler=message,
        client_info=types.Implementation(name=f"python-{MODE}", version="1.0.0"),
    )
    async with client:
        era = "modern" if client.protocol_version >= "2026-07-28" else "legacy"
        transcript = [
            {
                "era": era,
                "version": client.protocol_version,
                "server": plain(client.server_info),
                "capabilities": plain(client.server_capabilities),
                "instructions": client.instructions,
            }
        ]
        for step in steps:
            if step.get("era", era) != era:
                continue
            asked.clear()
            entry = {"op": step["op"], "params": step.get("params"), **await outcome(client, step)}
            transcript.append({**entry, "asked": distinct(asked)})
    # They come on streams of their own, and again where a client resumes one: neither order nor number means anything.
    transcript.append({"notified": distinct(notified), "roots_asked": distinct(roots_asked)})
    print(json.dumps(transcript, indent=1))


logging.disable(logging.CRITICAL)
asyncio.run(main())
