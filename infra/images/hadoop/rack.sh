#!/bin/sh
# Addresses → racks, a line each: dn3-r2 lies in /r2.
for address; do
  name=$(getent hosts "$address" | sed 's/^[^ ]* *\([^ .]*\).*/\1/')
  case $name in
    *-r[0-9]*) echo "/${name##*-}" ;;
    *) echo /default-rack ;;
  esac
done
