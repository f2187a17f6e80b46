#!/bin/sh
# Starts one machine of a cluster: start.sh master | node | login. Prints READY once its service answers, and may be started again after
# it was killed. $PEERS names all machines, $NODES the compute nodes.
set -eu
cell=/scratch/.cell

# until_works TENTHS COMMAND…
until_works() {
  left=$1
  shift
  until "$@" > /dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { echo "start.sh: '$*' does not succeed" >&2; return 1; }
    sleep 0.1
  done
}

# Grid Engine takes a machine's name from its address; the network's own answer to that is a name of the engine's.
know_peers() {
  # All start together the first time; later one may be gone.
  [ -e /etc/site/started ] && patience=20 || patience=1000
  touch /etc/site/started
  for peer in $PEERS; do
    [ "$peer" != "$(hostname)" ] || continue
    until_works "$patience" getent ahostsv4 "$peer" || continue
    echo "$(getent ahostsv4 "$peer" | sed -n '1s/ .*//p') $peer" >> /etc/hosts
  done
}

# settings FILE: replaces keys of a configuration on stdin by those of FILE; continued lines are one.
settings() {
  sed -e ':join' -e '/\\$/{N;s/\\\n *//;b join' -e '}' | awk -v file="$1" '
    BEGIN { while ((getline line < file) > 0) { key = line; sub(/ .*/, "", key); given[key] = line } }
    { print ($1 in given) ? given[$1] : $0 }'
}

configure() {
  qconf -ah "login,$(echo "$NODES" | tr ' ' ,)"
  qconf -as login
  qconf -sconf | settings /etc/site/global > /tmp/global && qconf -Mconf /tmp/global
  qconf -ssconf | settings /etc/site/scheduler > /tmp/scheduler && qconf -Msconf /tmp/scheduler
  printf 'group_name @nodes\nhostlist %s\n' "$NODES" > /tmp/nodes && qconf -Ahgrp /tmp/nodes
  printf '%s\n' 'pe_name smp' 'slots 999' 'user_lists NONE' 'xuser_lists NONE' 'start_proc_args NONE' 'stop_proc_args NONE' \
    'allocation_rule $pe_slots' 'control_slaves FALSE' 'job_is_first_task TRUE' 'urgency_slots min' 'accounting_summary FALSE' \
    'qsort_args NONE' > /tmp/smp
  qconf -Ap /tmp/smp
  add_queue main.q
  add_queue short.q 'h_rt 00:05:00'
}

# add_queue NAME [LINE]
add_queue() {
  { cat /etc/site/queue; printf 'qname %s\n%s\n' "$@"; } > /tmp/lines
  qconf -sq | settings /tmp/lines > /tmp/queue && qconf -Aq /tmp/queue
}

know_peers
case $1 in
  master)
    if ! [ -e "$cell/common/act_qmaster" ]; then
      cp -a /var/lib/gridengine/cell "$cell.new"
      hostname > "$cell.new/common/act_qmaster"
      mv "$cell.new" "$cell"
    fi
    (
      until_works 1000 qconf -sm
      [ -e /etc/site/done ] || { configure && touch /etc/site/done; }
      echo READY
    ) &
    SGE_ND=1 exec sge_qmaster
    ;;
  node)
    until_works 1000 qconf -shgrp @nodes
    (until_works 1000 sh -c "qconf -sel | grep -x $(hostname)" && echo READY) &
    SGE_ND=1 exec sge_execd
    ;;
  login)
    [ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
    usermod -s "${LOGIN_SHELL:-/bin/bash}" alice 2> /dev/null
    [ -z "${PASSWORD:-}" ] || echo "alice:$PASSWORD" | chpasswd
    install -d -o alice -g alice -m 700 /scratch/alice
    install -d -o bob -g bob -m 700 /scratch/bob
    until_works 1000 qconf -sq main.q
    echo READY
    exec /usr/sbin/sshd -D -e
    ;;
esac
