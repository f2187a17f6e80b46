#!/bin/sh
# Addresses → racks, a line each: dn3-r2 lies in /r2. File racks, if there is one, has a name and its rack a line.
for address; do
  name=$(getent hosts "$address" | sed 's/^[^ ]* *\([^ .]*\).*/\1/')
  told=$(sed -n "s/^$name //p" /etc/hadoop/racks 2> /dev/null)
  case $told$name in
    /*) echo "$told" ;;
    *-r[0-9]*) echo "/${name##*-}" ;;
    *) echo /default-rack ;;
  esac
done
