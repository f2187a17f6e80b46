#!/bin/bash
# Starts the KDC of the realm FLOE.TEST: start.sh kdc. PRINCIPALS are services; the keys of each lie in /scratch/keytabs/<first part>-<host>.
# The password of alice, bob and hdfs is `secret`. PACKAGES is a folder of npm packages, of which `kerberos` is compiled into
# /opt/node_modules. Prints READY.
set -eu

[ "${1:-}" = kdc ] || {
  echo "usage: start.sh kdc" >&2
  exit 2
}
mkdir -p /scratch/keytabs
kdb5_util create -s -r FLOE.TEST -P secret > /dev/null
for name in alice bob hdfs; do kadmin.local -q "addprinc -pw secret $name" > /dev/null; done
for name in $PRINCIPALS; do
  kadmin.local -q "addprinc -randkey $name" > /dev/null
  kadmin.local -q "ktadd -k /scratch/keytabs/${name/\//-} $name" > /dev/null
done
krb5kdc -n &
kdc=$!
cp -r "$PACKAGES" /opt/node_modules
# As its own build does, without what npm would have to bring for it.
cd /opt/node_modules/kerberos
mkdir -p build/Release
g++ -shared -fPIC -O1 -std=c++17 -DKERBEROS_USE_RTLD=1 -DBUILDING_NODE_EXTENSION -DNODE_GYP_MODULE_NAME=kerberos \
  -I/usr/include/node -I../node-addon-api src/kerberos.cc src/unix/*.cc -ldl -o build/Release/kerberos.node
echo READY
wait "$kdc"
