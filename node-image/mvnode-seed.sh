# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A node's seed: the few facts that make one copy of the image differ from the others, as
# lines NAME=VALUE. mvnode writes it on a host (bash 3.2 there), node-setup reads it in the node; both
# believe only what passes seed_check_line.

SEED_NAMES="hostname cluster token address port ip user share accel"
SEED_LABEL=MVSEED
SEED_FILE=monovisor.seed

# The whole text matches, and not one line of it: grep would look at each.
seed_matches() { # TEXT REGEX
	local pattern="^($2)\$"
	case $1 in *$'\n'*) return 1 ;; esac
	[[ $1 =~ $pattern ]]
}

# What is wrong with a value, on standard output; nothing when it is right.
seed_trouble() { # NAME VALUE
	local host='[A-Za-z0-9:][A-Za-z0-9._:%-]{0,127}|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9_-]+)?\](:[0-9]{1,5})?'
	case $1 in
	hostname)
		seed_matches "$2" '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?' ||
			echo "is no host name: letters, digits and hyphens, at most 63" ;;
	cluster)
		seed_matches "$2" "$host" ||
			echo "is neither HOST[:PORT] nor \"new\"" ;;
	token)
		# Not repeated in the message: it may be nearly right, and logs are read by others.
		seed_matches "$2" 'mv1-[0-9a-f]+-[0-9a-f]+' ||
			echo "is no token: it looks like mv1-SECRET-HASH, as \"mvctl cluster invite\" prints it" ;;
	address)
		seed_matches "$2" '[A-Za-z0-9:][A-Za-z0-9._:%-]{0,127}' ||
			echo "is no address or host name" ;;
	port)
		seed_matches "$2" '[1-9][0-9]{0,4}' && [ "$2" -le 65535 ] ||
			echo "is no port: 1 to 65535" ;;
	ip)
		seed_matches "$2" '[0-9A-Fa-f.:]+/[0-9]{1,3}(@([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})?' ||
			echo "is not ADDRESS/PREFIX or ADDRESS/PREFIX@MAC" ;;
	user)
		seed_matches "$2" '[a-z_][a-z0-9_.-]{0,30}:[1-9][0-9]{0,8}:[0-9]{1,9}' ||
			echo "is not NAME:UID:GID of an ordinary user" ;;
	accel)
		case $2 in auto | kvm | tcg) ;; *) echo "is neither auto nor kvm nor tcg" ;; esac ;;
	share)
		seed_matches "$2" '/[^[:cntrl:]"\\$`*?]+' && [ "${2#*/../}" = "$2" ] ||
			echo "is no absolute path of a directory" ;;
	*)
		echo "is not known: a seed has $SEED_NAMES" ;;
	esac
}

# A line NAME=VALUE, or a message that says why it is none, of the place WHERE.
seed_check_line() { # WHERE LINE
	local name=${2%%=*} value=${2#*=} trouble
	if [ "$name" = "$2" ]; then
		echo "$1: \"$name\" is no line NAME=VALUE" >&2
		return 1
	fi
	trouble=$(seed_trouble "$name" "$value")
	[ -z "$trouble" ] && return
	case $name in
	token) echo "$1: the token $trouble" >&2 ;;
	*) printf '%s: %s "%s" %s\n' "$1" "$(seed_clean "$name")" "$(seed_clean "$value")" "$trouble" >&2 ;;
	esac
	return 1
}

# For a terminal: what a stranger wrote, shortened.
seed_clean() { # TEXT
	printf '%.100s' "$1" | LC_ALL=C tr -c '[:print:]' '?'
}

# What must come together.
seed_check_pair() { # WHERE CLUSTER TOKEN
	[ -z "$2" ] || [ "$2" = new ] || [ -n "$3" ] && return
	echo "$1: \"cluster\" names a node to ask, but there is no token (\"mvctl cluster invite\" there prints one)" >&2
	return 1
}
