"""The management API for people to read: one page of HTML, made of its document, with nothing from elsewhere."""

from html import escape
from typing import Any, Final

STYLE: Final = """
:root { color-scheme: light dark; --line: light-dark(#ddd, #333); --dim: light-dark(#666, #999);
        --code: light-dark(#f4f4f6, #1d1d22) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       background: light-dark(#fff, #131316); color: light-dark(#1a1a1e, #eaeaee) }
h2 { border-top: 1px solid var(--line); padding-top: 1.5rem; font-size: 1.1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9em }
pre { background: var(--code); padding: .8rem 1rem; border-radius: .5rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top }
th { color: var(--dim); font-weight: 500 } .dim { color: var(--dim) }
"""


def page(document: dict[str, Any]) -> str:
    """HTML."""
    schemas = document["components"]["schemas"]
    operations = [
        _operation(method, path, described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]
    shapes = [_schema(name, schema) for name, schema in sorted(schemas.items())]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{title}</h1><p>{escape(document['info']['description'])}</p>"
        "<p>Send an API key with the scope <code>admin</code> as <code>Authorization: Bearer KEY</code>. "
        'The same as <a href="openapi.json">OpenAPI 3.1</a>.</p>'
        '<pre>curl -H "Authorization: Bearer $PARLEY_API_KEY" http://127.0.0.1:8000/api/credits</pre>'
        f"{''.join(operations)}<h1>Shapes</h1>{''.join(shapes)}</body></html>"
    )


def _operation(method: str, path: str, described: dict[str, Any]) -> str:
    rows = [
        f"<tr><th>{escape(one['in'])}</th><td><code>{escape(one['name'])}</code></td><td>{_type(one['schema'])}</td></tr>"
        for one in described["parameters"]
    ]
    if "requestBody" in described:
        schema = next(iter(described["requestBody"]["content"].values()))["schema"]
        rows.append(f"<tr><th>body</th><td></td><td>{_type(schema)}</td></tr>")
    for status, response in described["responses"].items():
        kind, content = next(iter(response["content"].items()))
        shown = _type(content["schema"]) if "schema" in content else escape(kind)
        rows.append(f"<tr><th>{escape(status)}</th><td></td><td>{shown}</td></tr>")
    return (
        f'<h2 id="{escape(described["operationId"])}"><code>{method.upper()} {escape(path)}</code></h2>'
        f"<p>{escape(described['summary'])}. <span class=dim>{escape(described['description'])}</span></p>"
        f"<table>{''.join(rows)}</table>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = [
        f"<tr><td><code>{escape(key)}</code></td><td>{_type(kind)}</td>"
        f"<td class=dim>{'' if key in needed else 'may be left out'}</td></tr>"
        for key, kind in schema.get("properties", {}).items()
    ]
    about = escape(schema.get("description", ""))
    return f'<h2 id="{escape(name)}">{escape(name)}</h2><p>{about}</p><table>{"".join(rows)}</table>'


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = [name for name in sorted(schema) if name.startswith(("max", "min"))]
    limits = [f"{escape(name)} {escape(str(schema[name]))}" for name in bounds]
    kind = schema.get("type", "anything")
    return escape(" or ".join(kind) if isinstance(kind, list) else str(kind)) + (
        f" <span class=dim>({', '.join(limits)})</span>" if limits else ""
    )
