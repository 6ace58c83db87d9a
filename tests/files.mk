# The file service: its door, hostile requests, and everything through a real mount on this machine.
check_PROGRAMS += \
	tests/files/mvmount \
	tests/files/test-files \
	tests/files/test-home \
	tests/fuzz/fuzz-files-check \
	tests/unit/test-files-check \
	tests/unit/test-files-hostile \
	tests/unit/test-files-service \
	tests/unit/test-fuse-channel

# Both ends in one program: the kit's relay, the link, the deputy's service.
tests_files_mvmount_SOURCES = \
	tests/files/mvmount.c tests/files/layers.c tests/files/layers.h \
	guest-kit/relay.c guest-kit/relay.h
tests_files_mvmount_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE3_CFLAGS)
tests_files_mvmount_LDADD = vmm-agent/libfiles.a guest-kit/libcontrol.a net/libnet.a $(FUSE3_LIBS)

tests_files_test_files_SOURCES = \
	tests/files/trace.c tests/files/trace.h tests/files/trace-attr.c \
	tests/files/trace-data.c tests/files/trace-locks.c tests/files/trace-names.c
tests_files_test_files_LDADD = $(CMOCKA_LIBS)

tests_files_test_home_SOURCES = tests/files/test-home.c
tests_files_test_home_LDADD = $(CMOCKA_LIBS)

# The target includes the sources that it tests.
tests_fuzz_fuzz_files_check_SOURCES = tests/fuzz/fuzz-files-check.c tests/fuzz/standalone.h
EXTRA_tests_fuzz_fuzz_files_check_DEPENDENCIES = vmm-agent/files-check.c

tests_unit_test_files_check_SOURCES = tests/unit/test-files-check.c
tests_unit_test_files_check_LDADD = vmm-agent/libfiles.a net/libnet.a $(CMOCKA_LIBS) $(FUSE3_LIBS)

tests_unit_test_files_hostile_SOURCES = tests/unit/test-files-hostile.c
tests_unit_test_files_hostile_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE3_CFLAGS)
tests_unit_test_files_hostile_LDADD = vmm-agent/libfiles.a net/libnet.a $(CMOCKA_LIBS) $(FUSE3_LIBS)

tests_unit_test_files_service_SOURCES = tests/unit/test-files-service.c
tests_unit_test_files_service_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE3_CFLAGS)
tests_unit_test_files_service_LDADD = vmm-agent/libfiles.a net/libnet.a $(CMOCKA_LIBS) $(FUSE3_LIBS)

tests_unit_test_fuse_channel_SOURCES = tests/unit/test-fuse-channel.c
tests_unit_test_fuse_channel_LDADD = vmm-agent/libfiles.a guest-kit/libcontrol.a net/libnet.a \
	$(CMOCKA_LIBS) $(FUSE3_LIBS)

files_tests = \
	tests/files/faults.sh \
	tests/files/home.sh \
	tests/files/ops.sh \
	tests/files/space.sh \
	tests/files/tools.sh \
	tests/files/tree.sh

dist_check_SCRIPTS += $(files_tests)
EXTRA_DIST += tests/files/lib.sh
TESTS += \
	tests/fuzz/fuzz-files-check \
	tests/unit/test-files-check \
	tests/unit/test-files-hostile \
	tests/unit/test-files-service \
	tests/unit/test-fuse-channel \
	$(files_tests)
