"""The OpenAPI 3.1 document, made from the table of routes and the structs they name.

msgspec writes the schemas (JSON Schema 2020-12, which OpenAPI 3.1 takes as they are), so the
document can't say anything else than the server checks.
"""

import re
from typing import Any, Final

import msgspec

from meshpeer import __version__
from meshpeer.api.problems import CONTENT_TYPE, Problem
from meshpeer.api.route import Route
from meshpeer.api.routes import ROUTES

SCHEMAS: Final = "#/components/schemas/{name}"
EVENTS: Final = {
    "get": {
        "operationId": "get_events",
        "summary": "Follow the history as server-sent events; resumes after the cursor given.",
        "parameters": [
            {"name": "after", "in": "query", "schema": {"type": "string"}},
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {
                "description": "`id` is the cursor, `event` the kind, `data` a JSON object",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
}

CONTENT: Final = {
    "get": {
        "operationId": "get_content",
        "summary": "Give a file's bytes, held or still arriving; ranges are answered.",
        "parameters": [
            {"name": "what", "in": "path", "required": True, "schema": {"type": "string"}},
            {"name": "Range", "in": "header", "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {
                "description": "The whole file.",
                "content": {"application/octet-stream": {}},
            },
            "206": {
                "description": "The range that was asked for.",
                "content": {"application/octet-stream": {}},
            },
            "416": {"description": "The file has no such part."},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
}


def document() -> dict[str, Any]:
    """Give the whole document."""
    kinds: list[Any] = [Problem]
    for route in ROUTES:
        kinds += [
            kind for kind in (route.reply, route.query, route.body) if kind is not None
        ]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=SCHEMAS)
    schema_of = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, Any] = {"/events": EVENTS, "/files/{what}/content": CONTENT}
    for route in ROUTES:
        operation = _operation(route, schema_of, components)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "meshpeer",
            "version": __version__,
            "description": "The only door to a running peer.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                "Problem": {
                    "description": "It was refused; the detail says why.",
                    "content": {CONTENT_TYPE: {"schema": schema_of[repr(Problem)]}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _operation(
    route: Route, schema_of: dict[str, Any], components: dict[str, Any]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.run.__name__,
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", route.path)
        ],
        "responses": {
            "200": {"description": "Done.", "content": _json(schema_of[repr(route.reply)])},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    if route.query is not None:
        for name, schema in components[route.query.__name__]["properties"].items():
            parameter = {"name": name, "in": "query", "schema": schema}
            operation["parameters"].append(parameter)
    if route.body is not None:
        content = _json(schema_of[repr(route.body)])
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
