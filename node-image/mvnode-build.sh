# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# mvnode build. Theory of operation: mmdebstrap makes the node's files, as an archive, from a
# Debian mirror and a small repository of our own packages; a file system is filled from them by
# mke2fs -d, the boot partition by mtools. Nothing is mounted by us, no loop device is needed, and
# what mmdebstrap mounts is in a mount namespace that ends with it: whenever this stops,
# nothing is left but the working directory, which the trap removes.

build_space_mib=4500 # archive, files, sparse disk, result

node_packages="monovisor-node apt avahi-daemon bash-completion busybox cpio dbus e2fsprogs fuse3 hostname
	initramfs-tools iproute2 iputils-ping kmod less libvirt-clients libvirt-daemon-driver-qemu
	libvirt-daemon-system linux-image-cloud-amd64 nano netbase procps
	qemu-system-x86 qemu-utils sudo systemd-boot-efi systemd-resolved systemd-sysv systemd-timesyncd
	udev util-linux zstd"

build_defaults() {
	output=monovisor-node.qcow2
	packages=.
	mirror=
	suite=bookworm
	kernel=generic
	size=8G
	tmp=
	formats=
}

build_options() {
	while [ $# -gt 0 ]; do
		case $1 in
		-o | --output) output=${2-}; shift ;;
		--packages) packages=${2-}; shift ;;
		--mirror) mirror=${2-}; shift ;;
		--suite) suite=${2-}; shift ;;
		--kernel) kernel=${2-}; shift ;;
		--size) size=${2-}; shift ;;
		--tmp) tmp=${2-}; shift ;;
		--raw) formats="$formats raw" ;;
		--vhdx) formats="$formats vhdx" ;;
		*) misused "build: unexpected \"$1\"" ;;
		esac
		shift
	done
	[ -n "$output" ] || misused "build: where to? give -o FILE"
	case $kernel in generic | cloud) ;; *) misused "build: --kernel is generic or cloud, not \"$kernel\"" ;; esac
	seed_matches "$size" '[1-9][0-9]{0,3}G' || misused "build: --size is like 8G, not \"$size\""
	seed_matches "$suite" '[a-z][a-z0-9-]*' || misused "build: no Debian release: \"$suite\""
	[ -n "$tmp" ] || tmp=$(dirname "$output")
}

check_build() {
	[ "$(uname -sm)" = "Linux x86_64" ] ||
		die "build: an image is made on Linux x86-64; this is $(uname -sm) (fetch or copy one made elsewhere)"
	need_programs mmdebstrap:mmdebstrap mke2fs:e2fsprogs sfdisk:fdisk mformat:mtools mcopy:mtools \
		syslinux:syslinux qemu-img:qemu-utils tar:tar dpkg-deb:dpkg
	[ -r "$syslinux_mbr" ] || die "build: there is no $syslinux_mbr (package syslinux-common)"
	[ "$(id -u)" = 0 ] || need_programs fakeroot:fakeroot
	{ [ -d "$tmp" ] && [ -w "$tmp" ]; } || die "build: cannot write to the directory $tmp"
	check_space "$tmp" "$build_space_mib"
}

check_space() { # DIR MIB
	local free
	free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	[ "${free:-0}" -ge "$2" ] ||
		die "build: $1 has $free MiB free, and the image needs some $2 while it is made (--tmp names another place)"
}

# ---- where packages come from ----

# The newest of a package in $packages; the names of Debian packages sort well enough.
find_package() { # NAME
	local found
	found=$(find "$packages" -maxdepth 1 -name "$1_*.deb" | sort -V | tail -n 1)
	[ -n "$found" ] ||
		die "build: there is no $1_*.deb in $packages (make the packages with dpkg-buildpackage -b, and name their directory with --packages)"
	echo "$found"
}

index_package() { # FILE
	dpkg-deb -f "$1" && printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$(basename "$1")" \
		"$(stat -c %s "$1")" "$(sha256sum "$1" | cut -d' ' -f1)"
}

# A repository as apt knows it: a directory with a list.
make_repository() { # DIR
	local name file
	mkdir "$1" || die "build: cannot make $1"
	: >"$1/Packages"
	for name in monovisor monovisor-node; do
		file=$(find_package "$name") || exit 1
		{ cp "$file" "$1/" && index_package "$1/$(basename "$file")" >>"$1/Packages"; } ||
			die "build: cannot use the package $file"
	done
	chmod -R a+rX "$1"
}

# What this system itself uses for the suite, if it is Debian; one "SITE SUITE" to a line.
system_sources() {
	apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 2>/dev/null |
		awk -v suite="$suite" '$3 == "main" && ($2 == suite || $2 == suite "-updates" || $2 == suite "-security")' |
		sort -u
}

write_sources() { # FILE REPOSITORY
	local site release rest
	if [ -n "$mirror" ]; then
		echo "deb $mirror $suite main"
	elif [ -n "$(system_sources)" ]; then
		system_sources | while read -r site release rest; do
			echo "deb $site $release main"
		done
	else
		default_sources
	fi >"$1" || die "build: cannot write $1"
	echo "deb [trusted=yes] copy:$2 ./" >>"$1"
}

# What the node itself will use.
default_sources() {
	cat <<-END
	deb http://deb.debian.org/debian $suite main
	deb http://deb.debian.org/debian $suite-updates main
	deb http://deb.debian.org/debian-security $suite-security main
	END
}

# ---- the node's files ----

# Files that go over the packages'.
write_overlay() { # DIR
	mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/apt" "$1/etc/systemd" "$1/boot/efi" || return
	default_sources >"$1/etc/apt/sources.list"
	printf 'monovisor-node\n' >"$1/etc/hostname"
	printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$1/etc/hosts"
	printf 'LABEL=%s / ext4 rw,relatime 0 1\nLABEL=%s /boot/efi vfat umask=0077,noauto 0 0\n' \
		"$root_label" "$boot_label" >"$1/etc/fstab"
	: >"$1/etc/machine-id"
	idle_units "$1"
}

# What a node has no use for, and a slow one would wait for when it starts.
idle_units() { # DIR
	local unit
	mkdir -p "$1/etc/systemd/system" || return
	for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
		modprobe@drm.service systemd-pstore.service libvirt-guests.service; do
		ln -sf /dev/null "$1/etc/systemd/system/$unit" || return
	done
}

# An initramfs for the disks that hypervisors have, instead of all: smaller, and sooner unpacked.
write_initramfs_conf() { # DIR
	printf 'MODULES=list\nCOMPRESS=zstd\n' >"$1/monovisor.conf"
	printf '%s\n' ext4 virtio_pci virtio_blk virtio_scsi ahci ata_piix sd_mod nvme \
		hv_vmbus hv_storvsc hv_netvsc mptspi xen_blkfront >"$1/monovisor.modules"
}

kernel_package() {
	case $kernel in generic) echo linux-image-amd64 ;; esac
}

# Documentation and translations are a tenth of the image, and nobody reads them there.
run_mmdebstrap() { # ARCHIVE SOURCES WORK
	local include
	include=$(echo $node_packages $(kernel_package) | tr ' ' ',')
	in_own_mounts mmdebstrap --variant=minbase --include="$include" \
		--aptopt='APT::Install-Recommends "false"' \
		--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-include=/usr/share/man/man*/mv*' \
		--essential-hook="mkdir -p \"\$1\"/etc/initramfs-tools/conf.d \"\$1\"/etc/initramfs-tools/hooks" \
		--essential-hook="copy-in '$3/initramfs/monovisor.conf' /etc/initramfs-tools/conf.d" \
		--essential-hook="upload '$3/initramfs/monovisor.modules' /etc/initramfs-tools/modules" \
		--customize-hook="sync-in '$3/overlay' /" \
		--customize-hook='chroot "$1" systemctl enable systemd-networkd systemd-resolved systemd-timesyncd mvd.service monovisor-node-setup.service monovisor-node-join.service libvirtd.service' \
		--customize-hook='sed -i "s/^LOGIN_TIMEOUT.*/LOGIN_TIMEOUT 600/" "$1"/etc/login.defs' \
		--customize-hook='chroot "$1" sh -c "rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt /var/cache/*.bin /etc/dpkg/dpkg.cfg.d/99mmdebstrap"' \
		"$suite" "$1" "$2"
}

# As root, mounts are made for the chroot; they end with this namespace, whatever happens.
in_own_mounts() {
	if [ "$(id -u)" = 0 ]; then
		unshare --mount --propagation private "$@"
	else
		"$@"
	fi
}

# To own files that are root's, one is root or fakes it; both in one process tree.
as_owner() {
	if [ "$(id -u)" = 0 ]; then "$@"; else fakeroot "$@"; fi
}

bootstrap() {
	mkdir "$work/initramfs" "$work/overlay" || die "build: cannot write to $work"
	write_initramfs_conf "$work/initramfs" && write_overlay "$work/overlay" ||
		die "build: cannot write to $work"
	make_repository "$work/packages"
	write_sources "$work/sources.list" "$work/packages"
	run_mmdebstrap "$work/root.tar" "$work/sources.list" "$work" >"$work/mmdebstrap.log" 2>&1 </dev/null || {
		tail -n 15 "$work/mmdebstrap.log" | sed 's/^/   | /' >&2
		df -Pm "$work" | awk 'NR == 2 && $4 < 64 { print "mvnode: the disk is full: " $6 }' >&2
		die "build: mmdebstrap failed, for the reason above; nothing is left of it"
	}
}

# ---- the whole ----

step() {
	printf '=> %-44s\n' "$*"
}

clean_up() {
	local status=$?
	trap '' HUP INT TERM
	chmod -R u+rwX "$work" 2>/dev/null
	rm -rf --one-file-system "$work"
	exit "$status"
}

mib() { # FILE
	echo $((($(stat -c %s "$1") + 1048575) / 1048576))
}

build_image() {
	PATH=$PATH:/usr/sbin:/sbin # not in an ordinary user's
	build_defaults
	build_options "$@"
	check_build
	work=$(mktemp -d "$(cd "$tmp" && pwd)/mvnode-build.XXXXXX") || die "build: cannot make a directory in $tmp"
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 755 "$work"
	: "${SOURCE_DATE_EPOCH:=$(date +%s)}"
	export SOURCE_DATE_EPOCH
	step "install Debian $suite and Monovisor"
	bootstrap
	step "make the disk"
	make_disk "$work/root.tar" "$work/disk.raw"
	step "compress it"
	finish_image "$work/disk.raw"
}

# A user sees the old image or the new one, and never half of one.
finish_image() { # RAW
	local format base=${output%.qcow2}
	qemu-img convert -c -O qcow2 -o compression_type=zstd "$1" "$work/image.qcow2" &&
		mv "$work/image.qcow2" "$output" || die "build: cannot write $output"
	echo "$output: $(mib "$output") MiB, $size in a node"
	for format in $formats; do
		qemu-img convert -O "$format" "$1" "$work/image.$format" &&
			mv "$work/image.$format" "$base.$format" || die "build: cannot write $base.$format"
		echo "$base.$format: $(du -m "$base.$format" | cut -f1) MiB on disk"
	done
}
