#!/bin/sh
# Starts one machine of a cluster: start.sh controller | node | login | accounting. Prints READY once its service answers, and may be
# started again after it was killed. `make-accounts` runs once, while the image is built.
set -eu

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

start_munge() {
  rm -f /run/munge/*
  setpriv --reuid munge --regid munge --clear-groups munged --num-threads=4
  until_works 1000 sh -c 'munge -n | unmunge'
}

start_database() {
  rm -f /run/mysqld/* /run/slurmdbd.pid
  setpriv --reuid mysql --regid mysql --clear-groups mariadbd > /var/log/mysql/error.log 2>&1 &
  database=$!
  until_works 1000 mariadb-admin ping
}

# The controller does not start before slurmdbd knows its cluster.
make_accounts() {
  sacctmgr -i add cluster frost
  sacctmgr -i add account ice Description=ice Organization=arctic
  sacctmgr -i add account polar Description=polar Organization=arctic
  sacctmgr -i add qos tiny set MaxSubmitJobsPerUser=5 MaxWall=00:10:00 MaxTRESPerUser=cpu=2
  sacctmgr -i add user alice Account=ice DefaultAccount=ice
  sacctmgr -i add user bob Account=ice,polar DefaultAccount=ice
  sacctmgr -i modify user alice set QOS=normal,tiny DefaultQOS=normal
}

case $1 in
  make-accounts)
    start_munge
    mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=socket > /dev/null
    start_database
    mariadb -e "create database slurm_acct_db; create user slurm@localhost identified via unix_socket;
      grant all on slurm_acct_db.* to slurm@localhost"
    slurmdbd
    until_works 1000 sacctmgr -n show cluster
    make_accounts
    kill "$(cat /run/slurmdbd.pid)"
    mariadb-admin shutdown
    wait "$database"
    exit
    ;;
esac

start_munge
case $1 in
  accounting)
    start_database
    (until_works 1000 sacctmgr -n show cluster && echo READY) &
    exec slurmdbd -D
    ;;
  controller)
    mkdir -p /var/spool/slurm/state
    chown slurm: /var/spool/slurm/state
    [ "${ACCOUNTING:-}" = '' ] || until_works 1000 sacctmgr -n show cluster
    (until_works 1000 sh -c 'scontrol ping | grep UP' && echo READY) &
    exec slurmctld -D
    ;;
  node)
    mkdir -p /var/spool/slurm/d
    (until_works 1000 sh -c 'scontrol ping | grep UP' && echo READY) &
    exec slurmd -D
    ;;
  login)
    [ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
    usermod -s "${LOGIN_SHELL:-/bin/bash}" alice 2> /dev/null
    [ -z "${PASSWORD:-}" ] || echo "alice:$PASSWORD" | chpasswd
    install -d -o alice -g alice -m 700 /scratch/alice
    install -d -o bob -g bob -m 700 /scratch/bob
    echo READY
    exec /usr/sbin/sshd -D -e
    ;;
esac
