#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# mvkit on an installed kernel, and on copies of its modules with some missing,
# compressed or built in.
. "$(dirname "$0")/../lib.sh"

requires cpio depmod xz python3
requires_built mvkit
kit=$MV_BUILDDIR/guest-kit/kit
[ -x "$kit" ] || fail "the kit is not built"

out=$tmp/out
mvkit --output "$out" >"$tmp/lines" 2>/dev/null || skip "no kernel that can be a guest's: $(mvkit --output "$out" 2>&1)"

kernel=$(sed -n '1s/^kernel //p' "$tmp/lines")
image=$(sed -n '2s/^initramfs //p' "$tmp/lines")
release=${image##*/kit-}
release=${release%.cpio}

# unpack IMAGE: into $tmp/u
unpack() {
	rm -rf "$tmp/u"
	mkdir "$tmp/u"
	(cd "$tmp/u" && cpio --quiet -i --no-preserve-owner -f dev/console <"$1")
}

# Two lines, of files that are there.
equal 2 "$(wc -l <"$tmp/lines")"
[ -r "$kernel" ] && [ -r "$image" ]
equal 644 "$(stat -c %a "$image")"

# What is inside.
unpack "$image"
cmp "$kit" "$tmp/u/init"
equal 755 "$(stat -c %a "$tmp/u/init")"
equal "dev home init modules proc run sys" "$(ls "$tmp/u" | paste -sd ' ')"
equal "crw-------" "$(cpio --quiet -tv <"$image" | awk '$NF == "dev/console" {print $1}')"
equal "$(sort "$tmp/u/modules/load")" "$(cd "$tmp/u/modules" && ls ./*.ko* | sed 's|./||' | sort)"

# Each module stands after all that it depends on.
python3 - "/lib/modules/$release/modules.dep" "$tmp/u/modules/load" <<'END'
import os, sys
needs = {}
for line in open(sys.argv[1]):
    name, _, deps = line.partition(":")
    needs[os.path.basename(name)] = [os.path.basename(d) for d in deps.split()]
loaded = []
for name in open(sys.argv[2]).read().split():
    assert set(needs[name]) <= set(loaded), f"{name} before one of {needs[name]}"
    loaded.append(name)
assert any(name.startswith("fuse.ko") for name in loaded) or not needs.get("fuse.ko")
END

# Run again, it does nothing; when the bytes differ, it replaces them.
before=$(stat -c '%i %Z' "$image")
mvkit --output "$out" | cmp - "$tmp/lines"
equal "$before" "$(stat -c '%i %Z' "$image")"
cp "$image" "$tmp/first"
echo damage >>"$image"
mvkit --output "$out" >/dev/null
cmp "$image" "$tmp/first"
mvkit --output "$tmp/other" >/dev/null
cmp "$tmp/first" "$tmp/other/kit-$release.cpio"
equal "kit-$release.cpio" "$(ls "$out")"

# The release and the path name the same kernel.
mvkit --kernel "$kernel" --output "$out" | cmp - "$tmp/lines"
mvkit --kernel "$release" --output "$out" | cmp - "$tmp/lines"

# A copy of the modules that mvkit wants, to take some away from.
mods=$tmp/lib/modules/$release
copy_modules() {
	local file
	rm -rf "$mods"
	mkdir -p "$mods/kernel"
	cp "/lib/modules/$release/modules."{builtin,builtin.modinfo,order} "$mods"
	while read -r file; do
		cp "$(find "/lib/modules/$release/kernel" -name "$file")" "$mods/kernel"
	done <"$tmp/u/modules/load"
}
index_modules() {
	depmod -b "$tmp" "$release"
}

# Compressed modules are packed as they are.
copy_modules
xz --check=crc32 "$mods/kernel/"*.ko
index_modules
mvkit --modules "$mods" --output "$tmp/xz" >/dev/null
unpack "$tmp/xz/kit-$release.cpio"
cmp "$mods/kernel/fuse.ko.xz" "$tmp/u/modules/fuse.ko.xz"
grep -qx fuse.ko.xz "$tmp/u/modules/load"
unpack "$tmp/first"

# An optional module may be missing: a note under -v.
copy_modules
rm "$mods/kernel/virtio_balloon.ko"
index_modules
status 0 mvkit -v --modules "$mods" --output "$tmp/less"
says 'no module virtio_balloon: without giving unused memory back'

# One of two transports is enough; none is not, and nothing is written.
rm "$mods/kernel/virtio_console.ko"
index_modules
status 0 mvkit --modules "$mods" --output "$tmp/less"
rm "$mods/kernel/vmw_vsock_virtio_transport.ko"
index_modules
status 1 mvkit --modules "$mods" --output "$tmp/none"
says "kernel $release has no module virtio_console and no vmw_vsock_virtio_transport"
[ ! -e "$tmp/none" ]

# Without fuse there is no guest; built in, it is there.
copy_modules
rm "$mods/kernel/fuse.ko"
index_modules
status 1 mvkit --modules "$mods" --output "$tmp/none"
says "kernel $release has no module fuse: the files of the home node"
[ ! -e "$tmp/none" ]
echo kernel/fs/fuse/fuse.ko >>"$mods/modules.builtin"
index_modules
status 0 mvkit -v --modules "$mods" --output "$tmp/builtin"
says 'fuse is part of the kernel'
unpack "$tmp/builtin/kit-$release.cpio"
must_fail grep -q fuse "$tmp/u/modules/load"

# No list of modules, no kernel, no kit, no directory, no options.
status 1 mvkit --modules "$tmp/absent" --output "$tmp/none"
says "modules.dep.bin: No such file or directory"
status 1 mvkit --kernel 0.0.1-none --output "$tmp/none"
says "vmlinuz-0.0.1-none: No such file or directory"
status 1 mvkit --kit "$tmp/absent" --output "$tmp/none"
says "cannot read the kit $tmp/absent: No such file or directory"
status 1 mvkit --kit /bin/bash --output "$tmp/none"
says "/bin/bash is not a statically linked"
status 1 mvkit --output "$tmp/absent/none"
says "cannot create the directory $tmp/absent/none: No such file or directory"
status 2 mvkit
says "output DIR is needed"
status 2 mvkit --output "$tmp/none" surplus
status 0 mvkit --version
says '^mvkit \(Monovisor\) [0-9]'
status 0 mvkit --help
says '^Usage: mvkit'
[ ! -e "$tmp/none" ]
