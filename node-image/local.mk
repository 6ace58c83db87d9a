# node-image/: systemd units, the node image and its launcher, see mvnode(1).
systemunitdir = $(prefix)/lib/systemd/system
mvnodedir = $(datadir)/monovisor

dist_bin_SCRIPTS = node-image/mvnode
dist_mvnode_DATA = \
	node-image/mvnode-build.sh \
	node-image/mvnode-disk.sh \
	node-image/mvnode-run.sh \
	node-image/mvnode-seed.sh
dist_man_MANS += docs/man/mvnode.1

systemunit_DATA = node-image/mvd.service
node-image/mvd.service: node-image/mvd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) node-image && \
		sed 's|@sbindir[@]|$(sbindir)|; s|@localstatedir[@]|$(localstatedir)|' $(top_srcdir)/node-image/mvd.service.in >$@.tmp && mv $@.tmp $@
CLEANFILES += node-image/mvd.service

# The unit lets the agent write there, and nowhere else where it could make it.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(localstatedir)/lib/monovisor

# What only a machine that is nothing but a node has: the package monovisor-node installs it.
EXTRA_DIST += node-image/mvd.service.in \
	node-image/80-monovisor-node.network \
	node-image/monovisor-node-join.service \
	node-image/monovisor-node-setup.service \
	node-image/monovisor-node.modules \
	node-image/node-boot node-image/node-console.conf node-image/node-setup \
	node-image/zz-monovisor-node \
	docs/hosts/linux.md docs/hosts/macos.md docs/hosts/windows.md
EXTRA_DIST += debian/changelog debian/control debian/copyright debian/not-installed debian/monovisor-node.install \
	debian/monovisor.docs debian/monovisor.install debian/monovisor.lintian-overrides \
	debian/rules debian/source/format debian/source/options
