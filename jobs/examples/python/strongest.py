#!/usr/bin/env python3
"""strongest.py WINDS.csv OUTPUT.ndjson: the point with the strongest wind of a month, as one line of JSON."""
import csv
import json
import math
import pathlib
import sys

source, target = map(pathlib.Path, sys.argv[1:])
with source.open(newline="") as lines:
    points = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]
top = max(points, key=lambda point: math.hypot(point["u_m_s"], point["v_m_s"]))
speed = round(math.hypot(top["u_m_s"], top["v_m_s"]), 2)
answer = {"month": source.stem, "lon_deg": top["lon_deg"], "lat_deg": top["lat_deg"], "speed_m_s": speed}
target.write_text(json.dumps(answer) + "\n")
