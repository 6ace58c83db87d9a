#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 60
# What a node takes from its seed, and what it refuses: node-setup on a root of the test's own.
. "$(dirname "$0")/../lib.sh"

setup=$MV_SRCDIR/node-image/node-setup
export MVNODE_DATA=$MV_SRCDIR/node-image
root=$tmp/root
token=mv1-0123456789abcdef-0123456789abcdef

fresh() {
	rm -rf "$root"
	mkdir -p "$root"/{etc,proc,run,dev/disk/by-label/MVSEED,sys/firmware/dmi/entries/11-0}
	printf '127.0.0.1 localhost\n127.0.1.1 old\n' >"$root/etc/hosts"
	echo "root=LABEL=MVROOT quiet" >"$root/proc/cmdline"
}

disk() { printf '%s\n' "$@" >"$root/dev/disk/by-label/MVSEED/monovisor.seed"; }

smbios() { # STRING...
	{
		printf '\x0b\x05\x00\x0e\x01'
		printf '%s\0' "$@"
		printf '\0'
	} >"$root/sys/firmware/dmi/entries/11-0/raw"
}

seed() {
	"$setup" seed --root "$root" >"$tmp/out" 2>&1
}

accepted() { # EXPECTED-LINE...
	seed || fail "refused: $(cat "$tmp/out")"
	printf '%s\n' "$@" | sort | diff - "$root/run/monovisor-node/seed" || fail "another seed"
}

refused() { # TEXT
	! seed || fail "accepted: $(cat "$root/run/monovisor-node/seed")"
	grep -qF -- "$1" "$tmp/out" || fail "no \"$1\" in: $(cat "$tmp/out")"
	[ ! -e "$root/run/monovisor-node/seed" ] || fail "a seed was left"
	[ "$(cat "$root/etc/hosts")" = $'127.0.0.1 localhost\n127.0.1.1 old' ] || fail "hosts was changed"
}

# ---- each source, and which goes over which ----

fresh
rmdir "$root/dev/disk/by-label/MVSEED"
: >"$root/run/nothing"
seed
[ ! -s "$root/run/monovisor-node/seed" ] && [ ! -e "$root/etc/hostname" ]

fresh
disk "# a comment" "" hostname=disk $'port=7481\r' "token=$token"
accepted hostname=disk port=7481 "token=$token"
[ "$(cat "$root/etc/hostname")" = disk ]
grep -q '^127.0.1.1 disk$' "$root/etc/hosts"
! grep -q old "$root/etc/hosts"
[ "$(stat -c %a "$root/run/monovisor-node/seed")" = 600 ]

# QEMU makes a string of a whole file.
smbios "other.vendor=1" $'monovisor.hostname=smbios\nmonovisor.address=192.0.2.7\n' monovisor.ip=10.7.0.1/24@52:54:00:00:00:01
accepted hostname=smbios address=192.0.2.7 ip=10.7.0.1/24@52:54:00:00:00:01
network=$root/run/systemd/network/10-monovisor-seed.network
grep -q '^MACAddress=52:54:00:00:00:01$' "$network"
grep -q '^Address=10.7.0.1/24$' "$network"

echo "quiet monovisor.hostname=line monovisor.user=ann:1000:1000 monovisor.accel=kvm" >"$root/proc/cmdline"
accepted hostname=line address=192.0.2.7 ip=10.7.0.1/24@52:54:00:00:00:01 user=ann:1000:1000 accel=kvm
grep -qx "MVD_OPTIONS=--accel kvm" "$root/etc/default/mvd"
[ "$(cat "$root/run/monovisor-node/user")" = ann ]

# ---- what is refused, all of it with nothing done ----

bad() { # TEXT LINE...
	fresh
	disk hostname=fine "${@:2}"
	refused "$1"
	grep -q "the disk MVSEED" "$tmp/out" || grep -q "the seed" "$tmp/out" || fail "where? $(cat "$tmp/out")"
}

bad "is no token" token=mv1-12345
! grep -q 12345 "$tmp/out" || fail "the token is in the log"
bad "is no token" "token=$token; reboot"
bad "there is no token" cluster=10.0.0.1
bad "is no host name" hostname='$(reboot)'
bad "is no host name" hostname=-x
bad "is no host name" "hostname=$(printf 'a%.0s' {1..64})"
bad "is not known" colour=red
bad "neither auto" accel=xen
bad "is no line NAME=VALUE" nonsense
bad "is no port" port=0
bad "is no port" port=99999
bad "ordinary user" user=root:0:0
bad "ordinary user" 'user=a b:1:1'
bad "absolute path" share=../etc
bad "absolute path" share=/srv/../etc
bad "is not ADDRESS/PREFIX" $'ip=10.0.0.1'
bad "HOST[:PORT]" 'cluster=-x' "token=$token"

# Bytes of a stranger's do not reach the console as they are, nor does much of them.
fresh
disk $'hostname=\e[2J' "$(head -c 100000 /dev/zero | tr '\0' 'x')"
refused "is no host name"
! grep -q $'\e' "$tmp/out" || fail "an escape on the console"
[ "$(stat -c %s "$tmp/out")" -lt 8192 ] || fail "a flood on the console"

fresh
head -c 4096 /dev/urandom >"$root/sys/firmware/dmi/entries/11-0/raw"
seed || grep -q SMBIOS "$tmp/out"

# ---- what mvnode itself writes ----

requires mformat mcopy mtype
"$MV_SRCDIR/node-image/mvnode" seed --hostname n3 --cluster 10.0.0.1:7481 --token - -o "$tmp/seed.img" <<<"$token"
[ "$(stat -c %a "$tmp/seed.img")" = 600 ]
fresh
mtype -i "$tmp/seed.img" ::monovisor.seed >"$root/dev/disk/by-label/MVSEED/monovisor.seed"
accepted hostname=n3 cluster=10.0.0.1:7481 "token=$token"
