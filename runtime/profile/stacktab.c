/* SPDX-License-Identifier: MIT */
/*
 * stacktab: each distinct call stack once, as a number.
 *
 * A stack is cut into blocks of six frames, counted from the outermost one,
 * and each block is interned together with the id of the block outside it:
 *
 *	main a b c d e | f g h i j k | l m
 *	[---- 17 ----]  [- 42, in 17] [- 99, in 42]		stack 99
 *			[- 57, in 17]  f g h x			stack 57
 *
 * So stacks that share their outer part share its memory, and a caller that
 * remembers the ids of the outer blocks (callstack.c) looks up the last one or
 * two only. The id of a stack is that of its innermost block: the number of
 * 8-byte words in front of it in the chunks.
 *
 * Blocks are found through a split-ordered list (Shalev and Shavit, 2006):
 * one list of all blocks sorted by hash, lowest bit first, and slots that point
 * into it. Doubling the slots moves nothing; a new slot is threaded into the
 * list when it is first used. Slots double as the list's marker nodes.
 *
 *	slot 0 -> block -> slot 2 -> block -> block -> slot 1 -> block -> end
 *
 * Nothing is removed, which makes insertion a single compare-and-swap and
 * lookups plain loads: there is no lock to be held by a stopped thread, by a
 * thread that a signal interrupts, or across fork.
 *
 * Invariants, walked by stacktab_check():
 *   I1  keys never decrease along the list; equal keys stand together;
 *   I2  no two blocks have the same frames and the same outer block;
 *   I3  an outer block is full (STACK_BLOCK frames) and has a smaller id;
 *       the outermost names its generation instead;
 *   I4  count blocks are in the list.
 *
 * A slot that a thread claimed and did not live to finish stays NOT_READY:
 * then its parent's slot is used, which is right, only slower.
 *
 * A block never straddles a cache line, and a full one is exactly a line: in a
 * program that keeps its caches busy (gcc's cc1) looking one up costs a miss
 * for the slot and one for the block, and little else.
 *
 * Measured against: whole stacks as arrays (544 bytes a stack at 60 frames,
 * and eight cache lines to compare), and one node a frame (a probe for each
 * frame that is new).
 */
#include "profile/stacktab.h"
#include "base/atomics.h"
#include "base/fatal.h"
#include "os/sysmem.h"

#include <string.h>

enum {
	/* 256 KiB: small beside a profile, large beside a page. */
	CHUNK_SHIFT = 15, /* words */
	CHUNK_WORDS = 1 << CHUNK_SHIFT,
	NCHUNK = 1 << 12, /* 1 GiB of stacks; then stacks are refused */
	FIRST_WORD = 2,	  /* ids 0 and 1 have a meaning */
	LINE_WORDS = 8,

	/* The first slots are static: 8 KiB, untouched until used. */
	SLOT_SHIFT = 11,
	NSEGMENT = 16, /* up to 64 Mi slots */
	MAX_SLOTS = 1 << (SLOT_SHIFT + NSEGMENT - 1),
};

/*
 * A link is the id of a block, or SLOT and the number of a slot, or END.
 * NOT_READY is set in the link of a slot until the slot is in the list.
 */
#define SLOT 0x80000000u
#define NOT_READY 0x40000000u
#define END 1u

/* struct block.head: outer id or generation, root bit, frames - 1. */
#define HEAD_ROOT 0x08000000u
#define HEAD_NFRAMES(head) (((head) >> 28) + 1)
#define HEAD_OUTER(head) ((head)&0x07ffffffu)

struct block {
	uint32_t next;	 /* link; atomic */
	uint32_t key;	 /* upper half of the hash, BLOCK_KEY set */
	uint32_t head;	 /* above; with pc[] what the block is */
	uint32_t bucket; /* bucket.c's; atomic */
	uintptr_t pc[];	 /* outermost first */
};

_Static_assert(sizeof(struct block) + STACK_BLOCK * 8 == LINE_WORDS * 8,
	"a full block is a cache line");

static struct stacktab {
	uint32_t used;	 /* words handed out, holes included */
	uint32_t count;	 /* blocks in the list */
	uint32_t nslots; /* power of two; 0 means 1 << SLOT_SHIFT */
	uint64_t *chunk[NCHUNK];
	uint32_t *segment[NSEGMENT]; /* [0] is unused */
	uint32_t first[1 << SLOT_SHIFT];
} stacktab;

static struct block *block_of(uint32_t id)
{
	/* acquire [chunk] */
	uint64_t *chunk = load_acquire(&stacktab.chunk[id >> CHUNK_SHIFT]);

	return (struct block *)(chunk + (id & (CHUNK_WORDS - 1)));
}

/* Segment k > 0 holds the slots from 1 << (SLOT_SHIFT + k - 1) on. */
static uint32_t *slot_of(uint32_t n)
{
	unsigned top;

	if (n < 1 << SLOT_SHIFT)
		return &stacktab.first[n];
	top = 31 - (unsigned)__builtin_clz(n);
	/* acquire [segment] */
	return load_acquire(&stacktab.segment[top - SLOT_SHIFT + 1]) +
	       (n - (1u << top));
}

/*
 * The list is sorted by key, lowest bit first: of two different keys the
 * smaller one is that with a 0 where they first differ. So the blocks of slot
 * n, and of the slots that it will be split into, stand together; and bit 31,
 * which blocks have and slots have not, puts a slot in front of its blocks.
 */
#define BLOCK_KEY 0x80000000u

static bool before(uint32_t a, uint32_t b)
{
	uint32_t differ = a ^ b;

	return !(a & differ & -differ) && differ;
}

static uint32_t key_of(uint64_t h)
{
	return (uint32_t)(h >> 32) | BLOCK_KEY;
}

static ALWAYS_INLINE bool is_block(
	const struct block *b, uint32_t head, const uintptr_t *pc, size_t n)
{
	uintptr_t differ = b->head ^ head;

	for (size_t i = 0; i < n; i++)
		differ |= b->pc[i] ^ pc[i];
	return !differ;
}

/* A place in the list: the link that would have to change, and what it says. */
struct place {
	uint32_t *link;
	uint32_t next; /* *link as read, NOT_READY included */
};

/*
 * Go on from a link that is in the list to the first element behind all with
 * this key; on the way stop at a block that is (head, pc, n) and return it. pc
 * == NULL looks for the place only.
 */
static uint32_t seek(struct place *at, uint32_t key, uint32_t head,
	const uintptr_t *pc, size_t n)
{
	for (;;) {
		/* acquire [link]: what it leads to is read below. */
		uint32_t raw = load_acquire(at->link);
		uint32_t next = raw & ~NOT_READY;

		at->next = raw;
		if (next == END)
			return 0;
		if (next & SLOT) {
			if (before(key, next & ~SLOT))
				return 0;
			at->link = slot_of(next & ~SLOT);
		} else {
			struct block *b = block_of(next);

			if (b->key == key) {
				if (pc && is_block(b, head, pc, n))
					return next;
			} else if (before(key, b->key)) {
				return 0;
			}
			at->link = &b->next;
		}
	}
}

/* Put a link in at a place; false if the place has changed meanwhile. */
static bool put(struct place *at, uint32_t link)
{
	uint32_t old = at->next;

	/* release [link]: publishes the block or slot that link names. */
	return cas_release(at->link, &old, link | (old & NOT_READY));
}

static bool ready(const uint32_t *slot)
{
	/* acquire [slot] */
	uint32_t v = load_acquire(slot);

	return v && !(v & NOT_READY);
}

/* Thread slot n into the list, starting from the slot of an ancestor. */
static void thread_slot(uint32_t n, uint32_t *slot, uint32_t *ancestor)
{
	struct place at;

	do {
		at.link = ancestor;
		seek(&at, n, 0, NULL, 0);
		/* relaxed: nobody sees the slot before put() succeeds. */
		store_relaxed(slot, (at.next & ~NOT_READY) | NOT_READY);
	} while (!put(&at, SLOT | n));
	/* release [slot]: from here on searches may start at it. */
	__atomic_fetch_and(slot, ~NOT_READY, __ATOMIC_RELEASE);
}

/* A link in the list that lies before every block with this hash. */
static uint32_t *start(uint32_t h)
{
	/* acquire [segment] */
	uint32_t n = load_acquire(&stacktab.nslots), empty = 0;
	uint32_t *slot, *ancestor;

	n = h & ((n ? n : 1 << SLOT_SHIFT) - 1);
	slot = slot_of(n);
	if (likely(ready(slot)))
		return slot;
	ancestor = slot;
	for (uint32_t a = n; a && !ready(ancestor); ancestor = slot_of(a))
		a &= ~(1u << (31 - __builtin_clz(a)));
	/* relaxed: the empty list refers to nothing. */
	if (ancestor == stacktab.first)
		cas_relaxed(ancestor, &empty, END);
	if (slot == ancestor)
		return slot;
	empty = 0;
	/* relaxed: a claim only, thread_slot() publishes. */
	if (!cas_relaxed(slot, &empty, END | NOT_READY))
		return ancestor;
	thread_slot(n, slot, ancestor);
	return slot;
}

/* Room for a block: its id, or 0. It straddles neither lines nor chunks. */
static uint32_t take_words(uint32_t n)
{
	uint32_t old = load_relaxed(&stacktab.used), at;

	do {
		uint64_t **chunk, *expected = NULL, *p;

		at = old < FIRST_WORD ? FIRST_WORD : old;
		if (at % LINE_WORDS + n > LINE_WORDS)
			at = ALIGN_UP(at, LINE_WORDS);
		if (at / CHUNK_WORDS >= NCHUNK)
			return 0;
		chunk = &stacktab.chunk[at / CHUNK_WORDS];
		/* acquire [chunk] */
		if (load_acquire(chunk))
			continue;
		p = sysmem_map(NULL, CHUNK_WORDS * 8, SYS_BUCKHASH);
		if (!p)
			return 0;
		/* release [chunk]: its words read as zero. */
		if (!cas_release(chunk, &expected, p))
			sysmem_unmap(p, CHUNK_WORDS * 8, SYS_BUCKHASH);
	} while (!cas_relaxed(&stacktab.used, &old, at + n));
	return at;
}

/* Twice as many slots once there are as many blocks as slots. */
static void grow(uint32_t count)
{
	uint32_t raw = load_relaxed(&stacktab.nslots);
	uint32_t n = raw ? raw : 1 << SLOT_SHIFT, *expected = NULL, *p, **seg;

	if (likely(count <= n) || n >= MAX_SLOTS)
		return;
	seg = &stacktab.segment[31 - __builtin_clz(n) - SLOT_SHIFT + 1];
	/* acquire [segment] */
	if (!load_acquire(seg)) {
		p = sysmem_map(NULL, (size_t)n * sizeof(*p), SYS_BUCKHASH);
		if (!p)
			return; /* longer searches, nothing worse */
		/* release [segment] */
		if (!cas_release(seg, &expected, p))
			sysmem_unmap(p, (size_t)n * sizeof(*p), SYS_BUCKHASH);
	}
	/* release [segment]: whoever sees more slots finds their segment. */
	cas_release(&stacktab.nslots, &raw, 2 * n);
}

static COLD uint32_t insert(struct place at, uint32_t key, uint32_t head,
	const uintptr_t *pc, size_t n)
{
	uint32_t id = take_words((uint32_t)(sizeof(struct block) / 8 + n));
	struct block *b;

	if (!id)
		return 0;
	b = block_of(id);
	b->key = key;
	b->head = head;
	memcpy(b->pc, pc, n * sizeof(*pc));
	for (;;) {
		uint32_t other;

		store_relaxed(&b->next, at.next & ~NOT_READY);
		if (put(&at, id))
			break;
		other = seek(&at, key, head, pc, n);
		if (other)
			return other; /* a racing thread was faster */
	}
	grow(add_relaxed(&stacktab.count, 1) + 1);
	return id;
}

uint32_t stacktab_add(uint32_t outer, uint64_t h, const uintptr_t *pc, size_t n)
{
	uint32_t head = outer | (uint32_t)(n - 1) << 28, key = key_of(h), id;
	struct place at = {.link = start(key)};

	id = seek(&at, key, head, pc, n);
	return likely(id) ? id : insert(at, key, head, pc, n);
}

uint32_t stacktab_intern(const uintptr_t *pc, size_t n, uint32_t generation)
{
	uint32_t id = stacktab_root(generation);
	uintptr_t part[STACK_BLOCK];

	n = MIN(n, (size_t)STACK_MAX);
	if (!n)
		return 0;
	while (n && id) {
		size_t take = MIN(n, (size_t)STACK_BLOCK);
		uint64_t h = id;

		for (size_t i = 0; i < take; i++) {
			part[i] = pc[--n];
			h = stacktab_mix(h, part[i]);
		}
		id = stacktab_add(id, h, part, take);
	}
	return id;
}

size_t stacktab_frames(uint32_t id, uintptr_t *pc, size_t max)
{
	size_t n = 0;

	while (id) {
		const struct block *b = block_of(id);

		for (size_t i = HEAD_NFRAMES(b->head); i--; n++)
			if (n < max)
				pc[n] = b->pc[i];
		id = b->head & HEAD_ROOT ? 0 : HEAD_OUTER(b->head);
	}
	return n;
}

uint32_t stacktab_generation(uint32_t id)
{
	const struct block *b;

	if (!id)
		return 0;
	for (b = block_of(id); !(b->head & HEAD_ROOT);)
		b = block_of(HEAD_OUTER(b->head));
	return HEAD_OUTER(b->head);
}

uint32_t *stacktab_bucket(uint32_t id)
{
	return &block_of(id)->bucket;
}

size_t stacktab_count(void)
{
	return load_relaxed(&stacktab.count);
}

/* I2 and I3 for one block. */
static void check_block(uint32_t id)
{
	const struct block *b = block_of(id);
	size_t n = HEAD_NFRAMES(b->head);
	uint32_t next = b->next;
	uint64_t h = b->head & (HEAD_ROOT | (HEAD_ROOT - 1));

	for (size_t i = 0; i < n; i++)
		h = stacktab_mix(h, b->pc[i]);
	INVARIANT(b->key == key_of(h));
	if (!(b->head & HEAD_ROOT)) {
		const struct block *outer = block_of(HEAD_OUTER(b->head));

		INVARIANT(HEAD_NFRAMES(outer->head) == STACK_BLOCK);
		INVARIANT(HEAD_OUTER(b->head) < id);
	}
	while (next != END && !(next & SLOT)) {
		const struct block *other = block_of(next);

		if (other->key != b->key)
			break;
		INVARIANT(!is_block(other, b->head, b->pc, n));
		next = other->next;
	}
}

void stacktab_check(void)
{
	uint32_t next = stacktab.first[0], last = 0, count = 0;

	while (next && next != END) {
		uint32_t key = next & ~SLOT;

		INVARIANT(!(next & NOT_READY));
		if (next & SLOT) {
			next = *slot_of(key);
		} else {
			key = block_of(next)->key;
			check_block(next);
			next = block_of(next)->next;
			count++;
		}
		INVARIANT(!before(key, last)); /* I1 */
		INVARIANT(key != last || key & BLOCK_KEY);
		last = key;
	}
	INVARIANT(count == stacktab.count); /* I4 */
}
