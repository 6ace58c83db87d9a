# guest-kit/: the static PID 1 of a guest, and mvkit, which packs it.
noinst_LIBRARIES += guest-kit/libcontrol.a
guest_kit_libcontrol_a_SOURCES = guest-kit/control.c guest-kit/control.h
include guest-kit/kit.mk
include guest-kit/mvkit.mk
