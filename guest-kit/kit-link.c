/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-kit/kit.h"

#include <errno.h>
#include <unistd.h>

#define OPEN_PATIENCE_MS 10000 /* for the transport's device to appear */
#define OPEN_AGAIN_US 10000

int transport_attach(const struct boot_options *boot, struct pump *pump,
		     struct err *err)
{
	int fd = boot->transport->open(boot->address, err);

	if (fd < 0)
		return -1;
	pump_attach(pump, boot->transport, fd, now_ms());
	return 0;
}

void transport_attach_first(const struct boot_options *boot, struct pump *pump)
{
	int64_t give_up = now_ms() + OPEN_PATIENCE_MS;
	struct err err = { 0 };

	while (transport_attach(boot, pump, &err)) {
		/* All modules are loaded: a kind of socket that this kernel has
		 * not will not come, and the agent knows another way. */
		if (err.num == EAFNOSUPPORT || now_ms() > give_up)
			kit_die("monovisor-kit: %s", err.text);
		usleep(OPEN_AGAIN_US);
	}
}
