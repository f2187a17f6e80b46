#!/bin/sh
# The wind of one month in one sector, as a table of one row.
#   sector-mean.sh YEAR MONTH SECTOR WINDS.csv CLIMATE.csv SECTORS.csv OUTPUT.csv
# Means are weighted by the area that a point of the grid stands for, cos(latitude).
set -eu
export LC_ALL=C

if [ $# -ne 7 ]; then
  echo "usage: sector-mean.sh YEAR MONTH SECTOR WINDS.csv CLIMATE.csv SECTORS.csv OUTPUT.csv" >&2
  exit 2
fi

awk -F, -v year="$1" -v month="$2" -v sector="$3" '
  function fail(why) { print "sector-mean.sh: " why | "cat >&2"; failed = 1; exit 1 }
  function weight(lat) { return cos(lat * pi / 180) }
  function inside(lon) { return from < to ? lon >= from && lon < to : lon >= from || lon < to }

  BEGIN {
    pi = atan2(0, -1)
    cell_km2 = (6371 * 2.5 * pi / 180) ^ 2   # a point stands for 2.5 by 2.5 degrees; this many km2 at the equator
  }
  FNR == 1 { next }

  part == "sectors" && $1 == sector { from = $2 + 0; to = $3 + 0; known = 1 }
  part == "sectors" { next }
  !known { fail("no sector " sector) }

  part == "climate" && NF != 3 { fail(FILENAME ":" FNR ": 3 columns wanted, got " NF) }
  part == "climate" && inside($1) { w = weight($2); usual += w * $3; usual_area += w }
  part == "climate" { next }

  NF != 4 { fail(FILENAME ":" FNR ": 4 columns wanted, got " NF) }
  inside($1) {
    w = weight($2)
    area += w; u += w * $3; v += w * $4
    speed += w * sqrt($3 * $3 + $4 * $4)
    points++
  }

  END {
    if (failed) exit 1
    if (!points || !usual_area) fail("no points in sector " sector)
    area_km2 = cell_km2 * area
    u /= area; v /= area; speed /= area
    along = sqrt(u * u + v * v)
    steadiness = speed ? along / speed : 0
    degrees = atan2(0 - u, 0 - v) * 180 / pi   # where it comes from, clockwise from north
    if (degrees < 0) degrees += 360
    if (degrees >= 359.95) degrees = 0
    degrees = along ? sprintf("%.1f", degrees) : ""
    anomaly = speed - usual / usual_area
    if (anomaly > -0.0005 && anomaly < 0) anomaly = 0
    print "month_start,year,month,sector,mean_speed_m_s,speed_anomaly_m_s,steadiness,direction_deg,points,area_km2"
    printf "%04d-%02d-01,%d,%d,%s,%.3f,%.3f,%.3f,%s,%d,%.0f\n", \
      year, month, year, month, sector, speed, anomaly, steadiness, degrees, points, area_km2
  }
' part=sectors "$6" part=climate "$5" part=winds "$4" > "$7"
