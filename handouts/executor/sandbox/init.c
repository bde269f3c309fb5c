#define _GNU_SOURCE 1
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void limit(int what, const char *text) {
    struct rlimit both;
    both.rlim_cur = both.rlim_max = strtoull(text, NULL, 10);
    setrlimit((__rlimit_resource_t)what, &both);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int put(int to, const char *data, size_t size) {
    for (ssize_t n; size > 0; data += n, size -= n)
        if ((n = write(to, data, size)) < 0) return -1;
    return 0;
}

/* "none" if there is no plain file of that name, "unwritten" if it cannot be kept. */
static const char *hand_out(const char *path, int to) {
    static char buffer[1 << 16];
    struct stat about;
    ssize_t n;
    int from = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0 || fstat(from, &about) || !S_ISREG(about.st_mode)) return "none";
    while ((n = read(from, buffer, sizeof buffer)) > 0)
        if (put(to, buffer, n)) return "unwritten";
    return n ? "none" : "made";
}

/* The archive of out/ has a record for each entry: a line "KIND SIZE NAME_BYTES", the name, and after
   kind f, a file that comes back, its bytes. The other kinds say why one does not (REASONS). Before them
   comes what was written beside out/: w is a file, v a folder, x says how many more there are. */
enum { NAMED = @NAMED@, NAMED_BESIDE = @NAMED_BESIDE@ };

static int record(int to, char kind, unsigned long long size, const char *name) {
    char line[64];
    snprintf(line, sizeof line, "%c %llu %zu\n", kind, size, strlen(name));
    return put(to, line, strlen(line)) || put(to, name, strlen(name));
}

static int hand_out_entry(int folder, const char *name, int to, long *files, long long *bytes) {
    static char buffer[1 << 16];
    struct stat about;
    char kind = 'u';
    int from = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    about.st_size = 0;
    if (from >= 0 && fstat(from, &about) == 0)
        kind = !S_ISREG(about.st_mode) ? 's' : about.st_nlink != 1 ? 'h' :
               *files < 1 ? 'c' : about.st_size > *bytes ? 'b' : 'f';
    int failed = record(to, kind, about.st_size, name);
    if (kind == 'f') {
        --*files;
        *bytes -= about.st_size;
        for (size_t left = about.st_size; left > 0 && !failed;) {
            ssize_t n = read(from, buffer, left < sizeof buffer ? left : sizeof buffer);
            failed = n <= 0 || put(to, buffer, n);
            left -= n;
        }
    }
    if (from >= 0) close(from);
    return failed;
}

/* Keeps the first names in order; 1 if it, or another for it, is not kept. */
static int keep(char **names, long *count, long maximum, const char *name) {
    long place = *count;
    if (place == maximum && strcmp(names[maximum - 1], name) < 0) return 1;
    int full = place == maximum;
    if (full) free(names[--place]);
    for (; place > 0 && strcmp(names[place - 1], name) > 0; place--) names[place] = names[place - 1];
    if (!(names[place] = strdup(name))) _exit(125);
    *count += !full;
    return full;
}

/* The names of what was in the command's folder before it ran, in order. */
static char **given;
static size_t given_count;

static int in_order(const void *one, const void *other) {
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static int is_given(const char *name) {
    return bsearch(&name, given, given_count, sizeof *given, in_order) != NULL;
}

static DIR *opened_anew(int folder) {
    int opened = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return opened < 0 ? NULL : fdopendir(opened);
}

static void remember_given(int run) {
    DIR *folder = opened_anew(run);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        given = (char **)realloc(given, (given_count + 1) * sizeof *given);
        if (!given || !(given[given_count++] = strdup(entry->d_name))) _exit(125);
    }
    qsort(given, given_count, sizeof *given, in_order);
    if (folder) closedir(folder);
}

/* Tells of what the command made beside out/, and opens none of it. */
static int tell_of_beside(int run, int to) {
    char *names[NAMED_BESIDE];
    long count = 0;
    unsigned long long unnamed = 0;
    int failed = 0;
    struct stat about;
    DIR *folder = opened_anew(run);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        int type = entry->d_type;
        if (type != DT_REG && type != DT_DIR && type != DT_UNKNOWN) continue;
        if (is_given(entry->d_name) || !strcmp(entry->d_name, "out") || !strcmp(entry->d_name, "__pycache__")) continue;
        unnamed += keep(names, &count, NAMED_BESIDE, entry->d_name);
    }
    if (folder) closedir(folder);
    for (long n = 0; n < count && !failed; n++) {
        if (fstatat(run, names[n], &about, AT_SYMLINK_NOFOLLOW)) continue;
        if (S_ISREG(about.st_mode)) failed = record(to, 'w', about.st_size, names[n]);
        if (S_ISDIR(about.st_mode)) failed = record(to, 'v', 0, names[n]);
    }
    return failed || (unnamed && record(to, 'x', unnamed, ""));
}

static const char *hand_out_folder(int run, int to, long files, long long bytes) {
    long maximum = files + NAMED, count = 0, odd = 0;
    unsigned long long unnamed = 0;
    char **names = (char **)calloc(maximum, sizeof *names);
    int failed = 0, opened = openat(run, "out", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0 && errno == ENOENT) return "none";
    DIR *out = opened < 0 ? NULL : fdopendir(opened);
    if (!out || !names) return record(to, 'o', 0, "out") ? "unwritten" : "made";
    for (struct dirent *entry; !failed && (entry = readdir(out));) {
        const char *name = entry->d_name;
        int type = entry->d_type;
        if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
        if (type == DT_REG || type == DT_UNKNOWN) unnamed += keep(names, &count, maximum, name);
        else if (odd++ < NAMED) failed = record(to, type == DT_DIR ? 'd' : type == DT_LNK ? 'l' : 's', 0, name);
        else unnamed++;
    }
    for (long n = 0; n < count && !failed; n++) failed = hand_out_entry(opened, names[n], to, &files, &bytes);
    if (unnamed) failed |= record(to, 'm', unnamed, "");
    return failed ? "unwritten" : "made";
}

/* Makes the file of that name and the folders that lead to it. The name was checked before. */
static int make(int folder, char *name) {
    for (char *slash = name; (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        int failed = mkdirat(folder, name, 0755) != 0 && errno != EEXIST;
        *slash = '/';
        if (failed) return -1;
    }
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
}

/* The job's files, for the command: records of kind f, as in an archive. */
static int take_in(int from, const char *into) {
    static char buffer[1 << 16];
    size_t left, length, n;
    char name[512]; /* the longest is 255, after a folder's */
    int folder = open(into, O_RDONLY | O_DIRECTORY | O_CLOEXEC), to;
    FILE *bundle = fdopen(from, "r");
    if (!bundle || folder < 0) return -1;
    while (fscanf(bundle, "f %zu %zu", &left, &length) == 2) {
        if (getc(bundle) != '\n' || length >= sizeof name || fread(name, 1, length, bundle) != length) return -1;
        name[length] = 0;
        if ((to = make(folder, name)) < 0) return -1;
        for (; left > 0; left -= n) {
            n = fread(buffer, 1, left < sizeof buffer ? left : sizeof buffer, bundle);
            if (n == 0 || put(to, buffer, n)) return -1;
        }
        if (close(to)) return -1;
    }
    int failed = !feof(bundle);
    fclose(bundle);
    close(folder);
    return failed ? -1 : 0;
}

/* init REPORT PRODUCT PATH ARCHIVE OUT_OF BUNDLE INTO FILES BYTES PROCESSES FILE_BYTES MEMORY_BYTES COMMAND...
   A descriptor that is -1 stands for none. What is in OUT_OF/out goes to the archive, with the names of what
   was written beside it; what is in the bundle goes to INTO. */
int main(int argc, char **argv) {
    if (argc < 14) return 125;
    int report = atoi(argv[1]), product = atoi(argv[2]), archive = atoi(argv[4]), bundle = atoi(argv[6]);
    int status = 0, adjust, run = open(argv[5], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct pollfd reader = {report, 0, 0};
    struct rusage used;
    const char *made = "none";
    if (poll(&reader, 1, 0) != 0) return 125; /* the slot is gone */
    fcntl(report, F_SETFD, FD_CLOEXEC);
    if (product >= 0) fcntl(product, F_SETFD, FD_CLOEXEC);
    if (archive >= 0) fcntl(archive, F_SETFD, FD_CLOEXEC);
    if ((adjust = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)) >= 0) {
        if (write(adjust, "1000", 4) != 4) return 125;
        close(adjust);
    }
    if (bundle >= 0 && take_in(bundle, argv[7])) {
        fprintf(stderr, "the job's files cannot be written: %s\n", strerror(errno));
        return 125;
    }
    if (archive >= 0) remember_given(run);
    int go[2];
    if (pipe2(go, O_CLOEXEC) != 0) return 125;
    dprintf(report, "started\n");
    double began = now();
    pid_t child = fork();
    if (child == 0) { /* it must not inherit what keeps the slot from looking at it */
        close(go[1]);
        if (read(go[0], &status, 1) != 0) _exit(127);
        char data[32]; /* far beyond, for what grows faster than the slot looks */
        snprintf(data, sizeof data, "%llu", 4 * strtoull(argv[12], NULL, 10));
        limit(RLIMIT_CORE, "0");
        limit(RLIMIT_NOFILE, "4096");
        limit(RLIMIT_NPROC, argv[10]);
        limit(RLIMIT_FSIZE, argv[11]);
        limit(RLIMIT_DATA, data);
        execv(argv[13], argv + 13);
        fprintf(stderr, "%s cannot be started: %s\n", argv[13], strerror(errno));
        _exit(127);
    }
    if (child < 0) return 125;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* the program cannot open what is open here */
    close(go[1]);
    close(go[0]);
    for (int one;;) {
        pid_t ended = wait(&one);
        if (ended == child) { status = one; break; }
        if (ended < 0 && errno != EINTR) return 125;
    }
    double seconds = now() - began;
    if (archive >= 0 || (product >= 0 && status == 0)) {
        kill(-1, SIGKILL); /* no process is left that could change what is handed out */
        while (wait(NULL) > 0 || errno == EINTR) ;
        if (archive >= 0)
            made = tell_of_beside(run, archive) ? "unwritten" : hand_out_folder(run, archive, atol(argv[8]), atoll(argv[9]));
        if (product >= 0 && status == 0 && strcmp(made, "unwritten")) made = hand_out(argv[3], product);
    }
    getrusage(RUSAGE_CHILDREN, &used);
    dprintf(report, "%d %.6f %.6f %ld %s\n", status, seconds,
            used.ru_utime.tv_sec + used.ru_stime.tv_sec
                + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6, used.ru_maxrss, made);
    return 0;
}
