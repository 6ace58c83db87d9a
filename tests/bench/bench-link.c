/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast the link is by itself: two links in memory, no descriptor. Prints MB/s
 * for large messages, messages per second for small ones, and the cost of the
 * check.
 */
#include "net/link.h"
#include "net/xxh64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WINDOW (2u << 20)
#define RUN_NS 1000000000ull

static const struct link_channel channels[] = {
	{ "control", 65536 }, { "bulk", WINDOW },
};

struct end {
	struct link *link;
	uint64_t received;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	struct end *end = ctx;

	(void)data;
	end->received += len;
	link_consume(end->link, channel, len);
}

static const struct link_events events = { .data = on_data };

static void end_begin(struct end *end, enum link_side side)
{
	struct link_config config = {
		.side = side, .nchannels = 2, .channels = channels,
	};

	end->link = link_new(&config, &events, end);
	end->received = 0;
	if (!end->link)
		abort();
	link_attach(end->link, 0);
}

static void move(struct link *from, struct link *to, size_t write_size)
{
	static uint8_t bytes[1 << 20];
	size_t n;

	while ((n = link_transmit(from, bytes, write_size, 0)))
		if (link_receive(to, bytes, n, 0))
			abort();
}

/* Bytes per second with messages of `size`, `batch` of them before each move. */
static double stream(size_t size, unsigned batch, size_t write_size)
{
	static uint8_t message[1 << 20];
	struct end home, guest;
	uint64_t begin = now_ns(), ns;

	end_begin(&home, LINK_HOME);
	end_begin(&guest, LINK_GUEST);
	do {
		for (unsigned i = 0; i < batch; i++)
			link_send(home.link, 1, message, size);
		move(home.link, guest.link, write_size);
		move(guest.link, home.link, write_size);
		ns = now_ns() - begin;
	} while (ns < RUN_NS);
	link_free(home.link);
	link_free(guest.link);
	return (double)guest.received * 1e9 / (double)ns;
}

static double check_speed(void)
{
	static uint8_t bytes[LINK_MAX_PAYLOAD];
	uint64_t begin = now_ns(), ns, total = 0, sum = 0;

	do {
		for (int i = 0; i < 100; i++)
			sum += xxh64(sum, bytes, sizeof(bytes));
		total += 100 * sizeof(bytes);
		ns = now_ns() - begin;
	} while (ns < RUN_NS);
	/* The sum is used, so that no compiler leaves the work out. */
	return (double)(total + (sum == 0)) * 1e9 / (double)ns;
}

int main(void)
{
	printf("check                        %8.0f MB/s\n", check_speed() / 1e6);
	printf("1 MiB messages, 64 KiB write %8.0f MB/s\n",
	       stream(1 << 20, 1, 65536) / 1e6);
	printf("1 MiB messages, 32 KiB write %8.0f MB/s\n",
	       stream(1 << 20, 1, 32768) / 1e6);
	printf("100-byte messages, one each  %8.0f /s\n",
	       stream(100, 1, 65536) / 100);
	printf("100-byte messages, by 16     %8.0f /s\n",
	       stream(100, 16, 65536) / 100);
	return 0;
}
