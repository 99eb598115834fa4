# SPDX-License-Identifier: MIT
# dlopen, dlmopen, dlclose: the caller stays the caller, DEEPBIND does no harm.
set -eu
cc=${CC:-cc}
mkdir inner outer
cat >inner.c <<'END'
#include <stdlib.h>
#include <string.h>
char *inner_copy(const char *s) { return strdup(s); }
void inner_release(char *s) { free(s); }
END
cat >outer.c <<'END'
#include <dlfcn.h>
void *open_inner(void) { return dlopen("libinner.so", RTLD_NOW); }
END
"$cc" -shared -fPIC inner.c -o inner/libinner.so
"$cc" -shared -fPIC outer.c -o outer/libouter.so \
	-Wl,--enable-new-dtags,-rpath,'$ORIGIN/../inner'

"$BIN/opens" "$PWD/outer/libouter.so" "$PWD/inner/libinner.so"
LD_PRELOAD=$LIB "$BIN/opens" "$PWD/outer/libouter.so" "$PWD/inner/libinner.so"
