#!/usr/bin/env python3
"""Cut the Arctic sample out of two data sets of Debian's package ferret-datasets.

    apt-get download ferret-datasets && dpkg -x ferret-datasets_*.deb ferret
    python3 make.py ferret/usr/share/ferret-vis/data

Writes winds/YYYY-MM.csv, climate/MM.csv and sectors.csv beside this script, or into a second
argument. The same source gives the same bytes. Needs numpy and scipy (Debian: python3-scipy).
"""
import datetime
import pathlib
import sys

import numpy as np
from scipy.io import netcdf_file

FIRST_YEAR, LAST_YEAR = 1982, 1992
SOUTH_DEG = 60  # the row at 90 N is left out: it has no area, and east and north mean nothing there

# lon_from <= lon < lon_to, degrees east; the first one crosses Greenwich
SECTORS = [
    ("nordic", 340, 20, "Greenland Sea; Iceland Sea; Norwegian Sea; northern Baltic"),
    ("barents", 20, 60, "Barents Sea; White Sea"),
    ("kara", 60, 100, "Kara Sea"),
    ("laptev", 100, 140, "Laptev Sea"),
    ("east-siberian", 140, 180, "East Siberian Sea; in the south also Shelikhov Gulf and western Bering Sea"),
    ("chukchi-beaufort", 180, 235, "Chukchi Sea; Beaufort Sea; in the south also eastern Bering Sea"),
    ("canadian-archipelago", 235, 280, "channels of the Canadian Archipelago; northern Hudson Bay"),
    ("baffin-greenland", 280, 340, "Baffin Bay; Davis Strait; Labrador Sea; Denmark Strait"),
]


def open_source(path):
    with netcdf_file(path, "r", mmap=False) as source:
        return {
            name: (np.array(variable.data, dtype=float), variable._attributes)
            for name, variable in source.variables.items()
        }


def months(time_hours, units):
    prefix = "hour since "
    units = units.decode()
    if not units.startswith(prefix):
        sys.exit(f"time is not in hours: {units}")
    origin = datetime.datetime.fromisoformat(units[len(prefix):])
    dates = [origin + datetime.timedelta(hours=float(hours)) for hours in time_hours]
    return [(date.year, date.month) for date in dates]


def sea_mask(lon_deg, lat_deg, relief):
    """True where more than half of the 1-degree cells centred within 1.25 degrees lie below sea level."""
    metres, _ = relief["ROSE"]
    relief_lon, _ = relief["ETOPO60X"]
    relief_lat, _ = relief["ETOPO60Y"]
    mask = np.zeros((len(lat_deg), len(lon_deg)), dtype=bool)
    for row, lat in enumerate(lat_deg):
        near_lat = np.abs(relief_lat - lat) <= 1.25
        for column, lon in enumerate(lon_deg):
            near_lon = np.abs((relief_lon - lon + 180) % 360 - 180) <= 1.25
            mask[row, column] = (metres[np.ix_(near_lat, near_lon)] < 0).mean() > 0.5
    return mask


def number(value):
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(row) + "\n" for row in [header, *rows]), encoding="ascii", newline="\n")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    source = pathlib.Path(sys.argv[1])
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else pathlib.Path(__file__).resolve().parent

    winds = open_source(source / "monthly_navy_winds.cdf")
    east, east_attributes = winds["UWND"]
    north, north_attributes = winds["VWND"]
    hours, time_attributes = winds["TIME"]

    expected = [(year, month) for year in range(FIRST_YEAR, LAST_YEAR + 1) for month in range(1, 13)]
    if months(hours, time_attributes["units"]) != expected:
        sys.exit("the time axis is not one step for each month")
    for field, attributes in ((east, east_attributes), (north, north_attributes)):
        if attributes["units"] != b"M/S":
            sys.exit(f"wind is not in m/s: {attributes['units']}")
        if np.isclose(field, attributes["missing_value"]).any():
            sys.exit("values are missing")

    order = np.argsort(winds["FNOCX"][0] % 360)
    lon = (winds["FNOCX"][0] % 360)[order]
    rows = (winds["FNOCY"][0] >= SOUTH_DEG) & (winds["FNOCY"][0] < 90)
    lat = winds["FNOCY"][0][rows]
    east, north = (field[:, rows][:, :, order] for field in (east, north))
    speed = np.hypot(east, north)

    sea = sea_mask(lon, lat, open_source(source / "etopo60.cdf"))
    points = [(i, j) for i in range(len(lat)) for j in range(len(lon)) if sea[i, j]]
    places = [[f"{lon[j]:g}", f"{lat[i]:g}"] for i, j in points]

    for step, (year, month) in enumerate(expected):
        write(
            target / "winds" / f"{year}-{month:02d}.csv",
            ["lon_deg", "lat_deg", "u_m_s", "v_m_s"],
            [place + [number(east[step, i, j]), number(north[step, i, j])] for place, (i, j) in zip(places, points)],
        )
    for month in range(1, 13):
        mean = speed[month - 1::12].mean(axis=0)
        write(
            target / "climate" / f"{month:02d}.csv",
            ["lon_deg", "lat_deg", "speed_m_s"],
            [place + [number(mean[i, j])] for place, (i, j) in zip(places, points)],
        )
    write(
        target / "sectors.csv",
        ["sector", "lon_from_deg", "lon_to_deg", "seas"],
        [[name, str(start), str(end), seas] for name, start, end, seas in SECTORS],
    )
    print(f"{len(expected)} months, 12 of climate, {len(points)} points each, {len(SECTORS)} sectors")


main()
