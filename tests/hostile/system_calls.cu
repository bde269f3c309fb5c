// outcome: succeeded
// says: allowed 0
#include <cstdio>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>
static int allowed;
static void check(const char *name, long result) { if (result >= 0) { allowed++; puts(name); } }
int main() {
    static char zeros[256], stack[65536];
    check("unshare", unshare(CLONE_NEWUSER));
    check("clone", syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
    // Descriptors of one thread alone: what is open there would not be seen.
    check("clone", syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, stack + sizeof stack, 0, 0, 0));
    check("close_range", syscall(436, 1000, 2000, 2));
    check("unshare", unshare(CLONE_FILES));
    check("clone3", syscall(SYS_clone3, zeros, 88));
    check("setns", setns(open("/proc/1/ns/mnt", O_RDONLY), 0));
    check("mount", mount("none", "/tmp", "tmpfs", 0, 0));
    check("umount", umount("/usr"));
    check("chroot", chroot("/tmp"));
    check("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
    check("keyctl", syscall(SYS_keyctl, 0, -3, 0, 0, 0));
    check("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
    check("io_uring", syscall(425, 4, zeros));
    check("bpf", syscall(SYS_bpf, 0, zeros, 48));
    check("userfaultfd", syscall(SYS_userfaultfd, 1));
    check("perf_event_open", syscall(SYS_perf_event_open, zeros, 0, -1, -1, 0));
    check("process_vm_readv", syscall(SYS_process_vm_readv, getpid(), zeros, 0, zeros, 0, 0));
    check("open_by_handle_at", syscall(SYS_open_by_handle_at, -100, zeros, 0));
    check("shmget", syscall(SYS_shmget, 0, 1 << 20, 01600));
    check("setuid", setuid(0));
    check("TIOCSTI", ioctl(0, TIOCSTI, "x"));
    printf("allowed %d\n", allowed);
}
