#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A job and home's own processes on the same files: locks, contents, races.
. "$(dirname "$0")/lib.sh"

mount_home
mkdir -m 777 "$home/root" "$home/user"
"$bin/test-home" "$home/root" "$mnt/root"
end_home
# With so few descriptors that directories lose theirs all the time.
mkdir -m 777 "$home/few"
mount_home -n 96
"$bin/test-home" "$home/few" "$mnt/few" 10
end_home
mount_home -u $user:$user
as_user "$bin/test-home" "$home/user" "$mnt/user"
end_home
