#!/bin/sh
# A placer for trying out: the order beside this file, every five seconds, each time with new numbers.
set -u
while sleep 5; do
    number=$(date +%s)
    sed "s/NUMBER/$number/g" /simulators/order.hl7 | interceptor send - "$1" --cr
done
