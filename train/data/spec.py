"""What names a data set on the command line and in the config: `scheme:PATH?parameter=value&…`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from coke_edge.errors import DataError

Options = TypeVar("Options", bound=msgspec.Struct)


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """A specification taken apart; `text` is what the user wrote."""

    text: str
    scheme: str
    path: Path
    parameters: Mapping[str, list[str]]

    def options(self, kind: type[Options]) -> Options:
        """The parameters as a struct of `kind`: its field names are the parameters that the scheme allows.

        A parameter may stand several times where its field is a list. Raises DataError on one that is
        unknown, repeated without need or of the wrong kind.
        """
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        values: dict[str, str | list[str]] = {}
        for name, given in self.parameters.items():
            if name not in fields:
                allowed = ", ".join(fields) or "none"
                raise DataError(f"{self.text}: unknown parameter '{name}', {self.scheme}: takes {allowed}")
            is_list = fields[name].type == list[str]
            if len(given) > 1 and not is_list:
                raise DataError(f"{self.text}: the parameter '{name}' may stand only once")
            values[name] = given if is_list else given[0]
        try:
            return msgspec.convert(values, kind, strict=False)
        except msgspec.ValidationError as error:
            raise DataError(f"{self.text}: a parameter has the wrong value: {error}") from error


def parse_spec(text: str) -> DatasetSpec:
    """Take `scheme:PATH?parameter=value&…` apart; `%26` in a value stands for `&`, `~` for the home folder.

    Raises DataError if the scheme, the path or a parameter's value is missing.
    """
    scheme, colon, rest = text.partition(":")
    location, _, query = rest.partition("?")
    if not (colon and scheme and location):
        raise DataError(f"'{text}' names no data set: write it as scheme:PATH, for example lsp:data/lsp")
    parameters: dict[str, list[str]] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise DataError(f"{text}: '{part}' is no parameter, write it as name=value")
        parameters.setdefault(name, []).append(unquote(value))
    return DatasetSpec(text, scheme, Path(location).expanduser(), parameters)
