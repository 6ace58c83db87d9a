# mvkit, which packs the kit and a kernel's modules into an initramfs.
noinst_LIBRARIES += guest-kit/libmvkit.a
guest_kit_libmvkit_a_SOURCES = \
	guest-kit/mvkit-cpio.c guest-kit/mvkit-cpio.h \
	guest-kit/mvkit-image.c guest-kit/mvkit-image.h \
	guest-kit/mvkit-kernel.c guest-kit/mvkit-kernel.h \
	guest-kit/mvkit-modules.c guest-kit/mvkit-modules.h
guest_kit_libmvkit_a_CFLAGS = $(AM_CFLAGS) $(KMOD_CFLAGS)

sbin_PROGRAMS += guest-kit/mvkit
guest_kit_mvkit_SOURCES = guest-kit/mvkit.c
guest_kit_mvkit_LDADD = guest-kit/libmvkit.a net/libnet.a $(KMOD_LIBS)

dist_man_MANS += docs/man/mvkit.8
