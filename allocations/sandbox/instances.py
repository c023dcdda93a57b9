"""What the sandbox says where a request asks for JSON: the same instance of a schema for the same prompt, always.

It follows types, enumerations, references and required properties, and ignores what only narrows a value further
(patterns, bounds): enough for what SDKs make of classes and functions.
"""

from typing import Any

VOCABULARY = (
    "amber anchor apple autumn basin beacon birch bridge candle canyon cedar cloud coast copper coral cotton creek "
    "crystal dawn delta dune eagle ember falcon fern field forest garden glacier granite harbor hazel heron hill "
    "island ivory jasper juniper lagoon lantern lark linen maple marble meadow mint mist moss north oak ocean olive "
    "orchard pearl pebble pine plum prairie quartz rain raven reed ridge river saffron sage shore silver sky slate "
    "snow spruce star stone stream summit thistle timber valley violet walnut willow winter"
)
WORDS = VOCABULARY.split()
MOST_DEPTH = 12


def of(schema: dict[str, Any], digest: bytes) -> Any:
    """Return an instance of a JSON schema; `digest` chooses its words and numbers."""
    return _Maker(schema, digest).make(schema, 0)


class _Maker:
    """Makes one instance; counts what it has made, so that values differ."""

    def __init__(self, root: dict[str, Any], digest: bytes) -> None:
        self._root, self._digest, self._made = root, digest, 0

    def make(self, schema: object, depth: int) -> Any:
        """Return an instance of a part of the schema; null where it goes too deep or says nothing."""
        if not isinstance(schema, dict) or depth > MOST_DEPTH:
            return None
        if isinstance(schema.get("$ref"), str):
            return self.make(self._find(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        for name in ("enum", "anyOf", "oneOf", "allOf"):
            options = schema.get(name)
            if isinstance(options, list) and options:
                return options[self._next() % len(options)] if name == "enum" else self.make(options[0], depth + 1)
        return self._typed(schema, depth)

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else None)
        match kind[0] if isinstance(kind, list) and kind else kind:
            case "object":
                properties = schema.get("properties")
                named = properties.items() if isinstance(properties, dict) else ()
                return {name: self.make(inner, depth + 1) for name, inner in named}
            case "array":
                return [self.make(schema.get("items"), depth + 1) for _ in range(2)]
            case "string":
                return WORDS[self._next() % len(WORDS)]
            case "integer" | "number":
                return self._next()
            case "boolean":
                return self._next() % 2 == 0
        return None

    def _find(self, reference: str) -> object:
        found: object = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(step) if isinstance(found, dict) and step else found
        return found

    def _next(self) -> int:
        self._made += 1
        return self._digest[self._made % len(self._digest)]
