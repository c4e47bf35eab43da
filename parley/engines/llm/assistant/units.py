"""Conversions: "how many miles is ten kilometers", "convert 5 foot 11 to centimeters", "350 fahrenheit in celsius"."""

import re
from typing import Final, NamedTuple

from parley.engines.llm.assistant.dialogue import Dialogue, Reply
from parley.engines.llm.assistant.numbers import spoken, with_digits


class Unit(NamedTuple):
    """A value in base units is `value * factor + offset`. `names` are how it is said; the first two are shown."""

    dimension: str
    factor: float
    names: tuple[str, ...]
    offset: float = 0.0


def _units(dimension: str, *rows: tuple[float, str]) -> list[Unit]:
    return [Unit(dimension, factor, tuple(names.split(","))) for factor, names in rows]


UNITS: Final = (
    *_units(
        "a length",
        (1.0, "meter,meters,metre,metres"),
        (1e3, "kilometer,kilometers,kilometre,kilometres,km,kms"),
        (0.01, "centimeter,centimeters,centimetre,centimetres,cm"),
        (0.001, "millimeter,millimeters,millimetre,millimetres,mm"),
        (1609.344, "mile,miles"),
        (0.9144, "yard,yards"),
        (0.3048, "foot,feet,ft"),
        (0.0254, "inch,inches"),
        (1852.0, "nautical mile,nautical miles"),
    ),
    *_units(
        "a weight",
        (1.0, "kilogram,kilograms,kilo,kilos,kg"),
        (0.001, "gram,grams"),
        (1e-6, "milligram,milligrams,mg"),
        (1e3, "ton,tons,tonne,tonnes"),
        (0.45359237, "pound,pounds,lb,lbs"),
        (0.028349523125, "ounce,ounces,oz"),
        (6.35029318, "stone,stones"),
    ),
    *_units(
        "a volume",
        (1.0, "liter,liters,litre,litres"),
        (0.001, "milliliter,milliliters,millilitre,millilitres,ml"),
        (3.785411784, "gallon,gallons"),
        (0.946352946, "quart,quarts"),
        (0.473176473, "pint,pints"),
        (0.2365882365, "cup,cups"),
        (0.0295735295625, "fluid ounce,fluid ounces"),
        (0.01478676478125, "tablespoon,tablespoons"),
        (0.00492892159375, "teaspoon,teaspoons"),
        (1000.0, "cubic meter,cubic meters,cubic metre,cubic metres"),
    ),
    *_units(
        "a speed",
        (1.0, "meter per second,meters per second,metres per second"),
        (1 / 3.6, "kilometer per hour,kilometers per hour,kilometres per hour,kilometers an hour,kph"),
        (0.44704, "mile per hour,miles per hour,miles an hour,mph"),
        (1852 / 3600, "knot,knots"),
    ),
    *_units(
        "a span of time",
        (1.0, "second,seconds"),
        (0.001, "millisecond,milliseconds"),
        (60.0, "minute,minutes"),
        (3600.0, "hour,hours"),
        (86400.0, "day,days"),
        (604800.0, "week,weeks"),
        (365.2425 * 86400 / 12, "month,months"),
        (365.2425 * 86400, "year,years"),
    ),
    *_units(
        "an amount of data",
        (1.0, "byte,bytes"),
        (0.125, "bit,bits"),
        (1e3, "kilobyte,kilobytes,kb"),
        (1e6, "megabyte,megabytes,mb"),
        (1e9, "gigabyte,gigabytes,gb"),
        (1e12, "terabyte,terabytes,tb"),
        (1024.0, "kibibyte,kibibytes"),
        (1024.0**2, "mebibyte,mebibytes"),
        (1024.0**3, "gibibyte,gibibytes"),
    ),
    *_units(
        "an area",
        (1.0, "square meter,square meters,square metre,square metres"),
        (1e6, "square kilometer,square kilometers"),
        (0.09290304, "square foot,square feet"),
        (2589988.110336, "square mile,square miles"),
        (4046.8564224, "acre,acres"),
        (1e4, "hectare,hectares"),
    ),
    Unit("a temperature", 1.0, ("degree Celsius", "degrees Celsius", "celsius", "centigrade")),
    Unit("a temperature", 5 / 9, ("degree Fahrenheit", "degrees Fahrenheit", "fahrenheit"), -32 * 5 / 9),
    Unit("a temperature", 1.0, ("kelvin", "kelvin", "kelvins"), -273.15),
)

_BY_NAME: Final = {name.lower(): unit for unit in UNITS for name in unit.names}
_NAME: Final = "|".join(re.escape(name) for name in sorted(_BY_NAME, key=len, reverse=True))
_MENTION: Final = re.compile(
    rf"(?:(?P<number>-?\d+(?:\.\d+)?|\ban?\b|\bone\b|\bhalf an?\b) ?(?:degrees? )?)?\b(?P<unit>{_NAME})\b",
    re.IGNORECASE,
)
_LOOSE_INCHES: Final = re.compile(r"\b(\d+) (?:foot|feet) (?:and )?(\d+)(?! ?inch)\b", re.IGNORECASE)
_ASKS: Final = re.compile(
    r"\b(?:how (?:many|much|long|far|fast|hot|cold|heavy|tall|big)|convert|what is|what are|turn|change|in|to|into)\b",
    re.I,
)


def units(dialogue: Dialogue) -> Reply | None:
    """Converts between units, when one quantity and one wanted unit are named."""
    line = with_digits(dialogue.request)
    line = re.sub(r"\bminus (?=\d)", "-", _LOOSE_INCHES.sub(r"\1 feet \2 inches", line), flags=re.IGNORECASE)
    if not _ASKS.search(line):
        return None
    quantities, wanted = _mentions(line)
    if not quantities or wanted is None:
        return None
    source = quantities[0][1]
    if source.dimension != wanted.dimension:
        return Reply(
            f"{source.names[1].capitalize()} measure {source.dimension}, and {wanted.names[1]} {wanted.dimension}."
        )
    if any(unit.dimension != source.dimension for _, unit in quantities):
        return None
    base = sum(number * unit.factor + unit.offset for number, unit in quantities)
    value = (base - wanted.offset) / wanted.factor
    given = " ".join(_quantity(number, unit) for number, unit in quantities)
    result = _quantity(value, wanted)
    return Reply(f"{given[0].upper()}{given[1:]} {'is' if len(quantities) == 1 else 'are'} {result}.", brief=result)


def _mentions(line: str) -> tuple[list[tuple[float, Unit]], Unit | None]:
    """The quantities that are given, and the one unit that is asked for."""
    found = [(m["number"], _BY_NAME[m["unit"].lower()]) for m in _MENTION.finditer(line)]
    given = [(_value(number), unit) for number, unit in found if number]
    bare = {unit.names[0]: unit for number, unit in found if not number}
    if len(bare) == 1:
        return given, next(iter(bare.values()))
    return given, None


def _value(number: str) -> float:
    if number.lower().startswith("half"):
        return 0.5
    return 1.0 if number.lower() in ("a", "an", "one") else float(number)


def _quantity(value: float, unit: Unit) -> str:
    number = spoken(value)
    return f"{number} {unit.names[0] if number == '1' else unit.names[1]}"
