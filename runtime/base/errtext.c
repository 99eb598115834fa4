/* SPDX-License-Identifier: MIT */
/*
 * errtext: the errors that opening, writing, renaming, listening and mapping
 * can meet, in the words everybody knows from perror().
 */
#include "base/errtext.h"
#include "base/attrs.h"

#include <errno.h>

static const struct {
	int error;
	const char *text;
} texts[] = {
	{EPERM, "Operation not permitted"},
	{ENOENT, "No such file or directory"},
	{EINTR, "Interrupted system call"},
	{EIO, "Input/output error"},
	{ENXIO, "No such device or address"},
	{EBADF, "Bad file descriptor"},
	{EAGAIN, "Resource temporarily unavailable"},
	{ENOMEM, "Cannot allocate memory"},
	{EACCES, "Permission denied"},
	{EBUSY, "Device or resource busy"},
	{EEXIST, "File exists"},
	{EXDEV, "Invalid cross-device link"},
	{ENOTDIR, "Not a directory"},
	{EISDIR, "Is a directory"},
	{EINVAL, "Invalid argument"},
	{ENFILE, "Too many open files in system"},
	{EMFILE, "Too many open files"},
	{EFBIG, "File too large"},
	{ENOSPC, "No space left on device"},
	{EROFS, "Read-only file system"},
	{EPIPE, "Broken pipe"},
	{ENAMETOOLONG, "File name too long"},
	{ENOSYS, "Function not implemented"},
	{ENOTEMPTY, "Directory not empty"},
	{ELOOP, "Too many levels of symbolic links"},
	{EOVERFLOW, "Value too large for defined data type"},
	{EADDRINUSE, "Address already in use"},
	{ETIMEDOUT, "Connection timed out"},
	{ESTALE, "Stale file handle"},
	{EDQUOT, "Disk quota exceeded"},
};

const char *errtext(int error)
{
	for (unsigned i = 0; i < NELEM(texts); i++)
		if (texts[i].error == error)
			return texts[i].text;
	return "Unknown error";
}
