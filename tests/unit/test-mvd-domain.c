/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The XML that libvirt gets for a job, and the facts it gives back. */
#include "vmm-agent/mvd-domain.h"
#include "vmm-agent/mvd-virt-move.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define UUID "6f6f0000-1111-2222-3333-44445555aaaa"

static struct job_facts facts;
static struct domain_spec spec;
static xmlDoc *doc;

static int set_up(void **state)
{
	(void)state;
	memcpy(facts.uuid, UUID, sizeof(UUID));
	facts.agent = g_strdup("/run/monovisor/mvd.sock");
	facts.name = g_strdup("make");
	facts.user = g_strdup("ann");
	facts.command = g_strdup("make -j4 <&> \"all\"");
	facts.home = g_strdup("alpha");
	facts.pid = 4711;
	facts.start = 18446744073709551615u;
	facts.uid = 1000;
	facts.since = 1700000000;
	facts.moves = 3;
	facts.memory = 512;
	facts.cpus = 2;
	facts.boots = 1;
	facts.pin = true;
	facts.accel = ACCEL_TCG;
	spec = (struct domain_spec){
		.facts = &facts,
		.name = "mv-ann-make-4711",
		.kernel = "/boot/vmlinuz",
		.initramfs = "/var/lib/kit.cpio",
		.socket = "/run/x.link",
		.console = "/run/x.console",
	};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	xmlFreeDoc(doc);
	doc = NULL;
	job_facts_clear(&facts);
	return 0;
}

static void build(void)
{
	struct err err = { 0 };
	g_autofree char *xml = domain_to_xml(&spec, &err);

	if (!xml)
		fail_msg("%s", err.text);
	xmlFreeDoc(doc);
	doc = xmlReadMemory(xml, (int)strlen(xml), NULL, NULL, 0);
	assert_non_null(doc);
}

/* The document has this string at this place. */
static void holds(const char *expression, const char *want)
{
	xmlXPathContext *context = xmlXPathNewContext(doc);
	xmlXPathObject *result;
	xmlChar *text;

	xmlXPathRegisterNs(context, BAD_CAST "mv",
			   BAD_CAST DOMAIN_METADATA_URI);
	result = xmlXPathEvalExpression(BAD_CAST expression, context);
	assert_non_null(result);
	text = xmlXPathCastToString(result);
	if (strcmp((char *)text, want) != 0)
		fail_msg("%s is \"%s\", not \"%s\"", expression, (char *)text,
			 want);
	xmlFree(text);
	xmlXPathFreeObject(result);
	xmlXPathFreeContext(context);
}

static void describes_the_machine(void **state)
{
	(void)state;
	build();
	holds("/domain/@type", "qemu");
	holds("/domain/name", "mv-ann-make-4711");
	holds("/domain/uuid", UUID);
	holds("/domain/title", "make -j4 <&> \"all\"");
	holds("/domain/memory * 1", "524288");
	holds("/domain/memory/@unit", "KiB");
	holds("/domain/vcpu", "2");
	holds("/domain/os/type", "hvm");
	holds("/domain/os/type/@arch", "x86_64");
	holds("/domain/os/type/@machine", "microvm");
	holds("/domain/os/kernel", "/boot/vmlinuz");
	holds("/domain/os/initrd", "/var/lib/kit.cpio");
	holds("count(/domain/features/acpi)", "1");
	holds("/domain/on_poweroff", "destroy");
	holds("/domain/on_reboot", "destroy");
	holds("/domain/on_crash", "destroy");
}

static void describes_the_devices(void **state)
{
	(void)state;
	build();
	holds("count(/domain/devices/controller[@type='usb'][@model='none'])",
	      "1");
	holds("/domain/devices/controller[@type='virtio-serial']/address/@type",
	      "virtio-mmio");
	holds("/domain/devices/channel/@type", "unix");
	holds("/domain/devices/channel/source/@mode", "bind");
	holds("/domain/devices/channel/source/@path", "/run/x.link");
	holds("/domain/devices/channel/target/@type", "virtio");
	holds("/domain/devices/channel/target/@name", "org.monovisor.link.0");
	holds("/domain/devices/memballoon/@freePageReporting", "on");
	holds("/domain/devices/memballoon/address/@type", "virtio-mmio");
	holds("/domain/devices/rng/backend", "/dev/urandom");
	holds("/domain/devices/rng/address/@type", "virtio-mmio");
	holds("/domain/devices/serial/@type", "file");
	holds("/domain/devices/serial/source/@path", "/run/x.console");
	holds("/domain/devices/serial/source/@append", "on");
	holds("count(/domain/devices/vsock)", "0");
	holds("count(/domain/devices/interface)", "0");
	holds("count(/domain/devices/graphics)", "0");
}

static void tells_the_kit_its_link(void **state)
{
	(void)state;
	build();
	holds("contains(concat(/domain/os/cmdline, ' '), ' mv.id=" UUID " ')",
	      "true");
	holds("contains(concat(/domain/os/cmdline, ' '), ' mv.transport=serial "
	      "')", "true");
	holds("contains(/domain/os/cmdline, 'no_timer_check')", "true");
	holds("contains(/domain/os/cmdline, 'init_on_free')", "false");
	/* What an emulator keeps is bounded. */
	holds("/domain/features/tcg/tb-cache[@unit = 'MiB']", "128");
	/* Memory that was freed is not sent to another node. */
	spec.may_move = true;
	build();
	holds("contains(/domain/os/cmdline, ' init_on_free=1 ')", "true");
	facts.transport = JOB_VSOCK;
	facts.vsock_port = 1234;
	facts.accel = ACCEL_KVM;
	build();
	holds("contains(concat(/domain/os/cmdline, ' '), ' mv.transport=vsock:1234 "
	      "')", "true");
	holds("contains(/domain/os/cmdline, 'no_timer_check')", "false");
	holds("count(/domain/features/tcg)", "0");
	holds("/domain/devices/vsock/cid/@auto", "yes");
	holds("/domain/devices/vsock/address/@type", "virtio-mmio");
}

static void chooses_the_processor(void **state)
{
	(void)state;
	build();
	holds("/domain/cpu/@mode", "maximum");
	holds("/domain/cpu/feature[@name='erms']/@policy", "disable");
	holds("/domain/cpu/feature[@name='fsrm']/@policy", "disable");
	facts.accel = ACCEL_KVM;
	spec.cpu = "Nehalem";
	build();
	holds("/domain/@type", "kvm");
	holds("/domain/cpu/@mode", "custom");
	holds("/domain/cpu/@match", "exact");
	holds("/domain/cpu/model", "Nehalem");
	spec.cpu = NULL;
	build();
	holds("/domain/cpu/model", "qemu64");
}

/* libvirt must not give the host's kernel to QEMU's user. */
static void moves_between_processors(void **state)
{
	static const char *const models[] = { "qemu64", "Nehalem",
					      "Haswell-noTSX" };
	size_t have, need;

	(void)state;
	/* Each has what those before it have. */
	for (have = 0; have < 3; have++)
		for (need = 0; need < 3; need++)
			assert_int_equal(domain_cpu_covers(models[have],
							   models[need]),
					 have >= need);
	assert_false(domain_cpu_covers("Nehalem", "EPYC"));
	assert_false(domain_cpu_covers("EPYC", "Nehalem"));
	assert_false(domain_cpu_covers("Haswell-noTSX", ""));
}

static void may_stop_longer_and_longer(void **state)
{
	unsigned long long ms, before = 0;
	unsigned rounds;

	(void)state;
	assert_true(virt_move_downtime_ms(0) <= 300);
	for (rounds = 0; rounds < 100; rounds++) {
		ms = virt_move_downtime_ms(rounds);
		assert_true(ms >= before && ms > 0);
		before = ms;
	}
	assert_true(before >= 1000 && before <= 10000);
}

static void leaves_the_kernel_alone(void **state)
{
	(void)state;
	build();
	holds("count(/domain/seclabel)", "0");
	spec.dac = "+64055:+107";
	build();
	holds("/domain/seclabel[@model='dac'][@type='static']/@relabel", "no");
	holds("/domain/seclabel[@model='dac']/label", "+64055:+107");
}

static void holds_the_facts(void **state)
{
	(void)state;
	build();
	holds("/domain/metadata/mv:job/mv:pid", "4711");
	holds("/domain/metadata/mv:job/mv:user", "ann");
	holds("/domain/metadata/mv:job/mv:command", "make -j4 <&> \"all\"");
	holds("/domain/metadata/mv:job/mv:home", "alpha");
	holds("/domain/metadata/mv:job/mv:pin", "yes");
	holds("/domain/metadata/mv:job/mv:moves", "3");
	holds("/domain/metadata/mv:job/mv:since", "1700000000");
	holds("/domain/metadata/mv:job/mv:transport", "virtio-serial");
}

static void reads_its_own_facts(void **state)
{
	g_autofree char *xml = NULL;
	struct job_facts got;
	struct err err = { 0 };

	(void)state;
	facts.frozen = facts.started = true;
	facts.stay_home = true;
	facts.near = g_strdup("6f6f0000-1111-2222-3333-000000000002");
	facts.vsock_port = 99;
	facts.transport = JOB_VSOCK;
	xml = job_facts_to_xml(&facts);
	if (job_facts_from_xml(&got, xml, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(got.uuid, facts.uuid);
	assert_string_equal(got.agent, facts.agent);
	assert_string_equal(got.name, facts.name);
	assert_string_equal(got.user, facts.user);
	assert_string_equal(got.command, facts.command);
	assert_string_equal(got.home, facts.home);
	assert_int_equal(got.pid, facts.pid);
	assert_true(got.start == facts.start);
	assert_int_equal(got.uid, facts.uid);
	assert_true(got.since == facts.since);
	assert_int_equal(got.moves, facts.moves);
	assert_int_equal(got.memory, facts.memory);
	assert_int_equal(got.cpus, facts.cpus);
	assert_int_equal(got.boots, facts.boots);
	assert_true(got.pin && got.stay_home && got.frozen && got.started);
	assert_false(got.probe);
	assert_int_equal(got.accel, facts.accel);
	assert_int_equal(got.transport, JOB_VSOCK);
	assert_int_equal(got.vsock_port, 99);
	assert_string_equal(got.near, facts.near);
	job_facts_clear(&got);
}

/* A target without control groups would refuse a domain that has a weight. */
static void leaves_its_weight_behind(void **state)
{
	static const char weight[] = "<cputune><shares>512</shares></cputune>";
	const struct domain_place place = {
		.kernel = "/boot/there", .initramfs = "/there.cpio",
		.socket = "/there/x.link", .console = "/there/x.console",
	};
	g_autofree char *xml = NULL, *moved = NULL;
	struct err err = { 0 };
	GString *weighed;

	(void)state;
	xml = domain_to_xml(&spec, &err);
	weighed = g_string_new(xml);
	g_string_insert(weighed, strstr(weighed->str, "</domain>") - weighed->str, weight);
	moved = domain_move_xml(weighed->str, &place, &facts, &err);
	g_string_free(weighed, TRUE);
	if (!moved)
		fail_msg("%s", err.text);
	xmlFreeDoc(doc);
	doc = xmlReadMemory(moved, (int)strlen(moved), NULL, NULL, 0);
	holds("count(/domain/cputune/shares)", "0");
	holds("/domain/os/kernel", "/boot/there");
	holds("/domain/metadata/mv:job/mv:pid", "4711");
}

/* In a copy of the facts' XML, with one text replaced by another. */
static void refused(const char *from, const char *to)
{
	g_autofree char *xml = job_facts_to_xml(&facts);
	g_auto(GStrv) parts = g_strsplit(xml, from, 2);
	g_autofree char *edited = NULL;
	struct job_facts got;
	struct err err = { 0 };

	if (!parts[1])
		fail_msg("there is no %s in %s", from, xml);
	edited = g_strjoinv(to, parts);
	if (job_facts_from_xml(&got, edited, &err) == 0)
		fail_msg("taken: %s", edited);
	assert_true(err.text[0] != '\0');
	assert_null(got.command);
}

static void refuses_edited_facts(void **state)
{
	(void)state;
	refused("<pid>4711</pid>", "<pid>0</pid>");
	refused("<pid>4711</pid>", "<pid>-1</pid>");
	refused("<pid>4711</pid>", "<pid>99999999999</pid>");
	refused("<pid>4711</pid>", "<pid>4711 </pid>");
	refused("<pid>4711</pid>", "");
	refused("<uid>1000</uid>", "<uid>4294967295</uid>");
	refused("<uid>1000</uid>", "<uid>root</uid>");
	refused("<accel>tcg</accel>", "<accel>auto</accel>");
	refused("<accel>tcg</accel>", "<accel>x</accel>");
	refused(">" UUID "<", ">../../etc/passwd<");
	refused("</job>", "");
	refused("<memory>512", "<memory>0");
}

static void refuses_huge_metadata(void **state)
{
	g_autofree char *long_text = g_strnfill(100000, 'x');
	g_autofree char *xml = NULL;
	struct job_facts got;
	struct err err = { 0 };

	(void)state;
	g_free(facts.name);
	facts.name = g_steal_pointer(&long_text);
	xml = job_facts_to_xml(&facts);
	assert_int_equal(job_facts_from_xml(&got, xml, &err), -1);
}

static void names_domains_safely(void **state)
{
	g_autofree char *name = NULL, *odd = NULL;

	(void)state;
	name = domain_name(&facts, facts.home);
	assert_string_equal(name, "mv-ann-make-4711");
	g_free(facts.name);
	facts.name = g_strdup("../a b\"'<>&\n\xc3\xa4");
	odd = domain_name(&facts, facts.home);
	assert_string_equal(odd, "mv-ann-.._a_b________-4711");
	assert_null(strchr(odd, '/'));
}

/* What a user calls his program is text, whatever is in it. */
static void cleans_hostile_texts(void **state)
{
	g_autofree char *clean = clean_text("a\x1b[31m\n\xff]]>\xef\xbf\xbe");

	(void)state;
	assert_string_equal(clean, "a?[31m?\xef\xbf\xbd]]>?");
	g_free(facts.command);
	facts.command = g_strdup("\x01</title><os>\xff\xef\xbf\xbf");
	build();
	holds("/domain/title", "?</title><os>\xef\xbf\xbd?");
	holds("count(/domain/os)", "1");
}

static void reads_what_libvirt_says(void **state)
{
	static const char capabilities[] =
		"<capabilities><host><secmodel><model>none</model></secmodel>"
		"<secmodel><model>dac</model><doi>0</doi>"
		"<baselabel type='kvm'>+1:+2</baselabel>"
		"<baselabel type='qemu'>+3:+4</baselabel></secmodel></host>"
		"</capabilities>";
	static const char models[] =
		"<domainCapabilities><cpu><mode name='custom' supported='yes'>"
		"<model usable='no'>Haswell-noTSX</model>"
		"<model usable='yes'>Nehalem</model>"
		"<model usable='yes'>qemu64</model></mode></cpu>"
		"</domainCapabilities>";
	g_autofree char *kvm = domain_dac_label(capabilities, ACCEL_KVM);
	g_autofree char *tcg = domain_dac_label(capabilities, ACCEL_TCG);

	(void)state;
	assert_string_equal(kvm, "+1:+2");
	assert_string_equal(tcg, "+3:+4");
	assert_null(domain_dac_label("<capabilities/>", ACCEL_TCG));
	assert_null(domain_dac_label("<", ACCEL_TCG));
	assert_string_equal(domain_cpu_baseline(models), "Nehalem");
	assert_null(domain_cpu_baseline("<domainCapabilities/>"));
	assert_int_equal(domain_cid("<domain><devices><vsock><cid auto='yes' "
				    "address='7'/></vsock></devices></domain>"),
			 7);
	assert_int_equal(domain_cid("<domain><devices><vsock><cid address='2'/>"
				    "</vsock></devices></domain>"), 0);
	assert_int_equal(domain_cid("<domain/>"), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(describes_the_machine),
		TEST(describes_the_devices),
		TEST(tells_the_kit_its_link),
		TEST(chooses_the_processor),
		TEST(moves_between_processors),
		TEST(may_stop_longer_and_longer),
		TEST(leaves_the_kernel_alone),
		TEST(holds_the_facts),
		TEST(reads_its_own_facts),
		TEST(leaves_its_weight_behind),
		TEST(refuses_edited_facts),
		TEST(refuses_huge_metadata),
		TEST(names_domains_safely),
		TEST(cleans_hostile_texts),
		TEST(reads_what_libvirt_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
