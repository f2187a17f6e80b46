#!/bin/bash
# Starts a broker: start.sh broker. PORT is where clients reach it, at 127.0.0.1; SECURITY is how: PLAINTEXT, SSL or SASL_SSL (SCRAM-SHA-512, users
# floe, who may do everything, and reader, who may do nothing until told so). Prints READY once it answers. `start.sh prepare` makes what the image has.
set -eu
config=/etc/kafka/server.properties

run() {
  exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx384m -Dlog4j2.configurationFile=/etc/kafka/log4j2.properties -cp '/opt/kafka/*' "$@"
}

properties() {
  cat << PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=OUT://:$PORT,INSIDE://localhost:9091,CONTROLLER://localhost:9093
advertised.listeners=OUT://127.0.0.1:$PORT,INSIDE://localhost:9091
listener.security.protocol.map=OUT:$SECURITY,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INSIDE
controller.listener.names=CONTROLLER
log.dirs=/var/lib/kafka
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
ssl.keystore.type=PEM
ssl.keystore.location=/etc/kafka/broker.pem
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.out.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:floe
PROPERTIES
}

announce() {
  until (exec 3<> "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null; do sleep 0.1; done
  echo READY
}

case ${1:-} in
  prepare)
    openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj /CN=floe-test -addext subjectAltName=IP:127.0.0.1 \
      -keyout /tmp/key.pem -out /etc/kafka/ca.pem
    cat /tmp/key.pem /etc/kafka/ca.pem > /etc/kafka/broker.pem
    rm /tmp/key.pem
    PORT=9092 SECURITY=PLAINTEXT properties > $config
    run kafka.tools.StorageTool format -t Zmxvb2VfdGVzdF9jbHVzdA -c $config \
      --add-scram 'SCRAM-SHA-512=[name=floe,password=ice-floe]' --add-scram 'SCRAM-SHA-512=[name=reader,password=ice-reader]'
    ;;
  broker)
    properties > $config
    announce &
    run kafka.Kafka $config
    ;;
  *)
    echo "usage: start.sh prepare | broker" >&2
    exit 2
    ;;
esac
