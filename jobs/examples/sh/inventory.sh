#!/bin/sh
# inventory.sh FILE...: lines, bytes and POSIX checksum of each file, as CSV on stdout.
set -eu
echo "file,lines,size_bytes,cksum"
for file in "$@"; do
  lines=$(wc -l < "$file")
  cksum < "$file" | while read -r sum size; do
    echo "$(basename "$file"),$((lines)),$size,$sum"
  done
done
