#!/bin/sh
# Waits to be asked: read.py URL.
echo READY
exec sleep infinity
