#!/bin/sh
# Makes the secrets that docker-compose.yml asks for, once: into .env beside it, mode 600.
# What .env already says stays as it is, so it may be run again after an update.
set -eu
cd "$(dirname "$0")/.."
umask 077

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Kafka's form: 16 bytes as URL-safe base64 without padding, not beginning with a dash.
cluster() { printf 'A%s' "$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 2-22)"; }

touch .env
chmod 600 .env
# A last line without its end would swallow the first of ours.
if [ -n "$(tail -c 1 .env)" ]; then echo >>.env; fi

made=0
need() {
    if ! grep -q "^$1=." .env; then
        printf '%s=%s\n' "$1" "$2" >>.env
        made=$((made + 1))
    fi
}

need KAFKA_CLUSTER_ID "$(cluster)"
need KAFKA_BROKER_PASSWORD "$(random)"
need KAFKA_PASSWORD "$(random)"
need KAFKA_UI_PASSWORD "$(random)"
need POSTGRES_PASSWORD "$(random)"
need OPENSEARCH_PASSWORD "$(random)"
need MINIO_ROOT_PASSWORD "$(random)"
need MINIO_PASSWORD "$(random)"

echo "$made secrets made, in .env; next: docker compose up -d"
