// The kernel's less tried protocols, by each of the ways to a socket.
// outcome: succeeded
// says: made 0, usual 7
#include <cstdio>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
static int made, usual;
static void check(const char *name, int result, int number) { if (result >= 0) { made++; printf("%s %d\n", name, number); } }
int main() {
    int pair[2];
    for (int family = 0; family < 64; family++)
        for (int kind = 1; kind < 11; kind++) {
            bool expected = family == AF_UNIX || ((family == AF_INET || family == AF_INET6 || family == AF_NETLINK) && kind < 4);
            if (!expected) check("family", socket(family, kind, 0), family);
            if (family != AF_UNIX) check("pair", socketpair(family, kind, 0, pair), family);
        }
    for (int family : {AF_INET, AF_INET6})
        for (int protocol : {1, 33, 58, 115, 132, 136, 256, 262, 255})
            for (int kind : {1, 2, 3, 5, 6})
                check("protocol", socket(family, kind | SOCK_CLOEXEC, protocol), protocol);
    for (int protocol = 1; protocol < 32; protocol++) check("netlink", socket(AF_NETLINK, SOCK_RAW, protocol), protocol);
    int listening = socket(AF_INET, SOCK_STREAM, 0), connected = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    sockaddr_in here = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof here;
    bind(listening, (sockaddr *)&here, size);
    listen(listening, 1);
    getsockname(listening, (sockaddr *)&here, &size);
    usual += connect(connected, (sockaddr *)&here, size) == 0;
    check("TLS", setsockopt(connected, IPPROTO_TCP, TCP_ULP, "tls", 3), 0);
    usual += socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
    usual += socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) >= 0;
    usual += socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0;
    usual += socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP) >= 0 || access("/proc/net/if_inet6", F_OK) < 0;
    usual += socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0) >= 0;
    usual += setsockopt(connected, IPPROTO_TCP, TCP_NODELAY, &size, sizeof size) == 0;
    printf("made %d, usual %d\n", made, usual);
}
