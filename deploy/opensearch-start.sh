#!/bin/bash
# OpenSearch with its security plug-in and one user, whose password the environment gives. The
# plug-in's own installer would bring certificates and users that everybody knows.
set -euo pipefail
home=${OPENSEARCH_HOME:-/usr/share/opensearch}
java=${OPENSEARCH_JAVA_HOME:-$home/jdk}
security=$home/config/opensearch-security
: "${OPENSEARCH_PASSWORD:?}"

# TLS between nodes is compulsory. There is one: its certificate never leaves it.
key=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
rm -f "$home/config/node.p12" "$home/config/trust.p12"
tool() { "$java/bin/keytool" "$@" -alias node -storetype PKCS12 -storepass "$key"; }
tool -genkeypair -keyalg RSA -keysize 3072 -validity 36500 -dname CN=alpr-opensearch \
    -keystore "$home/config/node.p12"
tool -exportcert -keystore "$home/config/node.p12" |
    tool -importcert -noprompt -keystore "$home/config/trust.p12"

cat >"$home/config/opensearch.yml" <<END
cluster.name: alpr
network.host: 0.0.0.0
discovery.type: single-node
bootstrap.memory_lock: true
plugins.security.allow_default_init_securityindex: true
plugins.security.nodes_dn: ["CN=alpr-opensearch"]
plugins.security.ssl.http.enabled: false
plugins.security.ssl.transport.enforce_hostname_verification: false
plugins.security.ssl.transport.keystore_filepath: node.p12
plugins.security.ssl.transport.keystore_type: PKCS12
plugins.security.ssl.transport.keystore_password: $key
plugins.security.ssl.transport.truststore_filepath: trust.p12
plugins.security.ssl.transport.truststore_type: PKCS12
plugins.security.ssl.transport.truststore_password: $key
END

# Read at the first start alone, into an index; the plug-in's file has users with known passwords.
hash=$("$home/plugins/opensearch-security/tools/hash.sh" -env OPENSEARCH_PASSWORD | tail -n 1)
cat >"$security/internal_users.yml" <<END
_meta: {type: internalusers, config_version: 2}
alpr: {hash: "$hash", reserved: true, backend_roles: [admin]}
END

exec "$home/opensearch-docker-entrypoint.sh" opensearch
