#!/bin/sh
# Starts the host: start.sh login. Prints READY, and may be started again after it was killed.
set -eu
[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
usermod -s "${LOGIN_SHELL:-/bin/bash}" alice 2> /dev/null
[ -z "${PASSWORD:-}" ] || echo "alice:$PASSWORD" | chpasswd
install -d -o alice -g alice -m 700 /scratch/alice
install -d -o bob -g bob -m 700 /scratch/bob
echo READY
exec /usr/sbin/sshd -D -e
