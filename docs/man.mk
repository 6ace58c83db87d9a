dist_man_MANS += docs/man/mvrun.1
dist_man_MANS += docs/man/mvd.8 docs/man/mvctl.1 docs/man/mvd.conf.5
dist_man_MANS += docs/man/mvsim.1
