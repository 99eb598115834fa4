/* SPDX-License-Identifier: MIT */
/*
 * sockpath: a name in the file system that only its user can reach.
 *
 *	auto      $XDG_RUNTIME_DIR/gostat/PID.sock    if that folder is ours
 *	          /tmp/gostat-UID/PID.sock            else
 *	template  as written; its folder must exist
 *
 * What others could do, and why they can't:
 *   - make /tmp/gostat-UID first: its owner is checked, through a descriptor
 *     that does not follow links; it is made private (0700) if it is not;
 *   - connect between bind and chmod: the socket gets its mode before it gets
 *     its name (the name inherits the mode of the socket's inode);
 *   - connect at all: 0600, and httpd.c asks for the peer's uid besides.
 *
 * A name that is taken is stale if nobody answers there: a crash leaves it
 * behind. Then it is removed. A name that is no socket is never removed.
 *
 * A name longer than sun_path (108 bytes) is reached through the descriptor
 * of its folder, as /proc/self/fd/N/NAME. Only then, since that is also what
 * ss and lsof show. Changing the folder instead would be seen by the program.
 *
 * Invariants:
 *   I1  a name is removed only if dev and ino say that we made it.
 *
 * Locks: none.
 *
 * Rejected: to keep the folder open, so that the name can be removed after
 * chroot(). A descriptor of a folder outside is a way out of the jail.
 */
#include "observe/sockpath.h"
#include "base/fatal.h"
#include "base/fmt.h"
#include "observe/dumpfile.h"
#include "os/procfile.h"
#include "os/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 64, RUNTIME_DIR_MAX = 256 };

static char runtime_dir[RUNTIME_DIR_MAX];

void sockpath_init(char **envp)
{
	static const char name[] = "XDG_RUNTIME_DIR=";
	const char *dir = NULL;

	/* The first of two settings counts, as with getenv. */
	for (; envp && *envp && !dir; envp++)
		if (!strncmp(*envp, name, strlen(name)))
			dir = *envp + strlen(name);
	if (dir && dir[0] == '/' && strlen(dir) < sizeof(runtime_dir))
		strcpy(runtime_dir, dir);
}

bool sockpath_is_per_process(const char *template)
{
	if (!strcmp(template, "auto"))
		return true;
	for (const char *p = template; (p = strchr(p, '%')); p += 1 + !!p[1])
		if (p[1] == 'p')
			return true;
	return false;
}

/* One line, and false. */
static bool complain(const struct sockpath *s, const char *why)
{
	warn("socket: %s: %s", s->path, why);
	return false;
}

static bool complain_errno(const struct sockpath *s, long ret)
{
	static const struct {
		int error;
		const char *text;
	} known[] = {
		{EACCES, "permission denied"},
		{EADDRINUSE, "the name is taken"},
		{EMFILE, "too many open files"},
		{ENFILE, "too many open files in the system"},
		{ENOENT, "no such folder"},
		{ENOTDIR, "a part of the path is no folder"},
		{ENOSPC, "no space left"},
		{EPERM, "not permitted"},
		{EROFS, "read-only file system"},
		{ENAMETOOLONG, "path too long"},
	};

	for (size_t i = 0; i < NELEM(known); i++)
		if (known[i].error == -ret)
			return complain(s, known[i].text);
	warn("socket: %s: error %ld", s->path, -ret);
	return false;
}

/* A folder that is ours and private; made if it isn't there. */
static long private_folder(const char *path)
{
	long fd, ret = sys2(SYS_mkdir, path, 0700);
	struct stat st;

	if (sys_failed(ret) && ret != -EEXIST)
		return ret;
	fd = sys2(SYS_open, path,
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sys_failed(fd))
		return fd;
	ret = sys2(SYS_fstat, fd, &st);
	if (!sys_failed(ret) && st.st_uid != (uid_t)sys0(SYS_geteuid))
		ret = -EPERM;
	if (!sys_failed(ret) && (st.st_mode & 07777) != 0700)
		ret = sys2(SYS_fchmod, fd, 0700);
	sys1(SYS_close, fd);
	return ret;
}

/* The user's own folder and this process's name in it. */
static bool choose_auto(struct sockpath *s)
{
	struct fmt f;
	long ret = -ENOENT;

	fmt_init(&f, s->path, sizeof(s->path), -1);
	if (runtime_dir[0]) {
		fmt_printf(&f, "%s/gostat", runtime_dir);
		ret = private_folder(fmt_cstr(&f));
	}
	if (sys_failed(ret)) {
		fmt_init(&f, s->path, sizeof(s->path), -1);
		fmt_printf(&f, "/tmp/gostat-%lu",
			(unsigned long)sys0(SYS_geteuid));
		ret = private_folder(fmt_cstr(&f));
	}
	if (ret == -EPERM)
		return complain(s, "belongs to somebody else");
	if (sys_failed(ret))
		return complain_errno(s, ret);
	fmt_printf(&f, "/%d.sock", dumpfile_pid());
	fmt_cstr(&f);
	return true;
}

/* A relative path starts at the folder of now. */
static bool choose_template(struct sockpath *s, const char *template)
{
	size_t n = 0;

	s->path[0] = '\0';
	if (template[0] != '/') {
		long len = sys2(SYS_getcwd, s->path, sizeof(s->path) - 1);

		if (sys_failed(len) || s->path[0] != '/')
			return complain(s, "there is no current folder");
		n = strlen(s->path);
		s->path[n++] = '/';
	}
	if (!dumpfile_expand(template, 0, s->path + n, sizeof(s->path) - n))
		return complain_errno(s, -ENAMETOOLONG);
	return true;
}

/*
 * The address of s->path. If it is too long for one, the folder is opened:
 * *folder is to be closed afterwards, else it is -1.
 */
static long address(const struct sockpath *s, struct sockaddr_un *un,
	long *folder)
{
	const char *name = strrchr(s->path, '/') + 1;
	char dir[SOCKPATH_MAX];
	struct fmt f;

	*folder = -1;
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	fmt_init(&f, un->sun_path, sizeof(un->sun_path), -1);
	if (strlen(s->path) < sizeof(un->sun_path)) {
		fmt_str(&f, s->path);
		return 0;
	}
	memcpy(dir, s->path, (size_t)(name - s->path));
	dir[name - s->path] = '\0';
	*folder = sys2(SYS_open, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sys_failed(*folder))
		return *folder;
	fmt_printf(&f, "/proc/self/fd/%ld/%s", *folder, name);
	fmt_cstr(&f);
	if (!f.truncated)
		return 0;
	sys1(SYS_close, *folder);
	*folder = -1;
	return -ENAMETOOLONG;
}

static uint64_t parent_of(uint64_t pid)
{
	char path[40], stat[512];
	const char *p;
	struct fmt f;

	fmt_init(&f, path, sizeof(path), -1);
	fmt_printf(&f, "/proc/%lu/stat", pid);
	procfile_read(fmt_cstr(&f), stat, sizeof(stat));
	p = strrchr(stat, ')');
	return p ? procfile_word_u64(p + 1, 1) : 0;
}

static bool is_ancestor(uint64_t who)
{
	uint64_t pid = (uint64_t)sys0(SYS_getpid);

	for (int depth = 0; pid > 1 && depth < 64; depth++) {
		pid = parent_of(pid);
		if (pid == who)
			return true;
	}
	return false;
}

enum taken { STALE, LIVE, ANCESTORS, NO_SOCKET };

/* Who has the name? */
static enum taken probe(const struct sockpath *s, const struct sockaddr_un *un)
{
	enum taken answer = LIVE;
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	struct stat st;
	long fd;

	if (sys_failed(sys2(SYS_lstat, s->path, &st)))
		return STALE;
	if (!S_ISSOCK(st.st_mode))
		return NO_SOCKET;
	fd = sys3(SYS_socket, AF_UNIX,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sys_failed(fd))
		return LIVE;
	switch (sys3(SYS_connect, fd, un, sizeof(*un))) {
	case 0:
		sys6(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, (long)&peer,
			(long)&len, 0);
		if (peer.pid > 0 && is_ancestor((uint64_t)peer.pid))
			answer = ANCESTORS;
		break;
	case -ECONNREFUSED:
	case -ENOENT:
		answer = STALE;
	}
	sys1(SYS_close, fd);
	return answer;
}

/* Bind, over a stale name too. False: it has been said why. */
static bool bind_name(struct sockpath *s, const struct sockaddr_un *un)
{
	int fd = s->listener.fd;
	long ret = sys3(SYS_bind, fd, un, sizeof(*un));

	if (ret == -EADDRINUSE) {
		switch (probe(s, un)) {
		case ANCESTORS:
			return false;
		case LIVE:
			return complain(s, "another process listens there");
		case NO_SOCKET:
			return complain(s, "exists and is no socket");
		case STALE:
			sys1(SYS_unlink, s->path);
			ret = sys3(SYS_bind, fd, un, sizeof(*un));
		}
	}
	return sys_failed(ret) ? complain_errno(s, ret) : true;
}

static bool listen_at(struct sockpath *s, const struct sockaddr_un *un)
{
	struct stat st;
	long ret;

	/* The name that bind() makes takes its mode from here. */
	sys2(SYS_fchmod, s->listener.fd, 0600);
	if (!bind_name(s, un))
		return false;
	if (sys_failed(sys2(SYS_lstat, s->path, &st)))
		return complain(s, "has vanished");
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	/* A umask that takes away the user's own rights. */
	if ((st.st_mode & 07777) != 0600)
		sys2(SYS_chmod, s->path, 0600);
	ret = sys2(SYS_listen, s->listener.fd, BACKLOG);
	if (!sys_failed(ret))
		return true;
	sockpath_unlink(s);
	return complain_errno(s, ret);
}

bool sockpath_listen_again(struct sockpath *s)
{
	struct sockaddr_un un;
	bool listens = false;
	long folder, ret = address(s, &un, &folder);

	s->listener = (struct ownfd)OWNFD_NONE;
	s->ino = 0;
	if (sys_failed(ret))
		return complain_errno(s, ret);
	ret = sys3(SYS_socket, AF_UNIX,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	s->listener = ownfd_adopt(ret);
	if (s->listener.fd >= 0)
		listens = listen_at(s, &un);
	else
		complain_errno(s, ret);
	if (!listens)
		ownfd_close(&s->listener);
	if (folder >= 0)
		sys1(SYS_close, folder);
	return listens;
}

bool sockpath_listen(struct sockpath *s, const char *template)
{
	s->listener = (struct ownfd)OWNFD_NONE;
	s->ino = 0;
	if (!strcmp(template, "auto") ? !choose_auto(s)
				      : !choose_template(s, template))
		return false;
	return sockpath_listen_again(s);
}

void sockpath_unlink(struct sockpath *s)
{
	struct stat st;

	if (s->ino && !sys_failed(sys2(SYS_lstat, s->path, &st)) &&
		st.st_dev == s->dev && st.st_ino == s->ino)
		sys1(SYS_unlink, s->path);
	s->ino = 0;
}
