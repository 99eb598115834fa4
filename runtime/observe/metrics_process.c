/* SPDX-License-Identifier: MIT */
/*
 * metrics_process: the process_ families that every Prometheus client has.
 *
 *	/proc/self/stat          CPU, start, virtual and resident memory
 *	/proc/self/fd            open descriptors
 *	getrlimit                limits
 *	/proc/self/net/netstat   bytes of the network namespace
 *
 * The start of the process is told in ticks since boot. Other clients add the
 * boot time of /proc/stat, a file that grows with the machine's interrupts;
 * here it is now minus age, worked out once, so that it stays the same from
 * scrape to scrape.
 *
 * Network figures are the whole namespace's, not the process's: dashboards
 * expect the names, and in a container the two are the same.
 *
 * Locks: none.
 */
#include "base/atomics.h"
#include "observe/metrics.h"
#include "os/clock.h"
#include "os/procfile.h"
#include "os/sysmem.h"

#include <string.h>
#include <sys/resource.h>

/* Words of /proc/self/stat behind the ")" that ends the program's name. */
enum {
	STAT_UTIME = 11,
	STAT_STIME = 12,
	STAT_START = 19,
	STAT_VSIZE = 20,
	STAT_RSS = 21
};

enum { TICKS = 100 }; /* USER_HZ: fixed on every Linux on x86-64 */

static void value(struct fmt *f, const char *name, const char *type,
	const char *help, double v, bool openmetrics)
{
	emit_family(f, name, type, help, openmetrics);
	fmt_printf(f, "%s ", name);
	fmt_f64(f, v);
	fmt_char(f, '\n');
}

/* No limit is all ones, which as a double is 2^64. */
static bool soft_limit(int resource, double *v)
{
	struct rlimit r;

	if (sys_failed(sys2(SYS_getrlimit, resource, &r)))
		return false;
	*v = r.rlim_cur == RLIM_INFINITY ? 0x1p64 : (double)r.rlim_cur;
	return true;
}

/* Unix time of the start; the first answer for this process is kept. */
static double start_time(uint64_t start_ticks)
{
	static int64_t known_ns;
	static uint64_t known_ticks;
	int64_t ns;

	/* acquire [start]: known_ns belongs to known_ticks. */
	if (load_acquire(&known_ticks) == start_ticks + 1)
		return (double)known_ns / 1e9;
	ns = clock_unix_ns() - clock_ns(CLOCK_BOOTTIME) +
		(int64_t)start_ticks * (1000000000 / TICKS);
	ns -= ns % 10000000; /* more digits than a tick has would be made up */
	store_relaxed(&known_ns, ns);
	/* release [start]: publishes known_ns. */
	store_release(&known_ticks, start_ticks + 1);
	return (double)ns / 1e9;
}

/*
 * netstat has pairs of lines, names and values:
 *	IpExt: InNoRoutes ... InOctets OutOctets ...
 *	IpExt: 0 ... 12345 678 ...
 */
static bool net_octets(const char *netstat, const char *name, double *v)
{
	const char *names = strstr(netstat, "IpExt: "), *values, *p;
	unsigned column = 0;

	values = names ? strstr(names + 1, "\nIpExt: ") : NULL;
	p = values ? strstr(names, name) : NULL;
	if (!p || p > values)
		return false;
	for (; p > names; p--)
		column += *p == ' ';
	*v = (double)procfile_word_u64(values + 1, column);
	return true;
}

struct figures {
	bool stat, net; /* could be read */
	double cpu, start, virtual, resident;
	double received, sent;
};

static void read_stat(struct figures *p)
{
	char buf[1024];
	const char *stat;

	procfile_read("/proc/self/stat", buf, sizeof(buf));
	stat = strrchr(buf, ')');
	if (!stat)
		return;
	stat++;
	p->stat = true;
	p->cpu = (double)(procfile_word_u64(stat, STAT_UTIME) +
			 procfile_word_u64(stat, STAT_STIME)) /
		TICKS;
	p->start = start_time(procfile_word_u64(stat, STAT_START));
	p->virtual = (double)procfile_word_u64(stat, STAT_VSIZE);
	p->resident = (double)procfile_word_u64(stat, STAT_RSS) * OS_PAGE;
}

static void read_net(struct figures *p)
{
	char buf[8192];

	p->net = procfile_read("/proc/self/net/netstat", buf, sizeof(buf)) &&
		net_octets(buf, " InOctets ", &p->received) &&
		net_octets(buf, " OutOctets ", &p->sent);
}

static void usage(struct fmt *f, const struct figures *p, bool openmetrics)
{
	value(f, "process_resident_memory_bytes", "gauge",
		"Memory of the process that is resident.", p->resident,
		openmetrics);
	value(f, "process_start_time_seconds", "gauge",
		"Unix time at which the process started.", p->start,
		openmetrics);
	value(f, "process_virtual_memory_bytes", "gauge",
		"Address space of the process.", p->virtual, openmetrics);
}

static void network(struct fmt *f, const struct figures *p, bool openmetrics)
{
	value(f, "process_network_receive_bytes_total", "counter",
		"Bytes received in the process's network namespace.",
		p->received, openmetrics);
	value(f, "process_network_transmit_bytes_total", "counter",
		"Bytes sent in the process's network namespace.", p->sent,
		openmetrics);
}

void metrics_process(struct fmt *f, bool openmetrics)
{
	struct figures p = {0};
	long fds = procfile_count_fds();
	double limit;

	read_stat(&p);
	read_net(&p);
	if (p.stat)
		value(f, "process_cpu_seconds_total", "counter",
			"User and system CPU time of the process.", p.cpu,
			openmetrics);
	if (soft_limit(RLIMIT_NOFILE, &limit))
		value(f, "process_max_fds", "gauge",
			"Soft limit on open descriptors.", limit, openmetrics);
	if (p.net)
		network(f, &p, openmetrics);
	if (fds >= 0)
		value(f, "process_open_fds", "gauge", "Open descriptors.",
			(double)fds, openmetrics);
	if (p.stat)
		usage(f, &p, openmetrics);
	if (soft_limit(RLIMIT_AS, &limit))
		value(f, "process_virtual_memory_max_bytes", "gauge",
			"Soft limit on address space.", limit, openmetrics);
}
