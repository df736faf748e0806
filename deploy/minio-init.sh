#!/bin/sh
# The pictures' bucket, and a user who may do nothing beyond it. May run again.
set -eu
bucket=alpr-plate-images

mc alias set store http://minio:9000 "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD"
mc mb --ignore-existing "store/$bucket"

cat >/tmp/policy.json <<END
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:*",
   "Resource": ["arn:aws:s3:::$bucket", "arn:aws:s3:::$bucket/*"]}
]}
END
mc admin policy create store alpr /tmp/policy.json
mc admin user add store alpr_minio "$MINIO_PASSWORD"
mc admin policy attach store alpr --user alpr_minio
