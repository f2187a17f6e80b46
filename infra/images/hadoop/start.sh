#!/bin/bash
# Starts a daemon of Hadoop: start.sh namenode | datanode | httpfs. PORT is that of its HTTP. Prints READY once it answers there, and may be
# started again after it was killed. `start.sh format` makes the empty file system, `start.sh admin …` is `hdfs dfsadmin`, `start.sh fs …` `hdfs dfs`.
set -eu
base=org.apache.hadoop
options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx256m --add-opens=java.base/java.lang=ALL-UNNAMED)

run() {
  exec java "${options[@]}" -cp '/etc/hadoop:/opt/hadoop/*' "$@"
}

announce() {
  until (exec 3<> "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null; do sleep 0.1; done
  echo READY
}

case ${1:-} in
  admin) run $base.hdfs.tools.DFSAdmin "${@:2}" ;;
  fs) run org.apache.hadoop.fs.FsShell "${@:2}" ;;
  format) run $base.hdfs.server.namenode.NameNode -format -nonInteractive ;;
  namenode)
    announce &
    run $base.hdfs.server.namenode.NameNode -D "dfs.namenode.http-address=0.0.0.0:$PORT"
    ;;
  datanode)
    announce &
    run $base.hdfs.server.datanode.DataNode -D "dfs.datanode.hostname=$(hostname)" -D "dfs.datanode.http.address=0.0.0.0:$PORT"
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
