/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of frames, and the hash that checks them. */
#include "net/bytes.h"
#include "net/link-frame.h"
#include "net/xxh64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t id[LINK_ID_SIZE] = "0123456789abcde";

/* Computed with libxxhash 0.8.1. */
static void test_xxh64(void **state)
{
	static const struct {
		size_t len;
		uint64_t seed_0, seed_1;
	} vectors[] = {
		{ 0, 0xef46db3751d8e999ull, 0x51e24c0e9077a48cull },
		{ 1, 0x1f25c8d0bc1f4bb6ull, 0x20f9f4e3fba1be06ull },
		{ 3, 0x31d2363f52e564c9ull, 0x076b77199119d7ddull },
		{ 4, 0x9bb64b7d66ee9fdaull, 0x27a7e5587a8a5c2eull },
		{ 7, 0x9a7b149959ce60d8ull, 0xcff13e1a810bec27ull },
		{ 8, 0xdab99d95c6f90092ull, 0x841e06da64a07ce8ull },
		{ 13, 0xf78b031308f5bfc8ull, 0x71206de9a8f0d726ull },
		{ 31, 0xa2aa5f33cc4a6119ull, 0x6ba872e910fbce5cull },
		{ 32, 0x23c3c17ef790fd97ull, 0x25cc07da699894a9ull },
		{ 33, 0x50a7cfc7ba588784ull, 0xbf84912d4dea9670ull },
		{ 63, 0x5e3e54b431c7493cull, 0x737629700e723da5ull },
		{ 64, 0x0eb64b3ef6eeb01full, 0xfded24eb11992703ull },
		{ 100, 0xa61f8d4c170fe531ull, 0xfe1fce732c97c212ull },
		{ 1000, 0x5f235fa033f1a3fbull, 0x86fe41ff40ab90dbull },
	};
	uint8_t bytes[1001];

	(void)state;
	for (size_t shift = 0; shift < 2; shift++) {
		for (size_t i = 0; i < 1000; i++)
			bytes[shift + i] = (uint8_t)(i * 7 + 3);
		for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]);
		     i++) {
			assert_int_equal(xxh64(0, bytes + shift,
					       vectors[i].len),
					 vectors[i].seed_0);
			assert_int_equal(xxh64(0x123456789abcdefull,
					       bytes + shift, vectors[i].len),
					 vectors[i].seed_1);
		}
	}
}

/* The layout as docs/wire-format.md has it. */
static void test_header_bytes(void **state)
{
	static const uint8_t expected[FRAME_HEADER_SIZE] = {
		0x04, 0x03, 0x00, 0x00, 1, 5, 0, 0,
		0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
		0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,
	};
	struct frame in = { 0x304, FRAME_DATA, 5, 0x1112131415161718ull,
			    0x2122232425262728ull }, out;
	uint8_t bytes[FRAME_HEADER_SIZE];

	(void)state;
	frame_encode(bytes, &in);
	assert_memory_equal(bytes, expected, sizeof(expected));
	assert_int_equal(frame_decode(&out, bytes, 6, NULL), 0);
	assert_int_equal(out.len, in.len);
	assert_int_equal(out.kind, in.kind);
	assert_int_equal(out.channel, in.channel);
	assert_int_equal(out.seq, in.seq);
	assert_int_equal(out.ack, in.ack);
}

static void test_hello_bytes(void **state)
{
	struct hello in = { .version = 0x0102, .side = LINK_GUEST,
			    .epoch = 0x1112131415161718ull,
			    .rx_next = 0x2122232425262728ull }, out;
	uint8_t bytes[FRAME_HELLO_SIZE];

	(void)state;
	memcpy(in.id, id, sizeof(id));
	hello_encode(bytes, &in);
	assert_memory_equal(bytes, frame_magic, FRAME_MAGIC_SIZE);
	assert_memory_equal(bytes + 16, id, sizeof(id));
	assert_int_equal(get_le16(bytes + 32), in.version);
	assert_int_equal(bytes[34], LINK_GUEST);
	assert_memory_equal(bytes + 35, "\0\0\0\0\0", 5);
	assert_int_equal(get_le64(bytes + 40), in.epoch);
	assert_int_equal(get_le64(bytes + 48), in.rx_next);
	assert_int_equal(get_le64(bytes + 56), xxh64(0, bytes, 56));
	assert_int_equal(hello_decode(&out, bytes), 0);
	assert_int_equal(out.version, in.version);
	assert_int_equal(out.side, in.side);
	assert_int_equal(out.epoch, in.epoch);
	assert_int_equal(out.rx_next, in.rx_next);
	assert_memory_equal(out.id, in.id, sizeof(id));
}

static void test_damaged_hello(void **state)
{
	struct hello hello = { .version = 1, .side = LINK_HOME, .epoch = 1 };
	uint8_t bytes[FRAME_HELLO_SIZE];

	(void)state;
	for (size_t i = 0; i < 8 * sizeof(bytes); i++) {
		hello_encode(bytes, &hello);
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(hello_decode(&hello, bytes), -1);
	}
}

/* No frame can be taken for a HELLO, and no two magics overlap. */
static void test_magic(void **state)
{
	(void)state;
	assert_true(get_le32(frame_magic) > LINK_MAX_PAYLOAD);
	assert_null(memchr(frame_magic + 1, frame_magic[0],
			   FRAME_MAGIC_SIZE - 1));
}

static void test_seeds_differ(void **state)
{
	uint8_t other[LINK_ID_SIZE];
	uint64_t seed = frame_seed(id, 7, LINK_HOME);

	(void)state;
	memcpy(other, id, sizeof(other));
	other[LINK_ID_SIZE - 1] ^= 1;
	assert_int_not_equal(seed, frame_seed(id, 7, LINK_GUEST));
	assert_int_not_equal(seed, frame_seed(id, 8, LINK_HOME));
	assert_int_not_equal(seed, frame_seed(other, 7, LINK_HOME));
}

/* What random noise does not show: the faults of a byte stream. */
static void test_check_finds(void **state)
{
	struct frame frame = { 4096, FRAME_DATA, 1, 2, 3 };
	uint8_t header[FRAME_HEADER_SIZE], bytes[4096], copy[4096];
	uint64_t good;

	(void)state;
	frame_encode(header, &frame);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / 64 + i % 3);
	good = frame_check(9, header, bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes) - 128; i++) {
		/* Two aligned blocks change places, where they differ. */
		memcpy(copy, bytes, sizeof(bytes));
		memcpy(copy + i, bytes + i + 64, 64);
		memcpy(copy + i + 64, bytes + i, 64);
		assert_int_not_equal(frame_check(9, header, copy, sizeof(copy)),
				     good);
		/* A gap closes and the next frame's bytes fill the end. */
		memcpy(copy, bytes, sizeof(bytes));
		memmove(copy + i, copy + i + 64, sizeof(copy) - i - 64);
		assert_int_not_equal(frame_check(9, header, copy, sizeof(copy)),
				     good);
	}
	for (size_t i = 0; i < 8 * sizeof(header); i++) {
		header[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_not_equal(frame_check(9, header, bytes,
						 sizeof(bytes)), good);
		header[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xxh64),
		cmocka_unit_test(test_header_bytes),
		cmocka_unit_test(test_hello_bytes),
		cmocka_unit_test(test_damaged_hello),
		cmocka_unit_test(test_magic),
		cmocka_unit_test(test_seeds_differ),
		cmocka_unit_test(test_check_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
