"""What the API server says about the properties of its own kinds."""

import re
from decimal import Decimal

from sandbox.plugins.values import Json, Properties

_BUILT_IN = "io.k8s.api."
"""Kinds of other names are custom ones, whose properties are left as they are."""
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_REFERENCE = "#/components/schemas/"
_BINARY = [(Decimal(1024) ** power, suffix) for power, suffix in ((6, "Ei"), (5, "Pi"), (4, "Ti"), (3, "Gi"))]
_BINARY += [(Decimal(1024) ** 2, "Mi"), (Decimal(1024), "Ki"), (Decimal(1), "")]
_DECIMAL = [
    (Decimal(10) ** power, suffix)
    for power, suffix in zip(range(18, -12, -3), ("E", "P", "T", "G", "M", "k", "", "m", "u", "n"), strict=True)
]


class Schema:
    """The kinds of one API version, as in the API server's OpenAPI document."""

    def __init__(self, document: Properties) -> None:
        self._definitions: Properties = document["components"]["schemas"]
        self._kinds = {
            kind["kind"]: definition
            for name, definition in self._definitions.items()
            if name.startswith(_BUILT_IN)
            for kind in definition.get("x-kubernetes-group-version-kind", [])
        }

    def normalize(self, plain: Properties) -> Properties:
        """Returns an object as the API server will understand it: without properties that it does not know, and with
        quantities as it writes them.
        """  # noqa: D205 - one sentence
        definition = self._kinds.get(plain.get("kind", ""))
        normalized: Properties = self._normalize(definition, plain) if definition else plain
        return normalized

    def _normalize(self, definition: Properties, value: Json) -> Json:
        for part in (definition, *definition.get("allOf", [])):
            if "$ref" in part:
                name = part["$ref"].removeprefix(_REFERENCE)
                return (
                    canonical_quantity(value) if name == _QUANTITY else self._normalize(self._definitions[name], value)
                )
        if isinstance(value, dict) and "properties" in definition:
            known = definition["properties"]
            return {key: self._normalize(known[key], item) for key, item in value.items() if key in known}
        if isinstance(value, dict) and isinstance(definition.get("additionalProperties"), dict):
            return {key: self._normalize(definition["additionalProperties"], item) for key, item in value.items()}
        if isinstance(value, list) and "items" in definition:
            return [self._normalize(definition["items"], item) for item in value]
        return value


def canonical_quantity(value: Json) -> Json:
    """Returns a quantity such as `1024Mi` or 0.5 as the API server writes it: `1Gi`, `500m`.

    What is no quantity, or has an exponent, is returned as it is.
    """
    from kubernetes.utils.quantity import parse_quantity  # noqa: PLC0415 - imports the whole client

    text = str(value)
    try:
        number: Decimal = parse_quantity(text)  # type: ignore[no-untyped-call]
    except ValueError:
        return value
    if re.search(r"[eE]\d", text):
        return value
    if number == 0:
        return "0"
    units = _BINARY if text.endswith("i") and abs(number) >= _BINARY[-2][0] else _DECIMAL
    for unit, suffix in units:
        if number % unit == 0:
            return f"{int(number / unit)}{suffix}"
    return value
