/* SPDX-License-Identifier: MIT */
/*
 * fork: every lock of ours, in order of rank, and a child that works.
 *
 *	prepare   collector > stop > helper > profile > heap > descriptors
 *	parent    the same, backwards
 *	child     each part makes itself whole: locks anew, no other threads
 *
 * Registered before anybody else's handlers (init.c), so prepare runs last and
 * parent and child run first: the handlers of others may allocate.
 *
 * A process made by vfork, posix_spawn or clone runs none of this. The first
 * two have the parent wait; after a bare clone without memory in common malloc
 * works unless another thread was holding a lock, as with every allocator.
 */
#include "preload/interpose.h"
#include "alloc/harden.h"
#include "alloc/mcache.h"
#include "alloc/objinfo.h"
#include "gc/gc.h"
#include "gc/unforked.h"
#include "observe/brink.h"
#include "observe/dump.h"
#include "observe/dumpfile.h"
#include "observe/finalthread.h"
#include "observe/gcrun.h"
#include "observe/helper.h"
#include "observe/tracefile.h"
#include "preload/leakcheck.h"
#include "preload/serve.h"
#include "profile/callstack.h"
#include "profile/modules.h"
#include "profile/symbols.h"
#include "profile/threadinfo.h"

#include <pthread.h>

static void prepare(void)
{
	gc_prefork();
	tracefile_prefork();
	helper_prefork();
	symbols_prefork();
	modules_prefork();
	harden_prefork();
	mcache_prefork();
	helper_fds_lock();
}

static void parent(void)
{
	helper_fds_unlock();
	mcache_postfork_parent();
	harden_postfork(false);
	modules_postfork(false);
	symbols_postfork(false);
	helper_parent();
	tracefile_parent();
	gc_postfork_parent();
}

static void child(void)
{
	mcache_postfork_child();
	harden_postfork(true);
	modules_postfork(true);
	symbols_postfork(true);
	threadinfo_postfork_child();
	callstack_postfork_child();
	helper_child();
	tracefile_child();
	gc_postfork_child();
	unforked_postfork_child();
	gcrun_fork_child();
	finalthread_fork_child();
	objinfo_postfork_child();
	dump_fork_child();
	dumpfile_postfork_child();
	brink_fork_child();
	leakcheck_postfork_child();
	serve_child();
}

void fork_init(void)
{
	pthread_atfork(prepare, parent, child);
}
