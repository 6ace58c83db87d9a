#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every operation, natively and through the mount: the results are the same, for
# root and for an ordinary user.
. "$(dirname "$0")/lib.sh"

try() { # NAME COMMAND-PREFIX...
	local name=$1
	shift
	mkdir -m 777 "$tmp/native-$name" "$home/$name"
	"$@" "$bin/test-files" "$tmp/native-$name" "$mnt/$name"
}

mount_home
try root
end_home
mount_home -u $user:$user
try user as_user
end_home
