/* SPDX-License-Identifier: MIT */
/*
 * pretend FILE STATUS [FILE STATUS]...: leave reports as the library would, the
 * first one by this process, each further one by a child; @PID@ in a file
 * stands for the process. "-": no report; a status above 255 is a signal less
 * 256. Linked statically, so that the library itself has no part in it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void expand(const char *template, char *path)
{
	for (; *template; template ++) {
		if (*template != '%') {
			*path++ = *template;
			continue;
		}
		switch (*++template) {
		case 'p':
			path += sprintf(path, "%d", (int)getpid());
			break;
		case 'e':
			path += sprintf(path, "pretend");
			break;
		case '%':
			*path++ = '%';
			break;
		default:
			*path++ = '7';
		}
	}
	*path = '\0';
}

static void leave(const char *name)
{
	static char text[1 << 20];
	char path[4096], *at, *from = text;
	FILE *f = fopen(name, "r");

	if (!f || !getenv("GOSTAT_LEAKCHECK_OUT"))
		exit(99);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	expand(getenv("GOSTAT_LEAKCHECK_OUT"), path);
	f = fopen(path, "w");
	if (!f)
		exit(98);
	for (; (at = strstr(from, "@PID@")); from = at + 5)
		fprintf(f, "%.*s%d", (int)(at - from), from, (int)getpid());
	fputs(from, f);
	fclose(f);
}

int main(int argc, char **argv)
{
	int status;

	for (int i = 3; i + 1 < argc; i += 2)
		if (fork() == 0) {
			argv[1] = argv[i];
			argv[2] = argv[i + 1];
			break;
		}
	while (wait(NULL) > 0)
		;
	if (argc < 3)
		return 97;
	if (strcmp(argv[1], "-"))
		leave(argv[1]);
	status = atoi(argv[2]);
	if (status > 255)
		kill(getpid(), status - 256);
	return status;
}
