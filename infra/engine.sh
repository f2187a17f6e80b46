#!/usr/bin/env bash
# A Docker engine for the container tests where none answers: `infra/engine.sh start | stop | status`.
#
# start   Uses the engine that answers. Else, as root on Debian or a system made from it: installs Debian's packages, starts `dockerd`
#         by hand, and sees to the image that all Dockerfiles start from: pulled, or made by debootstrap from the mirror of this
#         machine's own apt sources. Repeating it changes nothing; there is never a second engine. Prints `started` if it started one.
# stop    Ends the engine that `start` started, by its pid, with its containers; images stay. No other engine is touched.
# status  Says what answers. Exit 0: an engine does.
#
# All state is in $FLOE_ENGINE_DIR (default /var/lib/floe-engine): dockerd.pid, dockerd.log, images. Removing it, once stopped, removes all.
set -euo pipefail
export LC_ALL=C

default=/var/lib/floe-engine
# Who is not root starts nothing, but may look, and pull an image.
((EUID == 0)) || default=${TMPDIR:-/tmp}/floe-engine-$EUID
readonly directory=${FLOE_ENGINE_DIR:-$default}
readonly pid_file=$directory/dockerd.pid log=$directory/dockerd.log
readonly suite=bookworm image=debian:bookworm-slim
readonly packages=(docker.io iptables ca-certificates debootstrap)

say() { echo "engine: $*" >&2; }
fail() {
  say "$@"
  exit 1
}

version() { docker version --format '{{.Server.Version}}' 2>&1; }

# is_of_ours PID WORD: whether this process has our directory behind WORD on its command line; pids are used again.
is_of_ours() {
  [[ -n $1 ]] && tr '\0' ' ' 2>/dev/null < "/proc/$1/cmdline" | grep -qF -- "$2 $directory/"
}

ours() {
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) && is_of_ours "$pid" --pidfile && echo "$pid"
}

# Two in one network namespace take each other's bridge and firewall rules away.
others() {
  local pid
  for pid in $(pgrep -x dockerd || true); do
    [[ $(readlink "/proc/$pid/ns/net") == "$(readlink /proc/self/ns/net)" ]] && echo "$pid" && return
  done
  return 1
}

status() {
  local pid answer
  command -v docker > /dev/null || fail "no docker command here."
  answer=$(version) || fail "no engine answers: $answer"
  if pid=$(ours); then
    say "Docker $answer answers; it is ours, pid $pid ($pid_file)."
  else
    say "Docker $answer answers; it is not ours."
  fi
}

check_can_start() {
  local why='Start Docker yourself, and the container tests will use it.' pid
  [[ $(uname -s) == Linux ]] || fail "no engine answers, and one can only be started on Linux. $why"
  [[ -z ${DOCKER_HOST:-} ]] || fail "no engine answers at DOCKER_HOST. $why"
  [[ -e /etc/debian_version ]] && command -v apt-get > /dev/null \
    || fail "no engine answers, and one can only be installed on Debian and what is made from it. $why"
  ((EUID == 0)) || fail "no engine answers, and only root can start one. $why"
  if pid=$(others) && ! ours > /dev/null; then
    fail "dockerd runs (pid $pid) but does not answer: $(version || true)"
  fi
}

# Packages may start services where policy-rc.d does not forbid it.
install_packages() {
  local policy=/usr/sbin/policy-rc.d missing=() package made=
  for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    made=1
  fi
  apt-get -qq update > "$directory/apt.log" 2>&1 \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >> "$directory/apt.log" 2>&1 < /dev/null \
    || made+=failed
  [[ $made != 1* ]] || rm -f "$policy"
  [[ $made != *failed ]] || fail "apt-get could not install ${missing[*]}: $(tail -n 5 "$directory/apt.log")"
}

# A pid file of an engine that died keeps dockerd from starting; its containerd may outlive it.
clear_remains() {
  local containerd=$directory/run/containerd/containerd.pid pid
  pid=$(cat "$containerd" 2>/dev/null) || pid=
  if is_of_ours "$pid" --config; then
    kill -TERM "$pid" && wait_for 100 is_gone "$pid" || true
  fi
  rm -f "$pid_file" "$containerd"
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

# wait_for TENTHS COMMAND…: until it succeeds.
wait_for() {
  local left=$1
  shift
  until "$@" > /dev/null; do
    ((left-- > 0)) || return 1
    sleep 0.1
  done
}

answers_or_died() { version || ! ours; }

# detached COMMAND…: without the descriptors that this script was given: an engine that keeps its caller's lock keeps it for ever.
detached() {
  local descriptor
  for descriptor in /proc/$BASHPID/fd/*; do
    descriptor=${descriptor##*/}
    ((descriptor <= 2)) || eval "exec $descriptor>&-"
  done
  exec setsid "$@"
}

start_dockerd() {
  clear_remains
  detached dockerd --pidfile "$pid_file" --data-root "$directory/data" --exec-root "$directory/run" --group root \
    --host unix:///var/run/docker.sock --log-level warn > "$log" 2>&1 < /dev/null &
  local pid=$!
  wait_for 50 test -s "$pid_file" || true
  wait_for 600 answers_or_died || true
  version > /dev/null || fail "dockerd does not answer: $(tail -n 5 "$log")"
  say "Docker $(version) started, pid $(cat "$pid_file") ($pid_file)."
  disown "$pid"
  echo started
}

# The mirror that this machine's apt uses for Debian itself.
mirror() {
  apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)' 'Created-By: Packages' \
    | awk -F '|' -v suite="$suite" '$1 == "Debian" && $2 == "main" && $3 !~ /-security$/ { if ($3 == suite) exact = $4; any = $4 }
        END { print exact ? exact : any }'
}

see_to_image() {
  local root from
  docker image inspect "$image" > /dev/null 2>&1 && return
  docker pull -q "$image" > "$directory/pull.log" 2>&1 && return
  ((EUID == 0)) || fail "$image cannot be pulled ($(tail -n 1 "$directory/pull.log")), and only root can make it."
  install_packages
  from=$(mirror)
  [[ -n $from ]] || fail "$image cannot be pulled ($(tail -n 1 "$directory/pull.log")), and apt's sources name no Debian mirror."
  say "making $image by debootstrap, since it cannot be pulled"
  root=$directory/debootstrap
  rm -rf --one-file-system "$root"
  debootstrap --variant=minbase "$suite" "$root" "$from" > "$directory/debootstrap.log" 2>&1 \
    || fail "debootstrap failed: $(tail -n 5 "$directory/debootstrap.log")"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - "$image" > /dev/null
  rm -rf --one-file-system "$root"
}

start() {
  local answer
  if command -v docker > /dev/null && answer=$(version); then
    say "Docker $answer answers; nothing to start."
  else
    check_can_start
    install_packages
    start_dockerd
  fi
  see_to_image
}

stop() {
  local pid
  if ! pid=$(ours); then
    say "no engine of ours runs."
    return
  fi
  kill -TERM "$pid"
  wait_for 900 is_gone "$pid" || fail "dockerd (pid $pid) still runs: $(tail -n 5 "$log")"
  clear_remains
  say "the engine (pid $pid) is stopped."
}

# One at a time: two that start together would both find no engine.
locked() {
  mkdir -p "$directory" 2>/dev/null && [[ -w $directory ]] || fail "cannot write to $directory; set FLOE_ENGINE_DIR."
  if command -v flock > /dev/null; then
    exec 9> "$directory/lock"
    flock 9
  fi
  "$@"
}

case ${1:-} in
  start | stop) locked "$1" ;;
  status) status ;;
  *)
    echo "usage: infra/engine.sh start | stop | status" >&2
    exit 2
    ;;
esac
