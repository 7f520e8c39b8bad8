# SPDX-License-Identifier: Apache-2.0
"""Values from schemas of the OpenAPI document: such as are right, and such as are wrong in one known place."""
import json
import re

try:
    import re._parser as sre_parse
except ImportError:
    import sre_parse

LETTERS = "abcXYZ019 -_./:\\\"'{}%$äß€\U0001f600\u0301\u202e\x01\x7f\n"
# Beyond this a longest text shows nothing that a shorter one does not.
LONGEST = 4096


def text_of(rng, pattern, longest):
    """A text that the pattern matches, at most that long where the pattern lets it be."""
    def one(kind, value):
        name = str(kind)
        if name == "LITERAL":
            return chr(value)
        if name == "ANY":
            return "x"
        if name == "NOT_LITERAL":
            return "a" if value != ord("a") else "b"
        if name == "IN":
            return pick(value)
        if name == "SUBPATTERN":
            return many(value[3])
        if name == "BRANCH":
            return many(rng.choice(value[1]))
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            low, high, what = value
            times = rng.randint(low, min(int(high), low + rng.choice((0, 1, 5, 20))))
            return "".join(many(what) for _ in range(times))
        return ""

    def pick(items):
        if str(items[0][0]) == "NEGATE":
            banned = {chr(value) for kind, value in items[1:] if str(kind) == "LITERAL"}
            return rng.choice([c for c in "abc/.x" if c not in banned])
        kind, value = rng.choice(items)
        return chr(rng.randint(*value)) if str(kind) == "RANGE" else chr(value)

    def many(parsed):
        return "".join(one(kind, value) for kind, value in parsed)

    for _ in range(50):
        text = many(sre_parse.parse(pattern))
        # A pattern that leaves its end open takes anything there.
        if not pattern.endswith("$") and rng.random() < 0.5:
            text += rng.choice(("a", "b/c", "etc/x y", "ä"))
        if len(text) <= longest:
            return text
    raise AssertionError(f"no text for {pattern}")


class Generator:
    def __init__(self, document, rng):
        self.document = document
        self.rng = rng

    # --- what is right ---

    def flat(self, schema):
        """With what it refers to."""
        while "$ref" in schema:
            rest = {k: v for k, v in schema.items() if k != "$ref"}
            schema = {**self.document.resolve({"$ref": schema["$ref"]}), **rest}
        return schema

    def string(self, s):
        rng, low, high = self.rng, s.get("minLength", 0), s.get("maxLength", 60)
        if s.get("format") == "date-time":
            return f"20{rng.randint(10, 50)}-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T0{rng.randint(0, 9)}:00:00Z"
        if "pattern" in s:
            for _ in range(100):
                text = text_of(rng, s["pattern"], high)
                if len(text) >= low:
                    return text
        length = rng.choice((low, min(high, low + rng.randint(0, 12)), min(high, LONGEST) if rng.random() < 0.1 else low + 1))
        return "".join(rng.choice(LETTERS) for _ in range(min(length, high)))

    def number(self, s):
        low, high = s.get("minimum", -5), s.get("maximum", 1 << 31)
        return self.rng.choice((low, high, self.rng.randint(low, high), min(high, low + self.rng.randint(0, 99))))

    def array(self, s):
        low, high = s.get("minItems", 0), min(s.get("maxItems", 3), 3)
        return [self.value(s.get("items", {})) for _ in range(self.rng.randint(low, max(low, high)))]

    def object(self, s):
        rng, properties = self.rng, s.get("properties", {})
        forms = s.get("oneOf", [])
        form = rng.choice(forms) if forms else {}
        others = {name for f in forms for name in f.get("required", [])} - set(form.get("required", []))
        wanted = set(s.get("required", [])) | set(form.get("required", []))
        wanted |= {name for name in properties if name not in others and rng.random() < 0.3}
        for name, needs in s.get("dependentRequired", {}).items():
            if name in wanted and not others & set(needs):
                wanted |= set(needs)
            elif name in wanted and not set(needs) <= wanted:
                wanted.discard(name)
        value = {name: self.value(properties[name]) for name in properties if name in wanted}
        more = s.get("additionalProperties")
        if isinstance(more, dict):
            for _ in range(rng.randint(0, 3)):
                value[self.value(s.get("propertyNames", {"type": "string"}))] = self.value(more)
        while len(value) < s.get("minProperties", 0):
            name = rng.choice(sorted(properties))
            value[name] = self.value(properties[name])
        return value

    def value(self, schema):
        s = self.flat(schema)
        if "const" in s:
            return s["const"]
        if "enum" in s:
            return self.rng.choice(s["enum"])
        kind = s.get("type", "string")
        kind = self.rng.choice(kind) if isinstance(kind, list) else kind
        return {"string": self.string, "integer": self.number, "number": self.number, "array": self.array,
                "object": self.object, "boolean": lambda _: self.rng.random() < 0.5, "null": lambda _: None}[kind](s)

    # --- what is wrong ---

    def wrong(self, schema, value, place=()):
        """(what is wrong, the place, another value for the place; KeyError for none) for each way to spoil the value."""
        s = self.flat(schema)
        kinds = s.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if kinds and "null" not in kinds:
            yield "null", place, None
        for kind, other in (("string", "x"), ("integer", 7), ("boolean", True), ("array", []), ("object", {}), ("number", 1.5)):
            if kinds and kind not in kinds and not (kind == "integer" and "number" in kinds):
                yield f"a {kind}", place, other
        if "minimum" in s:
            yield "too small", place, s["minimum"] - 1
        if "maximum" in s:
            yield "too large", place, s["maximum"] + 1
        if s.get("minLength", 0) > 0:
            yield "too short", place, ""
        if s.get("maxLength", LONGEST + 1) <= LONGEST:
            yield "too long", place, "a" * (s["maxLength"] + 1)
        if "pattern" in s:
            yield "not of the pattern", place, "€ !"
        if "enum" in s:
            yield "none of the values", place, "no such value"
        if s.get("minItems"):
            yield "too few items", place, []
        if isinstance(value, dict):
            yield from self.wrong_object(s, value, place)
        if isinstance(value, list) and value and "items" in s:
            yield from self.wrong(s["items"], value[-1], place + (len(value) - 1,))

    def wrong_object(self, s, value, place):
        for name in s.get("required", []):
            yield "missing", place + (name,), KeyError
        if s.get("additionalProperties") is False:
            yield "not known", place + ("no_such_field",), 1
        for name, inner in value.items():
            if name in s.get("properties", {}):
                yield from self.wrong(s["properties"][name], inner, place + (name,))


def spoiled(value, place, other):
    """A copy with something else at the place."""
    if not place:
        return other
    whole = json.loads(json.dumps(value))
    at = whole
    for step in place[:-1]:
        at = at[step]
    if other is KeyError:
        at.pop(place[-1], None)
    else:
        at[place[-1]] = other
    return whole


def pointer(place):
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)


def matches(pattern, text):
    return re.search(pattern, text) is not None
