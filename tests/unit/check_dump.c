/* SPDX-License-Identifier: MIT */
/*
 * Each test runs in a child of its own, in a new folder. MemStats come from a
 * generator here, so that what is dumped is known.
 */
#include "observe/dump.h"
#include "base/fatal.h"
#include "observe/dumpfile.h"
#include "observe/emit.h"
#include "observe/memstats.h"
#include "support/capture.h"
#include "support/sample.h"
#include "support/sanitizer.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char dir[] = "/tmp/check_dump.XXXXXX";
static void (*while_reading)(void);
static unsigned nreads;
static unsigned wishes, wishes_seen;

void memstats_read(struct gostat_memstats *m)
{
	nreads++;
	wishes_seen = __atomic_load_n(&wishes, __ATOMIC_SEQ_CST);
	sample_fill(m);
	if (while_reading)
		while_reading();
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	dump_init();
}

static void teardown(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

/* Files here, hidden ones too. */
static int count_files(void)
{
	DIR *d = opendir(".");
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static char *slurp(const char *path)
{
	static char text[1 << 17];
	FILE *f = fopen(path, "r");
	size_t n;

	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static const char *expected(enum dump_format format)
{
	static char buf[1 << 17];
	struct gostat_memstats m;
	struct fmt f;

	sample_fill(&m);
	fmt_init(&f, buf, sizeof(buf), -1);
	if (format == FORMAT_JSON) {
		emit_json(&f, &m);
		fmt_char(&f, '\n');
	} else {
		emit_text(&f, &m);
	}
	return fmt_cstr(&f);
}

static void set(char *a, char *b)
{
	options_parse((char *[]){a, b, NULL}, false);
}

/* What dump_run() says on stderr; static. */
static char *said(uint32_t actions)
{
	static char text[1 << 17];
	char *captured;

	capture_start(STDERR_FILENO);
	dumpfile_init();
	dump_run(actions, 0);
	captured = capture_end();
	strcpy(text, captured);
	free(captured);
	return text;
}

static void expect_failure(const char *why)
{
	uint64_t before = dumpfile_failures();
	char *line = said(ACTION_STATS);

	ck_assert_msg(!strncmp(line, "gostat: dump to ", 16), "%s", line);
	ck_assert_msg(strstr(line, why) != NULL, "no '%s' in %s", why, line);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
	ck_assert_uint_eq(dumpfile_failures(), before + 1);
}

START_TEST(test_stderr_text)
{
	char head[256], *text = said(ACTION_STATS), *body;
	struct stat st;

	body = strchr(text, '\n') + 1;
	snprintf(head, sizeof(head),
		"gostat: MemStats of check_dump (pid %d), dump 1, 20",
		getpid());
	ck_assert_msg(!strncmp(text, head, strlen(head)), "%.200s", text);
	ck_assert_str_eq(body, expected(FORMAT_TEXT));
	ck_assert_uint_eq(dumpfile_failures(), 0);
	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
}
END_TEST

START_TEST(test_file_json)
{
	struct stat st;

	set("GOSTAT_DUMP=%e.%n.json", "GOSTAT_FORMAT=json");
	umask(0);
	ck_assert_str_eq(said(ACTION_STATS), "");
	umask(0777);
	ck_assert_str_eq(said(ACTION_STATS), "");
	ck_assert_int_eq(count_files(), 2);
	for (int i = 1; i <= 2; i++) {
		char name[64];

		snprintf(name, sizeof(name), "check_dump.%d.json", i);
		ck_assert_int_eq(stat(name, &st), 0);
		ck_assert_int_eq(st.st_mode, S_IFREG | 0600);
		ck_assert_str_eq(slurp(name), expected(FORMAT_JSON));
	}
}
END_TEST

START_TEST(test_expand)
{
	char buf[256], want[256];
	long before = time(NULL), at;

	ck_assert(dumpfile_expand("a%%b.%p.%n.%e", 7, buf, sizeof(buf)));
	snprintf(want, sizeof(want), "a%%b.%d.7.check_dump", getpid());
	ck_assert_str_eq(buf, want);
	ck_assert(dumpfile_expand("%t", 7, buf, sizeof(buf)));
	at = strtol(buf, NULL, 10);
	ck_assert(before <= at && at <= time(NULL));
	ck_assert(dumpfile_expand("123", 7, buf, 4));
	ck_assert(!dumpfile_expand("1234", 7, buf, 4));
}
END_TEST

START_TEST(test_failures)
{
	static char template[3000] = "GOSTAT_DUMP=";

	set("GOSTAT_DUMP=no/such/folder", NULL);
	expect_failure("No such file");
	mkdir("folder", 0700);
	set("GOSTAT_DUMP=folder", NULL);
	expect_failure("directory");
	set("GOSTAT_DUMP=/dev/full", NULL);
	expect_failure("No space left");
	for (int i = 0; i < 1400; i++)
		strcat(template, "%e");
	set(template, NULL);
	expect_failure("too long");
	ck_assert_int_eq(count_files(), 1);
	ck_assert_uint_eq(nreads, 4);
}
END_TEST

static void unexpected(int signo)
{
	fatal("signal %d", signo);
}

/* The kernel wants to kill the program for what we write. */
START_TEST(test_file_size_limit)
{
	struct rlimit small = {1000, 1000};
	sigset_t pending, mask;

	signal(SIGXFSZ, unexpected);
	set("GOSTAT_DUMP=out", NULL);
	setrlimit(RLIMIT_FSIZE, &small);
	dump_run(ACTION_STATS, 0);
	ck_assert_uint_eq(dumpfile_failures(), 1);
	ck_assert_int_eq(count_files(), 0);
	sigpending(&pending);
	ck_assert(sigisemptyset(&pending));
	sigprocmask(SIG_SETMASK, NULL, &mask);
	ck_assert(sigisemptyset(&mask));
}
END_TEST

START_TEST(test_reader_is_gone)
{
	int fd[2];

	signal(SIGPIPE, unexpected);
	ck_assert_int_eq(pipe(fd), 0);
	close(fd[0]);
	dup2(fd[1], STDERR_FILENO);
	dump_init();
	dump_run(ACTION_STATS, 0);
	ck_assert_uint_eq(dumpfile_failures(), 1);
}
END_TEST

/* The program's own SIGPIPE, blocked and waiting, stays what it is. */
START_TEST(test_pending_stays)
{
	sigset_t set;
	int fd[2];

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGPIPE);
	ck_assert_int_eq(pipe(fd), 0);
	close(fd[0]);
	dup2(fd[1], STDERR_FILENO);
	dump_init();
	dump_run(ACTION_STATS, 0);
	sigpending(&set);
	ck_assert(sigismember(&set, SIGPIPE));
}
END_TEST

START_TEST(test_symlink_is_not_followed)
{
	FILE *f = fopen("victim", "w");

	fputs("precious", f);
	fclose(f);
	ck_assert_int_eq(symlink("victim", "out"), 0);
	set("GOSTAT_DUMP=out", "GOSTAT_FORMAT=json");
	ck_assert_str_eq(said(ACTION_STATS), "");
	ck_assert_str_eq(slurp("victim"), "precious");
	ck_assert_str_eq(slurp("out"), expected(FORMAT_JSON));
}
END_TEST

/* A device or a pipe is written to, not replaced. */
START_TEST(test_pipe_by_name)
{
	static char got[1 << 17];
	struct stat st;
	int fd;

	ck_assert_int_eq(mkfifo("out", 0600), 0);
	set("GOSTAT_DUMP=out", "GOSTAT_FORMAT=json");
	expect_failure("No such device");
	fd = open("out", O_RDONLY | O_NONBLOCK);
	ck_assert_str_eq(said(ACTION_STATS), "");
	ck_assert_int_gt(read(fd, got, sizeof(got)), 0);
	ck_assert_str_eq(got, expected(FORMAT_JSON));
	ck_assert_int_eq(lstat("out", &st), 0);
	ck_assert(S_ISFIFO(st.st_mode));
	ck_assert_int_eq(count_files(), 1);
}
END_TEST

/* Number 2 now belongs to a connection, or to a file that is read, too. */
START_TEST(test_stderr_reused)
{
	static char got[64];
	int sv[2], fd;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	dup2(sv[0], STDERR_FILENO);
	dump_run(ACTION_STATS, 0);
	ck_assert_uint_eq(dumpfile_failures(), 1);
	ck_assert_int_gt(read(sv[1], got, sizeof(got)), 0);
	ck_assert_ptr_nonnull(strstr(got, "dump to stderr: "));

	fd = open("base", O_RDWR | O_CREAT, 0600);
	dup2(fd, STDERR_FILENO);
	dump_run(ACTION_STATS, 0);
	ck_assert_uint_eq(dumpfile_failures(), 2);

	fd = open("log", O_WRONLY | O_CREAT, 0600);
	dup2(fd, STDERR_FILENO);
	dump_run(ACTION_STATS, 0);
	ck_assert_uint_eq(dumpfile_failures(), 2);
	ck_assert_ptr_nonnull(strstr(slurp("log"), "\nHeapAlloc = "));
}
END_TEST

/* Descriptors below 3 are where others write. */
START_TEST(test_low_descriptors)
{
	int out = dup(STDOUT_FILENO);

	set("GOSTAT_DUMP=out", "GOSTAT_FORMAT=json");
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	dump_run(ACTION_STATS, 0);
	ck_assert_int_eq(fcntl(STDOUT_FILENO, F_GETFD), -1);
	ck_assert_int_eq(fcntl(STDIN_FILENO, F_GETFD), -1);
	dup2(out, STDOUT_FILENO);
	ck_assert_str_eq(slurp("out"), expected(FORMAT_JSON));
}
END_TEST

static void on_signal(int signo UNUSED)
{
	dump_run(ACTION_STATS, 0);
}

static void raise_usr1(void)
{
	if (nreads == 1)
		raise(SIGUSR1);
}

/* A signal while a dump is being made is served after it. */
START_TEST(test_signal_in_dump)
{
	set("GOSTAT_DUMP=out.%n", NULL);
	signal(SIGUSR1, on_signal);
	while_reading = raise_usr1;
	dump_run(ACTION_STATS, 0);
	ck_assert_uint_eq(nreads, 2);
	ck_assert_int_eq(count_files(), 2);
}
END_TEST

static unsigned nheaps;

static void heap_hook(void)
{
	/* Comes while busy: left behind, not lost, not recursive. */
	if (!nheaps++)
		dump_run(ACTION_STATS | ACTION_HEAP, 0);
}

START_TEST(test_hooks_and_wishes)
{
	char *text;

	set("GOSTAT_DUMP=out.%n", NULL);
	dump_hook(ACTION_HEAP, heap_hook);
	dump_run(ACTION_HEAP, 0);
	ck_assert_uint_eq(nheaps, 2);
	ck_assert_uint_eq(nreads, 1);
	text = said(ACTION_LEAKS);
	ck_assert_msg(strstr(text, "leaks") && strchr(text, '\n'), "%s", text);
}
END_TEST

static char names[8][16];

static void named(void)
{
	uint64_t number;

	snprintf(names[2], sizeof(names[2]), "%s",
		dump_name(ACTION_HEAP, &number));
}

/* Several outputs of one run get several names. */
START_TEST(test_names)
{
	dump_hook(ACTION_HEAP, named);
	set("GOSTAT_DUMP=out", NULL);
	dump_run(ACTION_HEAP, 0);
	ck_assert_str_eq(names[2], "");
	dump_run(ACTION_HEAP | ACTION_STATS, 0);
	ck_assert_str_eq(names[2], ".heap");
	set("GOSTAT_DUMP=out.%%n", NULL);
	dump_run(ACTION_HEAP | ACTION_STATS, 0);
	ck_assert_str_eq(names[2], ".heap");
	set("GOSTAT_DUMP=out.%n", NULL);
	dump_run(ACTION_HEAP | ACTION_STATS, 0);
	ck_assert_str_eq(names[2], "");
}
END_TEST

/* The smallest signal stack there is, with a page behind it that faults. */
START_TEST(test_signal_stack)
{
	size_t size = ALIGN_UP((size_t)sysconf(_SC_MINSIGSTKSZ) + 4096, 4096);
	char *p = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t ss = {.ss_sp = p + 4096, .ss_size = size};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

	mprotect(p, 4096, PROT_NONE);
	ck_assert_int_eq(sigaltstack(&ss, NULL), 0);
	ck_assert_int_eq(sigaction(SIGUSR1, &sa, NULL), 0);
	set("GOSTAT_DUMP=out", "GOSTAT_FORMAT=prometheus");
	raise(SIGUSR1);
	set("GOSTAT_DUMP=/no/such", "GOSTAT_FORMAT=text");
	raise(SIGUSR1);
	ck_assert_uint_eq(nreads, 2);
	ck_assert_ptr_nonnull(strstr(slurp("out"), "\ngo_threads "));
}
END_TEST

static void *storm(void *arg UNUSED)
{
	for (int i = 0; i < 100; i++) {
		errno = i;
		__atomic_fetch_add(&wishes, 1, __ATOMIC_SEQ_CST);
		dump_run(ACTION_STATS, 0);
		if (errno != i)
			abort();
	}
	return NULL;
}

/* Every file is whole, every number is used once, no wish comes after the last
 * dump. */
START_TEST(test_threads)
{
	pthread_t threads[4];
	unsigned n = 0;

	set("GOSTAT_DUMP=%n", "GOSTAT_FORMAT=json");
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, storm, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (char name[16];; n++) {
		snprintf(name, sizeof(name), "%u", n + 1);
		if (access(name, F_OK))
			break;
		ck_assert_str_eq(slurp(name), expected(FORMAT_JSON));
	}
	ck_assert_uint_eq(n, nreads);
	ck_assert_uint_eq(wishes_seen, 400);
	ck_assert_int_eq(count_files(), (int)n);
	ck_assert_uint_eq(dumpfile_failures(), 0);
}
END_TEST

static bool tell_child;

static void fork_hook(void)
{
	int status;

	if (fork() == 0) {
		dump_hook(ACTION_HEAP, NULL);
		if (tell_child)
			dump_fork_child();
		dump_run(ACTION_STATS, 0);
		_exit((int)nreads);
	}
	wait(&status);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 1);
}

/* The child of a fork in the middle of a dump is not busy, told or not. */
START_TEST(test_fork)
{
	set("GOSTAT_DUMP=%p", NULL);
	dump_hook(ACTION_HEAP, fork_hook);
	tell_child = _i;
	dump_run(ACTION_HEAP, 0);
	ck_assert_int_eq(count_files(), 1);
}
END_TEST

/* Strict seccomp kills for anything but read, write and exit. */
START_TEST(test_quiet)
{
	static char got[1 << 17];
	int fd[2], status;
	size_t n = 0;
	ssize_t part;

	ck_assert_int_eq(pipe(fd), 0);
	fcntl(fd[1], F_SETPIPE_SZ, 1 << 17);
	if (fork() == 0) {
		dup2(fd[1], STDERR_FILENO);
		dump_quiet();
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		dump_run(ACTION_STATS, 0);
		set("GOSTAT_DUMP=file", "GOSTAT_FORMAT=prometheus");
		dump_run(ACTION_STATS, 0);
		syscall(SYS_exit, 3);
	}
	close(fd[1]);
	wait(&status);
	ck_assert_msg(WIFEXITED(status), "signal %d", WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), 3);
	while ((part = read(fd[0], got + n, sizeof(got) - 1 - n)) > 0)
		n += (size_t)part;
	ck_assert_ptr_nonnull(strstr(got, "\nDebugGC = "));
	ck_assert_ptr_nonnull(
		strstr(got, "\ngostat: dump to file: the program has restr"));
	ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(test_mask)
{
	sigset_t set, after;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTTOU);
	sigprocmask(SIG_SETMASK, &set, NULL);
	said(ACTION_STATS);
	sigprocmask(SIG_SETMASK, NULL, &after);
	ck_assert_mem_eq(&set, &after, 8);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dump");
	TCase *tc = tcase_create("dump");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 240);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_stderr_text);
	tcase_add_test(tc, test_file_json);
	tcase_add_test(tc, test_expand);
	tcase_add_test(tc, test_failures);
	tcase_add_test(tc, test_file_size_limit);
	tcase_add_test(tc, test_reader_is_gone);
	tcase_add_test(tc, test_pending_stays);
	tcase_add_test(tc, test_symlink_is_not_followed);
	tcase_add_test(tc, test_pipe_by_name);
	tcase_add_test(tc, test_stderr_reused);
	tcase_add_test(tc, test_low_descriptors);
	tcase_add_test(tc, test_signal_in_dump);
	tcase_add_test(tc, test_hooks_and_wishes);
	tcase_add_test(tc, test_names);
	tcase_add_test(tc, test_signal_stack);
	tcase_add_test(tc, test_threads);
	tcase_add_loop_test(tc, test_fork, 0, 2);
	if (!SANITIZED)
		tcase_add_test(tc, test_quiet);
	tcase_add_test(tc, test_mask);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
