// The queue listens on this machine; the host of a virtual machine does on vsock.
// outcome: succeeded
// says: reached 0
#include <arpa/inet.h>
#include <cstdio>
#include <cstring>
#include <sys/socket.h>
int main() {
    int reached = 0;
    for (const char *address : {"127.0.0.1", "192.168.0.1", "1.1.1.1"}) {
        sockaddr_in to = {AF_INET, htons(@PORT@), {inet_addr(address)}};
        reached += connect(socket(AF_INET, SOCK_STREAM, 0), (sockaddr *)&to, sizeof to) == 0;
        if (strcmp(address, "127.0.0.1"))
            reached += sendto(socket(AF_INET, SOCK_DGRAM, 0), "x", 1, 0, (sockaddr *)&to, sizeof to) == 1;
    }
    for (int family : {38, 40, 17, 31}) reached += socket(family, SOCK_STREAM, 0) >= 0;
    printf("reached %d\n", reached);
}
