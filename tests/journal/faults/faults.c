/* A bad disk on demand: loaded before libc (LD_PRELOAD), it makes calls on files below one folder fail, tear or wait.
 *
 *   FAULTS_UNDER    the folder, or several with colons between; files elsewhere are left alone
 *   FAULTS_CONTROL  a file that says what goes wrong now; see below
 *   FAULTS_LOG      if set, every change below the folder is written down here, for a power cut to be played later
 *
 * The control file holds one line: "<what> <calls> <per mille> <milliseconds>".
 *   what    none | enospc | full | eio | erofs | torn | slow
 *           `full` is what a disk without room does: only calls that make a file longer fail
 *           `torn` writes the first half, then fails
 *   calls   any of the letters w (write) s (sync) t (truncate) o (open for writing, and make)
 * It is read at each call, so that a test can switch while the process runs. Nothing here takes a lock that a killed
 * process could leave behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum what { NONE, ENOSPC_ALL, FULL, EIO_ALL, EROFS_ALL, TORN, SLOW };
static const char *const WORDS[] = {"none", "enospc", "full", "eio", "erofs", "torn", "slow"};

struct fault {
    enum what what;
    char calls[8];
    int permille, milliseconds;
};

static const char *under, *control;
static int log_file = -1;
/* What is written down must be in the order in which it was done. */
static pthread_mutex_t in_order = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    under = getenv("FAULTS_UNDER");
    control = getenv("FAULTS_CONTROL");
    const char *log = getenv("FAULTS_LOG");
    if (log)
        log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_under(const char *path) {
    for (const char *one = under; one && *one;) {
        size_t length = strcspn(one, ":");
        if (!strncmp(path, one, length) && (path[length] == '/' || !path[length]))
            return 1;
        one += length + (one[length] == ':');
    }
    return 0;
}

/* The path of an open file, or 0 when it is not below the folder. */
static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = under ? readlink(link, path, size - 1) : -1;
    if (length <= 0)
        return 0;
    path[length] = 0;
    return is_under(path);
}

static struct fault present(char call) {
    struct fault fault = {NONE, "", 1000, 0};
    char text[96], what[16] = "";
    int file = control ? (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return fault;
    ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (length <= 0)
        return fault;
    text[length] = 0;
    if (sscanf(text, "%15s %7s %d %d", what, fault.calls, &fault.permille, &fault.milliseconds) < 2)
        return fault;
    if (!strchr(fault.calls, call) || random() % 1000 >= fault.permille)
        return fault;
    for (size_t at = 0; at < sizeof WORDS / sizeof *WORDS; at++)
        if (!strcmp(what, WORDS[at]))
            fault.what = (enum what)at;
    return fault;
}

/* 0, or the error that the call ends with. */
static int strikes(char call, int longer) {
    struct fault fault = present(call);
    switch (fault.what) {
    case ENOSPC_ALL:
        return ENOSPC;
    case FULL:
        return longer ? ENOSPC : 0;
    case EIO_ALL:
        return EIO;
    case EROFS_ALL:
        return EROFS;
    case TORN:
        return call == 'w' ? -EIO : EIO;
    case SLOW: {
        struct timespec pause = {fault.milliseconds / 1000, (fault.milliseconds % 1000) * 1000000L};
        nanosleep(&pause, NULL);
        return 0;
    }
    default:
        return 0;
    }
}

/* One change: what it was, where, and its bytes. The reader is tests/journal/faults/__init__.py. */
static void write_down(char call, const char *path, int64_t offset, const void *bytes, size_t count) {
    if (log_file < 0)
        return;
    struct {
        uint32_t path, count;
        int64_t offset;
        char call, pad[7];
    } head = {(uint32_t)strlen(path), (uint32_t)count, offset, call, ""};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)bytes, count}};
    syscall(SYS_writev, log_file, parts, 3);
}

static int is_longer(int fd, int64_t end) {
    struct stat state;
    return fstat(fd, &state) == 0 && end > state.st_size;
}

static ssize_t positioned(int fd, const void *bytes, size_t count, int64_t offset) {
    char path[4096];
    if (!path_of(fd, path, sizeof path))
        return syscall(SYS_pwrite64, fd, bytes, count, offset);
    int error = strikes('w', is_longer(fd, offset + (int64_t)count));
    if (error > 0)
        return errno = error, -1;
    size_t most = error < 0 ? count / 2 : count;
    pthread_mutex_lock(&in_order);
    ssize_t done = most ? syscall(SYS_pwrite64, fd, bytes, most, offset) : 0;
    if (done > 0)
        write_down('w', path, offset, bytes, (size_t)done);
    pthread_mutex_unlock(&in_order);
    return error < 0 ? (errno = -error, -1) : done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return positioned(fd, bytes, count, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    return positioned(fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    char path[4096];
    if (!path_of(fd, path, sizeof path))
        return syscall(SYS_write, fd, bytes, count);
    int64_t at = lseek(fd, 0, SEEK_CUR);
    int error = strikes('w', 1);
    if (error > 0)
        return errno = error, -1;
    size_t most = error < 0 ? count / 2 : count;
    pthread_mutex_lock(&in_order);
    ssize_t done = most ? syscall(SYS_write, fd, bytes, most) : 0;
    if (done > 0) {
        int64_t end = lseek(fd, 0, SEEK_CUR);
        write_down('w', path, end < 0 ? at : end - done, bytes, (size_t)done);
    }
    pthread_mutex_unlock(&in_order);
    return error < 0 ? (errno = -error, -1) : done;
}

static int synced(int fd, long call) {
    char path[4096];
    if (!path_of(fd, path, sizeof path))
        return (int)syscall(call, fd);
    int error = strikes('s', 0);
    if (error)
        return errno = error, -1;
    pthread_mutex_lock(&in_order);
    int done = (int)syscall(call, fd);
    if (!done)
        write_down('s', path, 0, "", 0);
    pthread_mutex_unlock(&in_order);
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int truncated(int fd, int64_t length) {
    char path[4096];
    if (!path_of(fd, path, sizeof path))
        return (int)syscall(SYS_ftruncate, fd, length);
    int error = strikes('t', is_longer(fd, length));
    if (error)
        return errno = error, -1;
    pthread_mutex_lock(&in_order);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (!done)
        write_down('t', path, length, "", 0);
    pthread_mutex_unlock(&in_order);
    return done;
}

int ftruncate(int fd, off_t length) { return truncated(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }

static int allocated(int fd, int64_t offset, int64_t length) {
    char path[4096];
    int error = path_of(fd, path, sizeof path) ? strikes('w', is_longer(fd, offset + length)) : 0;
    if (error)
        return error < 0 ? -error : error;
    return syscall(SYS_fallocate, fd, 0, offset, length) ? errno : 0;
}

int posix_fallocate(int fd, off_t offset, off_t length) { return allocated(fd, offset, length); }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return allocated(fd, offset, length); }

static int opened(int folder, const char *path, int flags, mode_t mode) {
    int touches = is_under(path) && (flags & O_ACCMODE) != O_RDONLY;
    int makes = touches && (flags & O_CREAT) && access(path, F_OK);
    if (touches) {
        int error = strikes('o', makes);
        if (error)
            return errno = error < 0 ? -error : error, -1;
    }
    pthread_mutex_lock(&in_order);
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && makes)
        write_down('c', path, 0, "", 0);
    if (fd >= 0 && touches && (flags & O_TRUNC))
        write_down('t', path, 0, "", 0);
    pthread_mutex_unlock(&in_order);
    return fd;
}

#define OPEN(name, ...)                                                                                                \
    va_list rest;                                                                                                      \
    va_start(rest, flags);                                                                                             \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                            \
    va_end(rest);                                                                                                      \
    return opened(__VA_ARGS__, path, flags, mode);

int open(const char *path, int flags, ...) { OPEN(open, AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPEN(open64, AT_FDCWD) }
int openat(int folder, const char *path, int flags, ...) { OPEN(openat, folder) }
int openat64(int folder, const char *path, int flags, ...) { OPEN(openat64, folder) }

int unlink(const char *path) {
    pthread_mutex_lock(&in_order);
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (!done && is_under(path))
        write_down('u', path, 0, "", 0);
    pthread_mutex_unlock(&in_order);
    return done;
}

int rename(const char *from, const char *to) {
    if (is_under(to)) {
        int error = strikes('o', 0);
        if (error)
            return errno = error < 0 ? -error : error, -1;
    }
    pthread_mutex_lock(&in_order);
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (!done && is_under(from) && is_under(to))
        write_down('r', from, 0, to, strlen(to));
    pthread_mutex_unlock(&in_order);
    return done;
}
