/* SPDX-License-Identifier: MIT */
/*
 * leaky [FORKS]: leaks that are known: 3 blocks of 100 bytes from one place,
 * where take() is inlined into keep(), and a list of 5 whose head is lost. Each
 * of the FORKS children loses one more.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct node {
	struct node *next;
	char text[24];
};

static inline __attribute__((always_inline)) void *take(size_t n)
{
	char *p = malloc(n);

	memset(p, 'x', n);
	return p;
}

static __attribute__((noipa)) void keep(void **where, size_t n)
{
	*where = take(n);
	__asm__ volatile("" ::: "memory");
}

static __attribute__((noipa)) struct node *list(int n)
{
	struct node *head = NULL;

	while (n--) {
		struct node *e = calloc(1, sizeof(*e));

		e->next = head;
		head = e;
	}
	return head;
}

/* What the stack and the registers still hold of lost pointers. */
static __attribute__((noipa)) void forget(void)
{
	volatile char junk[8192];

	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (char)i;
	__asm__ volatile("" ::"r"(junk)
			 : "memory", "rax", "rbx", "rcx", "rdx", "rsi", "rdi",
			 "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15");
}

static __attribute__((noipa)) void leak(void)
{
	void *p;

	for (int i = 0; i < 3; i++)
		keep(&p, 100);
	*(struct node *volatile *)&p = list(5);
	p = NULL;
}

int main(int argc, char **argv)
{
	void *p;

	leak();
	for (int i = argc > 1 ? atoi(argv[1]) : 0; i; i--)
		if (fork() == 0) {
			keep(&p, 1000);
			p = NULL;
			break;
		}
	forget();
	while (wait(NULL) > 0)
		;
	return 0;
}
