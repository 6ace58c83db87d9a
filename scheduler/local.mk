# scheduler/: pure decisions, for mvd and for the simulator alike. Needs only err of libnet.a, and libm.
noinst_LIBRARIES += scheduler/libsched.a
scheduler_libsched_a_SOURCES = \
	scheduler/balance.c scheduler/balance.h \
	scheduler/cost.c scheduler/cost.h \
	scheduler/gossip.c scheduler/gossip.h \
	scheduler/gossip-wire.c scheduler/gossip-wire.h \
	scheduler/load.c scheduler/load.h \
	scheduler/map.c scheduler/map.h \
	scheduler/pick.h \
	scheduler/place.c scheduler/place.h \
	scheduler/policy.c scheduler/policy.h \
	scheduler/predict.c scheduler/predict.h \
	scheduler/random.c scheduler/random.h \
	scheduler/reason.c scheduler/reason.h \
	scheduler/swim.c scheduler/swim.h \
	scheduler/swim-member.c scheduler/swim-member.h \
	scheduler/swim-wire.c scheduler/swim-wire.h \
	scheduler/usher.c scheduler/usher.h \
	scheduler/weight.c scheduler/weight.h
sched_libs = scheduler/libsched.a net/libnet.a -lm

# The simulator; a library, so that tests can call its parts.
noinst_LIBRARIES += scheduler/libmvsim.a
scheduler_libmvsim_a_SOURCES = \
	scheduler/mvsim.h \
	scheduler/mvsim-builtin.c scheduler/mvsim-builtin.h \
	scheduler/mvsim-classic.c \
	scheduler/mvsim-compare.c scheduler/mvsim-compare.h \
	scheduler/mvsim-decide.c scheduler/mvsim-decide.h \
	scheduler/mvsim-engine.c \
	scheduler/mvsim-gossip.c scheduler/mvsim-gossip.h \
	scheduler/mvsim-heap.c scheduler/mvsim-heap.h \
	scheduler/mvsim-json.c scheduler/mvsim-json.h \
	scheduler/mvsim-methods.h \
	scheduler/mvsim-modern.c \
	scheduler/mvsim-move.c \
	scheduler/mvsim-node.c \
	scheduler/mvsim-ours.c \
	scheduler/mvsim-post.c \
	scheduler/mvsim-scenario.c scheduler/mvsim-scenario.h \
	scheduler/mvsim-swim.c scheduler/mvsim-swim.h \
	scheduler/mvsim-trace.c scheduler/mvsim-trace.h \
	scheduler/mvsim-workload.c scheduler/mvsim-workload.h
scheduler_libmvsim_a_CFLAGS = $(AM_CFLAGS) $(JSON_C_CFLAGS)
mvsim_libs = scheduler/libmvsim.a $(sched_libs) $(JSON_C_LIBS)

bin_PROGRAMS += scheduler/mvsim
scheduler_mvsim_SOURCES = scheduler/mvsim.c
scheduler_mvsim_CFLAGS = $(AM_CFLAGS) $(JSON_C_CFLAGS)
scheduler_mvsim_LDADD = $(mvsim_libs)
