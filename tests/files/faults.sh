#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Layers over the service's operations: what goes wrong reaches the program that
# asked, and nobody else.
. "$(dirname "$0")/lib.sh"

echo contents >"$home/file"
head -c 300000 /dev/urandom >"$home/random"

# An error is what the program gets.
mount_home -f error:READ:5 -f error:SETXATTR:122 -f error:MKDIR:28
status 1 cat "$mnt/file"
says 'Input/output error'
status 1 mkdir "$mnt/dir"
says 'No space left'
equal "$(stat -c %s "$home/random")" "$(stat -c %s "$mnt/random")"
end_home

# Short answers to reads and writes lose nothing: the guest asks again, or says.
mount_home -f short:WRITE:1000
status 0 python3 - "$mnt/out" "$home/random" <<'END'
import os, sys
data = open(sys.argv[2], "rb").read()
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
while data:
    data = data[os.write(fd, data):]
END
cmp "$home/random" "$home/out"
end_home

# One slow request holds up nobody else.
mount_home -f delay:READ:3000
slow=()
for i in 1 2 3 4 5 6 7 8; do
	cat "$mnt/file" >"$tmp/slow.$i" &
	slow+=($!)
done
sleep 0.3
started=$(date +%s%N)
ls -l "$mnt" >/dev/null
echo more >"$mnt/other"
took=$(($(date +%s%N) - started))
wait "${slow[@]}"
for i in 1 2 3 4 5 6 7 8; do
	equal contents "$(cat "$tmp/slow.$i")"
done
[ $took -lt 2500000000 ] || fail "others waited $took ns"
end_home

# Somebody makes the file just when the job does: the job opens it.
mount_home -f delay:CREATE:1000
echo second >>"$mnt/both" &
writer=$!
sleep 0.4
echo first >"$home/both"
wait $writer
equal "first second" "$(tr '\n' ' ' <"$home/both" | sed 's/ $//')"
set -C
echo exclusive >"$mnt/one" 2>"$tmp/exclusive" &
writer=$!
sleep 0.4
echo first >"$home/one"
set +C
must_fail wait $writer
equal first "$(cat "$home/one")"
end_home

# No answer at all: the program hangs until the mount is given up, the rest works.
mount_home -f drop:READ:1
cat "$mnt/file" >/dev/null 2>"$tmp/dropped" &
stuck=$!
sleep 0.5
kill -0 $stuck
equal contents "$(cat "$home/file")"
equal "$(cksum <"$home/random")" "$(cksum <"$mnt/random")"
kill -9 $stuck
end_home
gone() { ! kill -0 $stuck 2>/dev/null; }
wait_until 10 gone

# The deputy dies: the mount ends too, and says so.
mount_home
kill -9 "$deputy"
wait "$kit" || true
must_fail ls "$mnt/file"
