#!/bin/sh
# certificates | format | serve. `serve` reads FLOE_ADVERTISED: the address under which clients outside reach the listener OUT.
# OUT is plain text, TLS wants TLS, SASL wants SCRAM of user floe or reader; INSIDE is for other containers.
set -eu
config=/etc/kafka/server.properties

java_of() {
  exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx384m -Dlog4j2.configurationFile=/etc/kafka-log4j2.properties \
    -cp '/opt/kafka/*' "$@"
}

properties() {
  cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=OUT://:9092,TLS://:9094,SASL://:9095,INSIDE://:29092,CONTROLLER://localhost:9093
advertised.listeners=OUT://${1},TLS://${2},SASL://${3},INSIDE://${4}:29092
listener.security.protocol.map=OUT:PLAINTEXT,TLS:SSL,SASL:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INSIDE
controller.listener.names=CONTROLLER
log.dirs=/var/lib/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
ssl.keystore.type=PEM
ssl.keystore.location=/etc/kafka/broker.pem
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:floe
PROPERTIES
}

case "$1" in
  certificates)
    cd /etc/kafka
    openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj /CN=floe-test -keyout broker.key -out ca.pem \
      -addext subjectAltName=DNS:localhost,DNS:kafka,IP:127.0.0.1 2>/dev/null
    cat broker.key ca.pem > broker.pem
    ;;
  format)
    properties localhost:9092 localhost:9094 localhost:9095 localhost > $config
    java_of kafka.tools.StorageTool format -t Zmxvb2VfdGVzdF9jbHVzdA -c $config \
      --add-scram 'SCRAM-SHA-512=[name=floe,password=ice-floe]' --add-scram 'SCRAM-SHA-512=[name=reader,password=ice-reader]'
    ;;
  serve)
    properties "$FLOE_OUT" "$FLOE_TLS" "$FLOE_SASL" "$(hostname)" > $config
    java_of kafka.Kafka $config
    ;;
esac
