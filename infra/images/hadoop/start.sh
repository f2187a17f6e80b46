#!/bin/bash
# Starts a daemon of Hadoop: start.sh namenode | datanode | httpfs. PORT is that of its HTTP, with TLS where TLS_NAMES are hosts for a certificate
# that signs itself, /scratch/tls.pem. SHARED_EDITS is a directory for those of two name nodes. Prints READY once it answers there, and may be
# started again after it was killed. `start.sh format` makes the empty file system; `start.sh admin …`, `haadmin …` and `fs …` are commands of `hdfs`.
set -eu
base=org.apache.hadoop
options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx256m --add-opens=java.base/java.lang=ALL-UNNAMED)

run() {
  exec java "${options[@]}" -cp '/etc/hadoop:/opt/hadoop/*' "$@"
}

# The first machine makes the certificate of all.
tls=
if [[ -n ${TLS_NAMES:-} ]]; then
  tls=s
  store=/scratch/tls.p12
  if [[ ! -e $store ]]; then
    keytool -genkeypair -alias all -keyalg RSA -dname CN=floe-test -ext "san=dns:${TLS_NAMES// /,dns:}" -validity 36500 \
      -storetype PKCS12 -storepass secret -keystore $store
    keytool -exportcert -rfc -alias all -storepass secret -keystore $store -file /scratch/tls.pem
  fi
fi

announce() {
  until (exec 3<> "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null; do sleep 0.1; done
  echo READY
}

case ${1:-} in
  admin) run $base.hdfs.tools.DFSAdmin "${@:2}" ;;
  haadmin) run $base.hdfs.tools.DFSHAAdmin "${@:2}" ;;
  fs) run $base.fs.FsShell "${@:2}" ;;
  format) run $base.hdfs.server.namenode.NameNode -format -nonInteractive ;;
  namenode)
    if [[ -n ${SHARED_EDITS:-} && ! -e $SHARED_EDITS/current ]]; then
      (run $base.hdfs.server.namenode.NameNode -initializeSharedEdits -nonInteractive)
    fi
    announce &
    run $base.hdfs.server.namenode.NameNode -D "dfs.namenode.http$tls-address=0.0.0.0:$PORT"
    ;;
  datanode)
    announce &
    run $base.hdfs.server.datanode.DataNode -D "dfs.datanode.hostname=$(hostname)" -D "dfs.datanode.http$tls.address=0.0.0.0:$PORT"
    ;;
  httpfs)
    announce &
    options+=(-Dhttpfs.home.dir=/var/lib/hadoop -Dhttpfs.config.dir=/etc/hadoop -Dhttpfs.log.dir=/tmp -Dhttpfs.temp.dir=/tmp)
    export HTTPFS_HTTP_PORT=$PORT
    run $base.fs.http.server.HttpFSServerWebServer
    ;;
  *)
    echo "usage: start.sh format | admin … | fs … | namenode | datanode | httpfs" >&2
    exit 2
    ;;
esac
