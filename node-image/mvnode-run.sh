# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# mvnode run, for any host that has QEMU and bash (3.2 will do: an empty array is an unset
# variable to it, hence ${array[@]+...}).

qemu="qemu-system-x86_64"
trial_seconds=20
trial_text="No bootable device"

# After this host, because nodes of several hosts are to be one cluster.
default_name() {
	local host
	host=$(uname -n)
	host=${host%%.*}-node
	[ -z "$(seed_trouble hostname "$host")" ] && echo "$host" || echo node1
}

run_defaults() {
	image=monovisor-node.qcow2
	name=$(default_name)
	dir=
	memory=2048
	cpus=
	accel=auto
	share=
	port=7480
	dry=
	prepare=
	extra=()
}

run_options() {
	while [ $# -gt 0 ]; do
		case $1 in
		--image) image=${2-}; shift ;;
		--name) name=${2-}; shift ;;
		--dir) dir=${2-}; shift ;;
		--memory) memory=${2-}; shift ;;
		--cpus) cpus=${2-}; shift ;;
		--accel) accel=${2-}; shift ;;
		--share) share=${2-}; [ -n "$share" ] || misused "run: --share takes a directory"; shift ;;
		--port) port=${2-}; shift ;;
		--cluster | --token | --address | --ip) add_seed "${1#--}" "${2-}"; shift ;;
		--jobs-accel) add_seed accel "${2-}"; shift ;;
		--dry-run) dry=yes ;;
		--prepare) prepare=yes ;;
		--) shift; extra=("$@"); break ;;
		*) misused "run: unexpected \"$1\"" ;;
		esac
		shift
	done
	check_run_options
}

check_run_options() {
	add_seed hostname "$name"
	add_seed port "$port"
	seed_matches "$memory" '[1-9][0-9]{2,6}' || misused "run: --memory is in MiB, at least 100, not \"$memory\""
	[ -z "$cpus" ] || seed_matches "$cpus" '[1-9][0-9]{0,2}' || misused "run: --cpus is a number, not \"$cpus\""
	case $accel in auto | kvm | hvf | whpx | tcg) ;; *)
		misused "run: --accel is auto, kvm, hvf, whpx or tcg, not \"$accel\"" ;; esac
	[ "$seed_cluster" != new ] || case "$seed_lines" in *"
address="* | address=*) ;; *)
		misused "run: a new cluster needs --address: where other nodes reach this host" ;; esac
	seed_check_pair "mvnode: run" "$seed_cluster" "$seed_token" || exit 2
	[ -n "$dir" ] || dir=${XDG_DATA_HOME:-$HOME/.local/share}/monovisor/$name
}

# ---- the accelerator ----

# An accelerator that QEMU was built with and that opens proves nothing (nested and paravirtual
# hosts): the firmware, which needs no disk, must run under it to its end. In a shell of its own,
# which would otherwise say how QEMU ended.
accel_works() { # NAME
	(try_accel "$1") 2>/dev/null
}

try_accel() { # NAME
	local log pid i
	log=$(mktemp "${TMPDIR:-/tmp}/mvnode.XXXXXX") || return
	"$qemu" -accel "$(accel_option "$1")" -machine q35 -cpu "$(cpu_model "$1")" -m 64 -nodefaults \
		-no-user-config -display none -no-reboot -chardev file,id=log,path="$log" \
		-device isa-debugcon,iobase=0x402,chardev=log </dev/null >/dev/null 2>&1 &
	pid=$!
	for ((i = 0; i < trial_seconds * 5; i++)); do
		grep -q "$trial_text" "$log" && break
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.2
	done
	grep -q "$trial_text" "$log"
	i=$?
	kill -9 "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	rm -f "$log"
	return $i
}

candidates() {
	case $(uname -s) in
	Linux) echo kvm ;;
	Darwin) echo hvf ;;
	MINGW* | MSYS* | CYGWIN*) echo whpx ;;
	esac
}

choose_accel() {
	local one
	[ "$accel" = auto ] || return 0
	for one in $(candidates); do
		accel_works "$one" && accel=$one && return
	done
	accel=tcg
	echo "mvnode: no accelerator works here ($(candidates | tr '\n' ' ')was tried): the node is emulated, some ten times slower" >&2
}

# QEMU emulates AMD's virtualization, too: the node's jobs then run under the node's KVM, emulated
# once and not twice. mvd's own trial of KVM is too short to find out, so the node is told.
help_emulation() {
	case $accel-$seed_lines in
	*accel=*) ;;
	tcg-*) add_seed accel kvm ;;
	esac
}

# Two processors that are emulated interrupt each other more than they help, on a busy host
# until nothing else gets done.
choose_cpus() {
	[ -z "$cpus" ] || return 0
	case $accel in tcg) cpus=1 ;; *) cpus=2 ;; esac
}

accel_option() { # NAME
	case $1 in
	whpx) echo whpx,kernel-irqchip=off ;;
	*) echo "$1" ;;
	esac
}

# In emulation "rep movsb" goes byte by byte: tell the node not to prefer it.
cpu_model() { # NAME
	case $1 in
	kvm | hvf) echo host ;;
	tcg) echo max,-erms,-fsrm ;;
	*) echo qemu64 ;;
	esac
}

# ---- the command ----

# QEMU takes a comma in a value doubled.
commas() {
	printf '%s' "$1" | sed 's/,/,,/g'
}

add_share() {
	local path
	[ -n "$share" ] || return 0
	path=$(cd "$share" 2>/dev/null && pwd -P) || die "run: there is no directory $share"
	case $(uname -s) in Linux | Darwin) ;; *)
		die "run: QEMU shares no folders on this kind of host (see docs/hosts/windows.md)" ;; esac
	case $path in /) die "run: the whole of / cannot be shared: name a directory below it" ;; esac
	add_seed share "$path"
	[ "$(id -u)" = 0 ] || add_seed user "$(share_user):$(id -u):$(id -g)"
	qemu_command+=(-virtfs "local,path=$(commas "$path"),mount_tag=host,security_model=none,multidevs=remap")
}

# The node's name of the host's user; what Linux takes for a name is less than what others do.
share_user() {
	local user
	user=$(id -un | tr '[:upper:]' '[:lower:]' | tr -c 'a-z0-9_\n-' _)
	case $user in [a-z_]*) echo "$user" ;; *) echo "user" ;; esac
}

make_command() {
	local disk
	disk=$(commas "$dir/disk.qcow2")
	qemu_command=("$qemu" -name "$name" -machine q35 -accel "$(accel_option "$accel")"
		-cpu "$(cpu_model "$accel")" -smp "$cpus" -m "$memory" -nodefaults -no-user-config
		-display none -chardev stdio,id=console,mux=on,signal=off
		-serial chardev:console -mon chardev=console,mode=readline
		-drive "if=virtio,format=qcow2,discard=unmap,file=$disk"
		-netdev "user,id=net,hostfwd=tcp::$port-:$port,hostfwd=udp::$port-:$port"
		-device virtio-net-pci,netdev=net -device virtio-rng-pci)
	add_share
	qemu_command+=(-smbios "type=11,path=$(commas "$dir/seed")")
	qemu_command+=(${extra[@]+"${extra[@]}"})
}

# As a shell takes it.
print_command() {
	local word
	for word in "${qemu_command[@]}"; do
		case $word in
		*[!A-Za-z0-9_./:,=@%+-]*) printf "'%s' " "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")" ;;
		*) printf '%s ' "$word" ;;
		esac
	done
	echo
}

# ---- files of the node ----

# The image stays as it is; a node writes to a disk of its own that lies over it.
prepare_files() {
	local base
	(umask 077 && mkdir -p "$dir") || die "run: cannot make the directory $dir"
	if [ ! -e "$dir/disk.qcow2" ]; then
		[ -r "$image" ] || die "run: there is no image $image (mvnode build makes one; --image names it)"
		need_programs qemu-img:qemu-utils
		base=$(cd "$(dirname "$image")" && pwd)/$(basename "$image")
		qemu-img create -q -f qcow2 -F qcow2 -b "$base" "$dir/disk.qcow2.new" &&
			mv "$dir/disk.qcow2.new" "$dir/disk.qcow2" ||
			die "run: cannot make the node's disk in $dir"
	fi
	seed_lines=$(printf '%s' "$seed_lines" | sed 's/^/monovisor./')
	rm -f "$dir/seed" # its rights are its creator's
	write_seed "$dir/seed"
}

run_node() {
	run_defaults
	run_options "$@"
	command -v "$qemu" >/dev/null || die "run: there is no $qemu: install QEMU (Debian: qemu-system-x86; macOS: brew install qemu)"
	choose_accel
	choose_cpus
	help_emulation
	make_command
	[ -n "$dry" ] || prepare_files
	if [ -n "$dry$prepare" ]; then
		print_command
		return
	fi
	echo "mvnode: $name runs under $accel, with port $port of this host; Ctrl-A X ends it, Ctrl-A C is QEMU's own console" >&2
	# The console is for the terminal, not for what a token came through.
	if [ -n "$seed_piped" ] && { : </dev/tty; } 2>/dev/null; then exec </dev/tty; fi
	exec "${qemu_command[@]}"
}
