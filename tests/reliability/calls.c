/* Counts the calls of this process into the C library that change files, and ends it, or fails, at the n-th.
   Loaded before the C library (LD_PRELOAD), so that it sees the calls of every thread and every library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NAMES = 1, CREATES = 2, WRITES = 4, SYNCS = 8, DELETES = 16 };

static atomic_int kinds, left_, error_;

void arm(int which, int n, int error) {
    left_ = n;
    error_ = error;
    kinds = which;
}

int left(void) { return left_; }

static int hit(int kind) {
    if (!(kinds & kind) || atomic_fetch_sub(&left_, 1) != 1) return 0;
    if (!error_) _exit(137);
    errno = error_;
    return 1;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define WRAP(type, name, kind, parameters, arguments) \
    type name parameters { REAL(name); if (hit(kind)) return -1; return real arguments; }

WRAP(int, rename, NAMES, (const char *a, const char *b), (a, b))
WRAP(int, renameat, NAMES, (int d, const char *a, int e, const char *b), (d, a, e, b))
WRAP(int, renameat2, NAMES, (int d, const char *a, int e, const char *b, unsigned f), (d, a, e, b, f))
WRAP(int, mkdir, NAMES, (const char *a, mode_t m), (a, m))
WRAP(int, mkdirat, NAMES, (int d, const char *a, mode_t m), (d, a, m))
WRAP(ssize_t, write, WRITES, (int d, const void *b, size_t n), (d, b, n))
WRAP(ssize_t, pwrite, WRITES, (int d, const void *b, size_t n, off_t o), (d, b, n, o))
WRAP(ssize_t, pwrite64, WRITES, (int d, const void *b, size_t n, off64_t o), (d, b, n, o))
WRAP(ssize_t, writev, WRITES, (int d, const struct iovec *v, int n), (d, v, n))
WRAP(ssize_t, pwritev, WRITES, (int d, const struct iovec *v, int n, off_t o), (d, v, n, o))
WRAP(int, fsync, SYNCS, (int d), (d))
WRAP(int, fdatasync, SYNCS, (int d), (d))
WRAP(int, unlink, DELETES, (const char *a), (a))
WRAP(int, unlinkat, DELETES, (int d, const char *a, int f), (d, a, f))
WRAP(int, rmdir, DELETES, (const char *a), (a))

static int mode_of(int flags, va_list rest) { return flags & O_CREAT ? va_arg(rest, int) : 0; }

int open(const char *a, int f, ...) {
    REAL(open);
    va_list rest; va_start(rest, f); int m = mode_of(f, rest); va_end(rest);
    return (f & O_CREAT) && hit(CREATES) ? -1 : real(a, f, m);
}
int open64(const char *a, int f, ...) {
    REAL(open64);
    va_list rest; va_start(rest, f); int m = mode_of(f, rest); va_end(rest);
    return (f & O_CREAT) && hit(CREATES) ? -1 : real(a, f, m);
}
int openat(int d, const char *a, int f, ...) {
    REAL(openat);
    va_list rest; va_start(rest, f); int m = mode_of(f, rest); va_end(rest);
    return (f & O_CREAT) && hit(CREATES) ? -1 : real(d, a, f, m);
}
