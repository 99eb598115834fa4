# SPDX-License-Identifier: MIT
# The hit paths stay as short as they are: growth must be chosen.
set -eu
[ "$BUILD" = Release ] || exit 77
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$SRC/../bench python3 - "$LIB" <<'END'
import subprocess
import sys
import hitpath

LONGEST = {
    17: ("malloc", "_Znwm", "_Znam", "_ZnwmRKSt9nothrow_t"),
    20: ("free", "_ZdlPv", "_ZdaPv", "_ZdlPvm", "free_sized",
         "free_aligned_sized"),
}
lib = sys.argv[1]
code = hitpath.parse_disassembly(subprocess.run(
    ["objdump", "-d", "--no-show-raw-insn", lib], text=True,
    stdout=subprocess.PIPE, check=True).stdout)
failed = False
for limit, names in LONGEST.items():
    for name in names:
        path = hitpath.fall_through(code, hitpath.symbol(lib, name))
        if len(path) > limit or any(t.startswith("call") for _, t in path):
            print(f"{name}: {len(path)} instructions, {limit} allowed")
            print("\n".join(t for _, t in path))
            failed = True
sys.exit(failed)
END
