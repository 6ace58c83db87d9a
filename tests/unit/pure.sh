#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The library of decisions allocates nothing, does no input or output and asks no
# clock: it calls the functions below, its own, and nothing else.
. "$(dirname "$0")/../lib.sh"
command -v nm >/dev/null || skip "there is no nm"
library=$MV_BUILDDIR/scheduler/libsched.a
[ -e "$library" ] || fail "libsched.a is not built in $MV_BUILDDIR"

# snprintf writes to memory, for reasons in words. err_set is the error object of net/.
allowed='memchr|memcmp|memcpy|memmove|memset|strchr|strcmp|strlen|strncmp|snprintf|err_set'
allowed+='|ceil|exp|exp2|expm1|fabs|floor|fmax|fmin|fmod|ldexp|log|log10|log1p|log2|pow|round|sqrt'
# What compilers add: checks, the wrappers of _FORTIFY_SOURCE, sanitizers.
allowed+='|__assert_fail|__stack_chk_.*|__(mem|sn).*_chk|__(a|t|ub)san_.*|_GLOBAL_OFFSET_TABLE_'

nm -u "$library" | awk '$1 == "U" { print $2 }' | sort -u >"$tmp/used"
nm --defined-only "$library" | awk 'NF == 3 { print $3 }' | sort -u >"$tmp/own"
[ -s "$tmp/used" ] || fail "nm says nothing of $library"
comm -23 "$tmp/used" "$tmp/own" | grep -vxE "$allowed" >"$tmp/others" || true
[ ! -s "$tmp/others" ] || fail "scheduler/ must not call: $(xargs <"$tmp/others")"
