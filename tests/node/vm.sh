# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Virtual machines of the node image, for a test: source it after tests/lib.sh.
#
#	vm_image		the image, made of packages of this source, or $MV_NODE_IMAGE
#	vm_start NODE OPTION...	by mvnode run
#	vm_start_elsewhere NODE SEED-OPTION...	as other virtualizers do: UEFI, a VHDX image, its seed on a disk
#	vm_up NODE		wait until its console can be used
#	vm NODE SECONDS COMMAND	run a line of shell there as root; output and exit status are the command's
#	vm_until SECONDS COMMAND	wait for a command that uses vm
#	vm_cut NODE, vm_heal NODE	the network between the nodes, at this node's plug
#	vm_off NODE		as if its power failed
#
# The network between them is a pair of unix sockets, so there can be two; each has a network
# namespace of its own besides, for what mvnode run forwards.

vm_dir=${tmp:?}/vm
mvnode=$MV_SRCDIR/node-image/mvnode
declare -A vm_pid=()
vm_mark=0

vm_image() {
	local stage=$vm_dir/source
	if [ -n "${MV_NODE_IMAGE:-}" ]; then
		image=$MV_NODE_IMAGE
		vm_step "its VHDX" qemu-img convert -O vhdx "$image" "$vm_dir/node.vhdx"
		return
	fi
	mkdir -p "$stage"
	vm_step "the release" make -C "$MV_BUILDDIR" dist
	tar -C "$stage" -xf "$(ls -t "$MV_BUILDDIR"/monovisor-*.tar.xz | head -n 1)"
	vm_step "the packages" vm_packages "$stage"/monovisor-*/
	vm_step "the image" "$mvnode" build --packages "$stage" --tmp "$vm_dir" \
		--vhdx -o "$vm_dir/node.qcow2"
	image=$vm_dir/node.qcow2
	echo "it has $(du -m --apparent-size "$image" | cut -f1) MiB"
	[ "$(du -m --apparent-size "$image" | cut -f1)" -le 700 ] || fail "the image is larger than 700 MiB"
	rm -rf "$stage"
}

# The packages, and that of the sources, without an error or a warning of lintian's.
vm_packages() { # DIR
	(cd "$1" && DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" dpkg-buildpackage -us -uc &&
		cd .. && ls monovisor_*.deb monovisor-node_*.deb monovisor-dbgsym_*.deb ./*.dsc &&
		lintian --allow-root --fail-on error,warning ./*.changes ./*.dsc)
}

vm_step() { # TEXT COMMAND...
	local text=$1 from=$SECONDS
	shift
	"$@" >"$vm_dir/step.log" 2>&1 </dev/null || {
		tail -n 30 "$vm_dir/step.log"
		fail "could not make $text"
	}
	echo "$text: made in $((SECONDS - from)) s"
}

# Where other tests have found that KVM does not work, it is not tried again.
vm_accel() {
	[ "$(node_accel_known "$node_cache")" = tcg ] && echo tcg || echo auto
}

# The address is 10.77.0.N for "nodeN"; there are node1 and node2.
vm_mac() { # NODE
	echo "52:54:00:77:00:0${1#node}"
}

vm_start() { # NODE OPTION...
	local node=$1
	shift
	vm_launch "$node" "$mvnode" run --accel "$(vm_accel)" --image "$image" \
		--name "$node" --dir "$vm_dir/$node/state" \
		--ip "10.77.0.${node#node}/24@$(vm_mac "$node")" --address "10.77.0.${node#node}" "$@" --
}

# In emulation it is told what mvnode run tells by itself.
vm_start_elsewhere() { # NODE SEED-OPTION...
	local node=$1 dir=$vm_dir/$1 processor
	shift
	mkdir -p "$dir"
	read -ra processor < <("$mvnode" run --dry-run --accel "$(vm_accel)" | grep -o -- '-accel [^ ]* -cpu [^ ]* -smp [^ ]*')
	[ "${processor[1]}" != tcg ] || set -- --jobs-accel kvm "$@"
	"$mvnode" seed --hostname "$node" --ip "10.77.0.${node#node}/24@$(vm_mac "$node")" \
		--address "10.77.0.${node#node}" "$@" -o "$dir/seed.img"
	cp /usr/share/OVMF/OVMF_VARS_4M.fd "$dir/vars.fd"
	qemu-img create -q -f qcow2 -F vhdx -b "$vm_dir/node.vhdx" "$dir/disk.qcow2"
	vm_launch "$node" qemu-system-x86_64 -machine q35 "${processor[@]}" -m 2048 -nodefaults -no-user-config -display none \
		-drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
		-drive "if=pflash,format=raw,file=$dir/vars.fd" \
		-drive "if=virtio,file=$dir/disk.qcow2" -drive "if=virtio,format=raw,readonly=on,file=$dir/seed.img" \
		-chardev stdio,id=console,mux=on,signal=off -serial chardev:console -mon chardev=console,mode=readline
}

vm_launch() { # NODE COMMAND...: QEMU's options for the network are added
	local node=$1 number=${1#node} dir=$vm_dir/$1
	shift
	mkdir -p "$dir"
	mkfifo "$dir/in"
	: >"$dir/console"
	exec {vm_in}<>"$dir/in"
	unshare --net "$@" \
		-netdev "dgram,id=nodes,local.type=unix,local.path=$vm_dir/wire$number,remote.type=unix,remote.path=$vm_dir/wire$((3 - number))" \
		-device "virtio-net-pci,netdev=nodes,id=plug,mac=$(vm_mac "$node")" \
		-action panic=shutdown -no-reboot \
		<&"$vm_in" >"$dir/console" 2>&1 &
	vm_pid[$node]=$!
	exec {vm_in}>&-
	cleanup_fn vm_off "$node"
}

vm_off() { # NODE
	local pid=${vm_pid[$1]-}
	[ -n "$pid" ] || return 0
	kill -9 "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null || true
	unset "vm_pid[$1]"
}

vm_runs() { # NODE
	! has_ended "${vm_pid[$1]}" || fail "$1 has ended: $(tail -n 20 "$vm_dir/$1/console")"
}

# To an interactive shell a tab means that it is to complete a word.
vm_send() { # NODE TEXT
	vm_runs "$1"
	printf '%s\n' "${2//$'\t'/ }" 1<>"$vm_dir/$1/in" >&1
}

# What the console said from an offset on that matches.
vm_said() { # NODE OFFSET REGEX
	tail -c "+$(($2 + 1))" "$vm_dir/$1/console" | tr -d '\r' | grep -aE "$3"
}

# It can be used, or never will.
vm_settled() { # NODE
	vm_said "$1" 0 'automatic login' || has_ended "${vm_pid[$1]}"
}

# Neither prompts, nor echoes, nor the kernel's messages in what commands say.
vm_answers() { # NODE
	local offset i
	offset=$(stat -c %s "$vm_dir/$1/console")
	# Its user may be somebody else.
	vm_send "$1" '[ "$(id -u)" = 0 ] || exec sudo -n -i'
	vm_send "$1" "stty -echo cols 500; bind 'set enable-bracketed-paste off'; PS1=; PS2=; dmesg -n 1; export PAGER=cat; echo \"is\"-ready"
	for ((i = 0; i < 20; i++)); do
		vm_said "$1" "$offset" '^is-ready$' && return
		sleep 1
	done
	return 1
}

vm_up() { # NODE
	local from=$SECONDS
	wait_until 900 vm_settled "$1"
	vm_runs "$1"
	# What is typed before there is a shell is lost.
	wait_until 300 vm_answers "$1"
	echo "$1: up after $((SECONDS - from)) s more"
}

# A last look at what went wrong, before they are switched off.
vm_report() {
	local node
	[ "$test_status" != 0 ] || return 0
	for node in "${!vm_pid[@]}"; do
		echo "---- $node:"
		vm "$node" 20 'journalctl -b -q --no-pager -n 60 -u mvd -u libvirtd -u "monovisor-node*"; mvctl jobs' ||
			tail -n 40 "$vm_dir/$node/console"
	done
}

# As wait_until, but looking costs a machine that is emulated more than waiting does.
vm_until() { # SECONDS COMMAND...
	local until=$((SECONDS + $1 * slower))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $until ] || fail "still not so: $*"
		sleep 2
	done
}

vm() { # NODE SECONDS COMMAND
	local node=$1 mark offset until=$((SECONDS + $2 * slower))
	vm_mark=$((vm_mark + 1))
	mark=mark-$BASHPID-$vm_mark
	offset=$(stat -c %s "$vm_dir/$node/console")
	# Written so that the line itself, should it be echoed, does not look like its end.
	vm_send "$node" "echo \"begin\"-$mark; { $3
} 2>&1; echo \"end\"-$mark \$?"
	# Not wait_until: who waits for several of these decides what one without an answer means.
	until vm_said "$node" "$offset" "^end-$mark [0-9]+\$" >/dev/null; do
		[ $SECONDS -lt $until ] || { echo "no answer from $node in $2 s: $3" >&2; return 124; }
		sleep 0.1
	done
	tail -c "+$((offset + 1))" "$vm_dir/$node/console" | tr -d '\r' | sed -n "/^begin-$mark\$/,/^end-$mark /{//!p}"
	return "$(vm_said "$node" "$offset" "^end-$mark " | awk '{ print $2 }')"
}

# Through QEMU's console, which shares the terminal: Ctrl-A C goes there and back.
vm_link() { # NODE on|off
	vm_send "$1" $'\x01cset_link plug '"$2"
	sleep 1
	printf '\x01c' 1<>"$vm_dir/$1/in" >&1
}

vm_cut() { vm_link "$1" off; }
vm_heal() { vm_link "$1" on; }
