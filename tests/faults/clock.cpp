// A wall clock that can be set while programs run by it: LD_PRELOAD this, and the file that
// SET_CLOCK names holds the seconds by which it is wrong. Monotonic clocks are left alone.
// (libfaketime 0.9.10 breaks Python's time.sleep, which waits until an absolute time.)

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long wrong_by() {
    const char *path = getenv("SET_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char text[32] = {0};
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
        close(file);
    }
    return atol(text);
}

typedef int (*ClockGettime)(clockid_t, struct timespec *);

extern "C" int clock_gettime(clockid_t clock, struct timespec *now) noexcept {
    static ClockGettime real = (ClockGettime)dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (status == 0 && clock == CLOCK_REALTIME) now->tv_sec += wrong_by();
    return status;
}

extern "C" int gettimeofday(struct timeval *now, void *) noexcept {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

extern "C" time_t time(time_t *where) noexcept {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (where) *where = precise.tv_sec;
    return precise.tv_sec;
}
