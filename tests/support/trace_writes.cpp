// Preloaded into a server: notes in the file TELERUN_TRACE, in order, what it writes to the
// database, its log and the audit file, and each sync; tests/support/power.py reads it.
//
// A write is noted when it is over, a sync as it begins and as it ends: what was noted before it
// began is on the disk when it has ended.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

constexpr int kDescriptors = 65536;
constexpr const char *kNames[] = {"/db.sqlite3", "/db.sqlite3-wal", "/audit_log.jsonl"};
char file_of[kDescriptors];  // 1 for the database, 2 for its log, 3 for the audit file

struct Record {
  uint8_t kind, file;
  uint16_t reserved;
  uint32_t length;
  int64_t offset;
};

template <typename Function>
Function next(const char *name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

int trace() {
  static int descriptor = [] {
    const char *path = getenv("TELERUN_TRACE");
    if (path == nullptr) return -1;
    auto open_file = next<int (*)(const char *, int, ...)>("open");
    return open_file(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  }();
  return descriptor;
}

void note(uint8_t kind, uint8_t file, int64_t offset, const void *data, size_t length) {
  if (trace() < 0) return;
  Record record{kind, file, 0, static_cast<uint32_t>(length), offset};
  iovec parts[] = {{&record, sizeof record}, {const_cast<void *>(data), length}};
  if (writev(trace(), parts, 2) < 0) abort();
}

uint8_t file_at(int fd) { return fd >= 0 && fd < kDescriptors ? file_of[fd] : 0; }

int opened(int fd, const char *path) {
  if (fd < 0 || fd >= kDescriptors) return fd;
  file_of[fd] = 0;
  size_t length = strlen(path);
  for (int file = 0; file < 3; file++) {
    size_t end = strlen(kNames[file]);
    if (length >= end && strcmp(path + length - end, kNames[file]) == 0) file_of[fd] = file + 1;
  }
  return fd;
}

mode_t mode_in(int flags, va_list arguments) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int synced(int fd, const char *name) {
  auto function = next<int (*)(int)>(name);
  uint8_t file = file_at(fd);
  if (!file) return function(fd);
  note('B', file, fd, nullptr, 0);
  int result = function(fd);
  if (result == 0) note('E', file, fd, nullptr, 0);
  return result;
}

}  // namespace

extern "C" {

#define OPEN(name)                                              \
  int name(const char *path, int flags, ...) {                  \
    static auto function = next<int (*)(const char *, int, ...)>(#name); \
    va_list arguments;                                          \
    va_start(arguments, flags);                                 \
    mode_t mode = mode_in(flags, arguments);                    \
    va_end(arguments);                                          \
    return opened(function(path, flags, mode), path);           \
  }
OPEN(open)
OPEN(open64)

#define PWRITE(name)                                                              \
  ssize_t name(int fd, const void *data, size_t length, off_t offset) {           \
    static auto function = next<ssize_t (*)(int, const void *, size_t, off_t)>(#name); \
    ssize_t written = function(fd, data, length, offset);                         \
    if (written > 0 && file_at(fd)) note('W', file_at(fd), offset, data, written); \
    return written;                                                               \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *data, size_t length) {
  static auto function = next<ssize_t (*)(int, const void *, size_t)>("write");
  uint8_t file = file_at(fd);
  off_t offset = file ? lseek(fd, 0, SEEK_CUR) : 0;
  ssize_t written = function(fd, data, length);
  if (file && written > 0) note('W', file, offset, data, written);
  return written;
}

#define TRUNCATE(name)                                       \
  int name(int fd, off_t length) {                           \
    static auto function = next<int (*)(int, off_t)>(#name); \
    int result = function(fd, length);                       \
    if (result == 0 && file_at(fd)) note('T', file_at(fd), length, nullptr, 0); \
    return result;                                           \
  }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int close(int fd) {
  static auto function = next<int (*)(int)>("close");
  if (fd >= 0 && fd < kDescriptors) file_of[fd] = 0;
  return function(fd);
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }
}
