# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The disk of the node image, made as a file and never mounted: GPT, a boot partition (FAT) that
# both kinds of firmware start from (syslinux for BIOS, systemd-boot for UEFI), and the root (ext4).
# All identifiers are fixed, so that equal packages give equal disks but for times.

root_label=MVROOT
boot_label=MVBOOT
boot_mib=160
syslinux_mbr=/usr/lib/syslinux/mbr/gptmbr.bin
disk_uuid=6d6f6e6f-7669-736f-7201-6e6f64650001
boot_uuid=6d6f6e6f-7669-736f-7201-6e6f64650002
root_uuid=6d6f6e6f-7669-736f-7201-6e6f64650003

partition() { # RAW
	truncate -s "$size" "$1" && sfdisk -q "$1" <<-END
	label: gpt
	label-id: $disk_uuid
	start=2048, size=$((boot_mib * 2048)), type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=$boot_uuid, name=$boot_label, attrs=LegacyBIOSBootable
	start=$((2048 + boot_mib * 2048)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=$root_uuid, name=$root_label
	END
}

# ---- the boot partition ----

# A busy host's emulated timer ticks late, and the kernel's check of it takes it for broken.
command_line() {
	echo "root=LABEL=$root_label ro console=tty0 console=ttyS0,115200 quiet no_timer_check"
}

write_syslinux() { # FILE
	cat >"$1" <<-END
	SERIAL 0 115200
	DEFAULT node
	PROMPT 0
	TIMEOUT 1
	LABEL node
	  LINUX /vmlinuz
	  INITRD /initrd.img
	  APPEND $(command_line)
	END
}

write_systemd_boot() { # DIR
	mkdir -p "$1/loader/entries" && printf 'default node.conf\ntimeout 0\n' >"$1/loader/loader.conf" &&
		printf 'title Monovisor node\nlinux /vmlinuz\ninitrd /initrd.img\noptions %s\n' \
			"$(command_line)" >"$1/loader/entries/node.conf"
}

# The kernel that the node runs: the one asked for, not the one that its guests run.
newest_kernel() { # ROOT
	case $kernel in
	cloud) find "$1/boot" -name 'vmlinuz-*-cloud-*' ;;
	*) find "$1/boot" -name 'vmlinuz-*' ! -name '*-cloud-*' ;;
	esac | sort -V | tail -n 1
}

stage_boot() { # ROOT DIR
	local image release
	image=$(newest_kernel "$1")
	release=${image##*/vmlinuz-}
	[ -n "$image" ] || die "build: the packages brought no $kernel kernel"
	find "$1/lib/modules/$release" "$1/usr/lib/modules/$release" -name 'vhost_vsock.ko*' 2>/dev/null | grep -q . ||
		die "build: the kernel $release has no vhost_vsock: choose another with --kernel"
	mkdir -p "$2/EFI/BOOT" &&
		cp "$image" "$2/vmlinuz" &&
		cp "$1/boot/initrd.img-$release" "$2/initrd.img" &&
		cp "$1/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$2/EFI/BOOT/BOOTX64.EFI" &&
		write_systemd_boot "$2" && write_syslinux "$2/syslinux.cfg"
}

make_boot() { # RAW DIR
	local image=$1@@1M
	mformat -i "$image" -F -v "$boot_label" -N 6d760001 -T $((boot_mib * 2048)) -H 2048 \
		-h 255 -s 63 -c 4 :: &&
		mcopy -i "$image" -s -m "$2"/* :: &&
		syslinux --install --offset 1048576 "$1" &&
		dd if="$syslinux_mbr" of="$1" bs=440 count=1 conv=notrunc status=none
}

# ---- the root ----

# Runs as root, real or faked (as_owner): the owners in the archive are the node's.
unpack_root() { # ARCHIVE DIR
	mkdir "$2" && tar -C "$2" --numeric-owner --exclude='./dev/*' -xf "$1"
}

make_root() { # RAW DIR
	local start=$(((1 + boot_mib) * 1048576)) sectors
	sectors=$(sfdisk -d "$1" | sed -n 's/.*size= *\([0-9]*\),.*4F68BCE3.*/\1/p')
	[ -n "$sectors" ] || return
	E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -F -t ext4 -L "$root_label" -U "$root_uuid" \
		-E "offset=$start,hash_seed=$root_uuid,lazy_itable_init=1,nodiscard" -m 1 -d "$2" "$1" "$((sectors / 2))k"
}

fill_disk() { # ARCHIVE RAW WORK
	unpack_root "$1" "$3/root" && rm -f "$1" && stage_boot "$3/root" "$3/boot" &&
		make_boot "$2" "$3/boot" && make_root "$2" "$3/root"
}

make_disk() { # ARCHIVE RAW
	partition "$2" || die "build: cannot make the disk $2"
	# fakeroot keeps owners for one run: all that needs them happens in one shell.
	as_owner bash -c '. "$0/mvnode-disk.sh"
		die() { echo "mvnode: $*" >&2; exit 1; }
		kernel=$1; size=$2; shift 2; fill_disk "$@"' \
		"$data" "$kernel" "$size" "$1" "$2" "$work" ||
		die "build: could not fill the disk, for the reason above (is $work full?)"
}
