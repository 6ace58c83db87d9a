#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 120
# mvnode run: the command that it would start, for each kind of host. QEMU and uname are played by
# scripts: what a test can ask of real ones is one accelerator on one host.
. "$(dirname "$0")/../lib.sh"
requires qemu-img

mvnode=$MV_SRCDIR/node-image/mvnode
mkdir "$tmp/bin" "$tmp/share" "$tmp/a,b c"
PATH=$tmp/bin:$PATH
export HOME=$tmp TMPDIR=$tmp

# Runs its "firmware" under the accelerators that $WORKS names; dies at once under those of $DIES,
# and hangs under others.
cat >"$tmp/bin/qemu-system-x86_64" <<'END'
#!/bin/bash
while [ $# -gt 0 ]; do
	case $1 in
	-accel) accel=${2%%,*} ;;
	-chardev) log=${2##*path=} ;;
	esac
	shift
done
case " $DIES " in *" $accel "*) exit 1 ;; esac
case " $WORKS " in *" $accel "*) printf 'SeaBIOS\nNo bootable device.\n' >"$log" ;; esac
exec sleep 600
END
cat >"$tmp/bin/uname" <<'END'
#!/bin/bash
case $1 in -s) echo "$SYSTEM" ;; *) exec /usr/bin/uname "$@" ;; esac
END
chmod +x "$tmp"/bin/*

dry() { # SYSTEM WORKS OPTION...
	SYSTEM=$1 WORKS=$2 DIES=${DIES-} "$mvnode" run --dry-run "${@:3}" >"$tmp/out" 2>"$tmp/err" </dev/null
}

has() { # TEXT
	grep -qF -- "$1" "$tmp/out" || fail "\"$1\" is not in: $(cat "$tmp/out" "$tmp/err")"
}

hasnt() {
	! grep -qF -- "$1" "$tmp/out" || fail "\"$1\" is in: $(cat "$tmp/out")"
}

refused() { # TEXT OPTION...
	local status=0
	dry Linux kvm "${@:2}" || status=$?
	[ $status = 2 ] || fail "${*:2}: exit status $status"
	grep -qF -- "$1" "$tmp/err" || fail "${*:2}: $(cat "$tmp/err")"
	[ ! -s "$tmp/out" ] || fail "${*:2}: $(cat "$tmp/out")"
}

# ---- the accelerator ----

dry Linux kvm
has "-accel kvm -cpu host"
has "hostfwd=tcp::7480-:7480,hostfwd=udp::7480-:7480"
hasnt virtfs
[ ! -s "$tmp/err" ]
[ ! -e "$tmp/.local" ] || fail "a dry run made files"

dry Darwin hvf
has "-accel hvf -cpu host"

dry MINGW64_NT-10.0 whpx
has "-accel whpx,kernel-irqchip=off -cpu qemu64"

for system in Linux Darwin MINGW64_NT-10.0 FreeBSD; do
	DIES="kvm hvf whpx" dry "$system" tcg
	has "-accel tcg -cpu max"
	grep -q "the node is emulated" "$tmp/err" || fail "$system: $(cat "$tmp/err")"
done

# One that opens and then runs nothing, as on nested hosts; and asked for by name it is not tried.
dry Linux tcg
has "-accel tcg -cpu max"
DIES=kvm dry Linux "" --accel kvm
has "-accel kvm"

# ---- the rest ----

dry Linux kvm --port 7999 --memory 512 --cpus 3 --name n2 --dir "$tmp/d" -- -snapshot -s
has "hostfwd=tcp::7999-:7999,hostfwd=udp::7999-:7999"
has "-smp 3 -m 512"
has "file=$tmp/d/disk.qcow2"
has "-smbios type=11,path=$tmp/d/seed"
has "-snapshot -s"

# As much of it as can be started by hand.
SYSTEM=Linux WORKS=kvm "$mvnode" run --prepare --name n3 --dir "$tmp/n3" --image "$tmp/image" >"$tmp/out" 2>"$tmp/err" \
	</dev/null && fail "an image that is not there"
grep -q "there is no image" "$tmp/err"
qemu-img create -q -f qcow2 "$tmp/image" 1G
SYSTEM=Linux WORKS=kvm "$mvnode" run --prepare --name n3 --dir "$tmp/n3" --image "$tmp/image" >"$tmp/out" </dev/null
has "file=$tmp/n3/disk.qcow2"
qemu-img info "$tmp/n3/disk.qcow2" | grep -q "backing file: $tmp/image"
grep -qx 'monovisor.hostname=n3' "$tmp/n3/seed"

for command in "" build run seed "run --name n4"; do
	"$mvnode" $command --help >"$tmp/out"
	has "Usage: mvnode build"
done

dry Linux kvm --share "$tmp/a,b c"
has "'local,path=$tmp/a,,b c,mount_tag=host,security_model=none,multidevs=remap'"
dry Darwin hvf --share "$tmp/share"
has "path=$tmp/share,"
! dry MINGW64_NT-10.0 whpx --share "$tmp/share" || fail "a folder of Windows"
grep -q "shares no folders" "$tmp/err"
! dry Linux kvm --share "$tmp/none" || fail "a folder that is not there"

# A token is in a file that nobody else can read, never on the command line.
token=mv1-0123456789abcdef-0123456789abcdef
dry Linux kvm --cluster 10.0.0.1:7480 --token $token
hasnt $token
dry Linux kvm --cluster new --address 192.0.2.7

refused "is no token" --cluster 10.0.0.1 --token 12345
refused "there is no token" --cluster 10.0.0.1
refused "needs --address" --cluster new
refused "is no port" --port 70000
refused "is no host name" --name -x
refused "--accel is auto" --accel xen
refused "--memory" --memory 2G
refused "unexpected" --ports 1
