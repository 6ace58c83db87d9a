#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 240
# mvnode build, all of it but mmdebstrap, which is played by a script: it makes a disk of a few small files, or fails
# half-way. Whatever happens, nothing is left but the image.
. "$(dirname "$0")/../lib.sh"
requires_root
PATH=$PATH:/usr/sbin:/sbin
requires mke2fs sfdisk mformat mcopy mdir syslinux qemu-img dpkg-deb debugfs
[ -r /usr/lib/syslinux/mbr/gptmbr.bin ] || skip "there is no gptmbr.bin (syslinux-common)"

mvnode=$MV_SRCDIR/node-image/mvnode
mkdir "$tmp/bin" "$tmp/debs" "$tmp/work"
PATH=$tmp/bin:$PATH
export TMPDIR=$tmp TEST_DIR=$tmp SOURCE_DATE_EPOCH=1700000000

for name in monovisor monovisor-node; do
	mkdir -p "$tmp/$name/DEBIAN"
	printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n' $name \
		>"$tmp/$name/DEBIAN/control"
	dpkg-deb -b "$tmp/$name" "$tmp/debs/${name}_1_all.deb" >/dev/null
done

# Its last three arguments are the release, the archive to make, and a list of sources.
cat >"$tmp/bin/mmdebstrap" <<'END'
#!/bin/bash
cp "${@: -1}" "$TEST_DIR/sources"
cp "$(dirname "${@: -1}")/packages/Packages" "$TEST_DIR/"
case $TEST_CASE in
fail)
	mkdir "$(dirname "${@: -1}")/chroot"
	mount -t tmpfs none "$(dirname "${@: -1}")/chroot"
	echo half >"$(dirname "${@: -1}")/chroot/file"
	echo "E: Failed to fetch something"
	exit 1 ;;
hang)
	touch "$TEST_DIR/hangs"
	sleep 600 ;;
esac
root=$TEST_DIR/root
rm -rf "$root"
mkdir -p "$root"/{boot,etc,dev,usr/lib/systemd/boot/efi,usr/lib/modules/6.1.0-5-amd64}
ln -s usr/lib "$root/lib"
head -c 100000 /dev/zero >"$root/boot/vmlinuz-6.1.0-5-amd64"
echo generic >>"$root/boot/vmlinuz-6.1.0-5-amd64"
echo cloud >"$root/boot/vmlinuz-6.1.0-9-cloud-amd64"
echo initrd >"$root/boot/initrd.img-6.1.0-5-amd64"
echo efi >"$root/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
[ "$TEST_CASE" = novsock ] || touch "$root/usr/lib/modules/6.1.0-5-amd64/vhost_vsock.ko"
echo hello >"$root/etc/motd"
chown 12:34 "$root/etc/motd"
tar -C "$root" -cf "${@: -2:1}" .
END
chmod +x "$tmp/bin/mmdebstrap"

build() { # OPTION...
	mount >"$tmp/mounts"
	TEST_CASE=${TEST_CASE-} "$mvnode" build --packages "$tmp/debs" --size 1G -o "$tmp/work/node.qcow2" \
		"$@" >"$tmp/out" 2>&1 </dev/null
}

left_nothing() { # FILE...
	mount | diff "$tmp/mounts" - || fail "something is still mounted"
	[ "$(cd "$tmp/work" && echo *)" = "${*:-*}" ] || fail "left: $(ls "$tmp/work")"
}

refused() { # TEXT OPTION...
	! build "${@:2}" || fail "${*:2}: it built"
	grep -qF -- "$1" "$tmp/out" || fail "no \"$1\" in: $(cat "$tmp/out")"
	left_nothing
}

# ---- what cannot be ----

TEST_CASE=fail refused "E: Failed to fetch something"
grep -q "mmdebstrap failed" "$tmp/out"
TEST_CASE=novsock refused "has no vhost_vsock"
refused "no monovisor_*.deb" --packages "$tmp/work"
refused "cannot write to the directory" --tmp "$tmp/none"
refused "like 8G" --size 8
refused "no Debian release" --suite 'a b'
refused "generic or cloud" --kernel mine

cat >"$tmp/bin/df" <<'END'
#!/bin/sh
printf 'Filesystem 1048576-blocks Used Available Capacity Mounted on\n/dev/x 9 9 100 99%% /\n'
END
chmod +x "$tmp/bin/df"
refused "has 100 MiB free"
rm "$tmp/bin/df"

# A disk that fills up half-way, when there seemed to be room.
mkdir "$tmp/small"
mount -t tmpfs -o size=1m mv-small "$tmp/small"
small_ends() {
	! mountpoint -q "$tmp/small" || umount "$tmp/small"
}
cleanup_fn small_ends
mount >"$tmp/mounts"
printf '#!/bin/sh\necho Filesystem; echo /dev/x 9 9 99999 1%% /\n' >"$tmp/bin/df"
chmod +x "$tmp/bin/df"
refused "No space left on device" --tmp "$tmp/small"
[ -z "$(ls -A "$tmp/small")" ] || fail "left: $(ls "$tmp/small")"
rm "$tmp/bin/df"
small_ends

# Interrupted: the same.
mount >"$tmp/mounts"
TEST_CASE=hang setsid "$mvnode" build --packages "$tmp/debs" --size 1G -o "$tmp/work/node.qcow2" >"$tmp/out" 2>&1 &
pid=$!
wait_until 60 test -e "$tmp/hangs"
kill -TERM -- -$pid
! wait $pid || fail "interrupted, and it says that it built"
left_nothing

# ---- an image ----

build --raw --mirror http://deb.example/debian || fail "$(cat "$tmp/out")"
left_nothing node.qcow2 node.raw
grep -q "node.qcow2: [0-9]* MiB" "$tmp/out"
grep -q '^deb http://deb.example/debian bookworm main$' "$tmp/sources"
grep -q '^Package: monovisor-node$' "$tmp/Packages"
grep -q '^SHA256: [0-9a-f]\{64\}$' "$tmp/Packages"

raw=$tmp/work/node.raw
sfdisk -d "$raw" >"$tmp/table"
grep -q 'LegacyBIOSBootable' "$tmp/table"
mdir -b -i "$raw@@1M" :: >"$tmp/files"
for file in vmlinuz initrd.img syslinux.cfg; do
	grep -q "^::/$file\$" "$tmp/files" || fail "no $file: $(cat "$tmp/files")"
done
mcopy -i "$raw@@1M" ::vmlinuz - | tail -n 1 | grep -q generic
mcopy -i "$raw@@1M" ::EFI/BOOT/BOOTX64.EFI - | grep -q efi
mcopy -i "$raw@@1M" ::loader/entries/node.conf - | grep -q 'root=LABEL=MVROOT'
dd if="$raw" of="$tmp/root.ext4" bs=1M skip=161 conv=sparse status=none
debugfs -R 'stat /etc/motd' "$tmp/root.ext4" 2>/dev/null | grep -q 'User: *12 *Group: *34'
[ "$(debugfs -R 'cat /etc/motd' "$tmp/root.ext4" 2>/dev/null)" = hello ]
e2fsck -fn "$tmp/root.ext4" >"$tmp/fsck" 2>&1 || fail "$(cat "$tmp/fsck")"

# The same again is the same, but for times and their checksums.
cp "$raw" "$tmp/first.raw"
build --raw || fail "$(cat "$tmp/out")"
different=$({ cmp -l "$raw" "$tmp/first.raw" || true; } | wc -l)
[ "$different" -lt 1000 ] || fail "two images of the same files differ in $different bytes"
